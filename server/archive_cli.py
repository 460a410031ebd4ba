"""The command ``iceprod archive``."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import pymongo
from pymongo.database import Database
from pymongo.errors import PyMongoError

from config.settings import Settings, load
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.tables import print_table
from iceprod.installation import make_private
from server.archives import archiving, choosing, files, restoring
from server.archives.files import ArchiveError
from server.embedded.access import store_url
from server.embedded.documents.errors import DataDirectoryError
from server.store.database import options

__all__ = ["archive"]

_FOLDER = "archive"  # in the data directory
_T = TypeVar("_T")
Documents = dict[str, Any]


class _Archive(click.Group):
    """A group whose words, when they begin with none of its commands, are datasets to archive."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in {*self.commands, *ctx.help_option_names}:
            args = ["datasets", *args]
        return super().parse_args(ctx, args)


def _options(command: Callable[..., _T]) -> Callable[..., _T]:
    for option in (
            click.option("--data", metavar="DIR", default=Settings().data,
                         help="Directory of the installation, which may run meanwhile."),
            click.option("--config", type=click.Path(dir_okay=False, exists=True, path_type=Path),
                         help="YAML settings, when they name a MongoDB."),
            click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")):
        command = option(command)
    return command


@click.group(cls=_Archive)
def archive() -> None:
    """Move ended datasets out of the database into files, and back.

    `iceprod archive DATASET...` archives datasets, by numbers or ids; `iceprod archive datasets --help` has
    the options.
    """


@archive.command("datasets")
@click.argument("names", nargs=-1, metavar="[DATASET]...")
@click.option("--ended-before", metavar="AGE", help="All that ended so long ago: 90d, 12w, 36h.")
@click.option("--dry-run", is_flag=True, help="Only tell which.")
@click.option("--to", metavar="FOLDER", type=click.Path(file_okay=False, path_type=Path),
              help="Where the files go (default: `archive` in the data directory).")
@_options
def datasets(names: tuple[str, ...], ended_before: str | None, dry_run: bool, to: Path | None, data: str,
             config: Path | None, as_json: bool) -> int:
    """Archive datasets, and go on with what was interrupted."""
    if bool(names) == bool(ended_before):
        raise CommandError("name datasets, or say --ended-before AGE", USAGE)
    settings = _settings(config, data)
    with _database(settings) as db:
        rows, left = _chosen(db, names, ended_before)
        done = [] if dry_run else list(_archived(db, rows, to or Path(settings.data) / _FOLDER))
    if as_json:
        chosen = [{"dataset": row["dataset"], "dataset_id": row["dataset_id"]} for row in rows]
        print(json.dumps({"dry_run": dry_run, "chosen": chosen, "archived": msgspec.to_builtins(done),
                          "left": left}))
        return 0
    for row in rows if dry_run else ():
        print(f"{row['dataset']}  {row['dataset_id']}  {row['description'][:60]}")
    for one in done:
        number = sum(one.documents.values())
        print(f"{one.dataset}: {number} documents in {one.file} ({one.bytes / 1e6:.1f} MB)")
    for other in left:
        print(f"{other['dataset']}: left, for {other['reason']}")
    if not rows:
        print("nothing to archive")
    return 0


@archive.command("list")
@_options
def show(data: str, config: Path | None, as_json: bool) -> int:
    """List archived datasets and their files."""
    with _database(_settings(config, data)) as db:
        found = choosing.all_archived(db)
    if as_json:
        print(json.dumps({"archives": msgspec.to_builtins(found)}))
        return 0
    rows = [(one.dataset, one.state, one.since[:16], one.documents, one.file, one.description[:40])
            for one in found]
    titles = ("dataset", "state", "since", "documents", "file", "description")
    print_table(titles, rows, "nothing is archived")
    return 0


@archive.command("restore")
@click.argument("name", metavar="DATASET|FILE")
@_options
def restore(name: str, data: str, config: Path | None, as_json: bool) -> int:
    """Bring an archived dataset back; its file stays."""
    with _database(_settings(config, data)) as db:
        path = Path(name) if name.endswith(files.SUFFIX) else _file_of(db, name)
        with _alone(path.absolute().parent):
            done = restoring.restore(db, path.absolute())
    if as_json:
        print(json.dumps(msgspec.to_builtins(done)))
    else:
        print(f"{done.dataset}: {sum(done.documents.values())} documents are back; {done.file} may go")
    return 0


def _settings(config: Path | None, data: str) -> Settings:
    return msgspec.structs.replace(load(config), data=str(Path(data).absolute()))


@contextlib.contextmanager
def _database(settings: Settings) -> Iterator[Database[Documents]]:
    """The installation's database; what goes wrong with it or with files in words."""
    store = Path(settings.data) / "store"
    if not settings.database.url and not store.is_dir():
        raise CommandError(f"there is no store in {settings.data}; name the settings with --config if the "
                           "database is a MongoDB", USAGE)
    try:
        with contextlib.ExitStack() as stack:
            url = settings.database.url or stack.enter_context(store_url(store))
            client: pymongo.MongoClient[Documents] = stack.enter_context(
                pymongo.MongoClient(url, **options(url)))
            yield client[settings.database.name]
    except ArchiveError as error:
        raise CommandError(str(error), USAGE) from None
    except (DataDirectoryError, PyMongoError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'the files'}: {error.strerror}") from None


def _chosen(db: Database[Documents], names: tuple[str, ...],
            ended_before: str | None) -> tuple[list[Documents], list[Documents]]:
    """Datasets to archive; and those that cannot be, with the reason. Raises ArchiveError for a named one."""
    if ended_before:
        wanted = [*choosing.interrupted(db), *choosing.ended_before(db, choosing.read_age(ended_before))]
    else:
        known = {row["dataset_id"]: row for row in (choosing.named(db, name) for name in names)}
        wanted = list(known.values())
    rows, left = list[Documents](), list[Documents]()
    for row in wanted:
        why = "" if "archive" in row else archiving.hindrance(db, row)
        if why and not ended_before:
            raise ArchiveError(f"the dataset {row['dataset']} cannot be archived: {why}")
        if why:
            left.append({"dataset": row["dataset"], "dataset_id": row["dataset_id"], "reason": why})
        else:
            rows.append(row)
    return rows, left


def _archived(db: Database[Documents], rows: list[Documents], folder: Path) -> Iterator[archiving.Done]:
    if rows:
        make_private(folder)
        with _alone(folder):
            for row in rows:
                yield archiving.archive(db, row["dataset_id"], folder)


def _file_of(db: Database[Documents], name: str) -> Path:
    row = choosing.named(db, name)
    if "archive" not in row:
        raise ArchiveError(f"the dataset {row['dataset']} is not archived")
    return Path(row["archive"]["file"])


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Be the only one who archives or restores in a folder. Raises ArchiveError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ArchiveError(f"another `iceprod archive` is at work in {folder}; wait for it") from None
    else:
        yield
    finally:
        os.close(descriptor)
