"""The commands ``iceprod store``, ``iceprod backup`` and ``iceprod restore``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import click
import msgspec
from pymongo.errors import PyMongoError

from config.settings import Settings, load
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.passing import Passing
from server.backup import Backup, BackupError, make_backup, restore_backup
from server.embedded import __main__ as embedded
from server.embedded.documents.errors import CommandError as StoreError
from server.embedded.documents.errors import DataDirectoryError

__all__ = ["backup", "restore", "store"]

_FOLDER = click.Path(file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, exists=True, path_type=Path)
_data_option = click.option("--data", metavar="DIR", default=Settings().data,
                            help="Directory of the installation.")
_config_option = click.option("--config", type=_FILE, help="YAML settings, when they name a MongoDB.")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command(cls=Passing, parser=embedded.make_parser)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def store(arguments: tuple[str, ...]) -> int:
    """The embedded store by itself: serve, and look after its files."""
    try:
        return embedded.run(list(arguments))
    except (DataDirectoryError, StoreError) as error:
        raise CommandError(str(error)) from None


@click.command()
@_data_option
@_config_option
@click.option("--out", required=True, type=_FOLDER, help="A new folder for the backup.")
@_json_option
def backup(data: str, config: Path | None, out: Path, as_json: bool) -> int:
    """Write a backup of an installation, which may run meanwhile.

    It holds all documents and the installation's secret: keep it where only you can read it.
    """
    made = _done(lambda: make_backup(_settings(config, data), out))
    _tell(made, as_json, f"{out}: {sum(made.documents.values())} documents of "
                         f"{len(made.documents)} collections")
    return 0


@click.command()
@_data_option
@_config_option
@click.option("--from", "source", required=True, type=_FOLDER, help="The folder of the backup.")
@_json_option
def restore(data: str, config: Path | None, source: Path, as_json: bool) -> int:
    """Make an installation out of a backup, in a new directory; `iceprod up` then starts it."""
    told = _done(lambda: restore_backup(_settings(config, data), source))
    _tell(told, as_json, f"{data}: {sum(told.documents.values())} documents as they were at {told.made} UTC")
    return 0


def _settings(config: Path | None, data: str) -> Settings:
    return msgspec.structs.replace(load(config), data=str(Path(data).absolute()))


def _done(work: Callable[[], Backup]) -> Backup:
    try:
        return work()
    except BackupError as error:
        raise CommandError(str(error), USAGE) from None
    except (DataDirectoryError, PyMongoError) as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename or 'the files'}: {error.strerror}") from None


def _tell(told: Backup, as_json: bool, text: str) -> None:
    print(json.dumps(msgspec.to_builtins(told)) if as_json else text)
