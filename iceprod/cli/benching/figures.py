"""``iceprod bench figures``: tables for pages, written from a file of figures."""

from __future__ import annotations

import json
from pathlib import Path

import click

from iceprod.cli.benching.pages import MarkError, Page, filled, table
from iceprod.cli.benching.records import Record, read_record
from iceprod.cli.benching.sheets import SHEETS
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import save

__all__ = ["figures"]

_PATH = click.Path(path_type=Path)


@click.command()
@click.argument("file", type=_PATH)
@click.argument("pages", metavar="[PAGE]...", nargs=-1, type=_PATH)
@click.option("--table", "name", type=click.Choice([*SHEETS]), help="Print this benchmark's table alone.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def figures(file: Path, pages: tuple[Path, ...], name: str | None, as_json: bool) -> int:
    """Write the figures of FILE, which `iceprod bench all` made, as tables into the Markdown pages PAGE.

    There they stand between the lines `<!-- figures: NAME -->` and `<!-- /figures -->`, NAME being a
    benchmark. Tables that FILE has no figures for stay as they are. Without pages the tables are printed.
    """
    if name is not None and pages:
        raise click.UsageError("--table prints; leave PAGE out")
    record = read_record(file)
    if pages:
        _tell(_written(record, pages), as_json=as_json)
        return 0
    tables = _tables(record, [name] if name else [*SHEETS], file)
    print(json.dumps({"tables": tables}) if as_json else "\n\n".join(tables.values()))
    return 0


def _tables(record: Record, names: list[str], file: Path) -> dict[str, str]:
    """Those with figures, by name. Raises CommandError when there is none."""
    tables = {name: made for name in names if (made := table(name, record))}
    if not tables:
        raise CommandError(f"{file}: there are no figures of {', '.join(names)} in it", USAGE)
    return tables


def _written(record: Record, paths: tuple[Path, ...]) -> dict[Path, Page]:
    """Fill all pages, then write them: with a fault in one of them none is changed. Raises CommandError."""
    made = {path: _filled(path, record) for path in paths}
    for path, page in made.items():
        save(path, page.text.encode())
    return made


def _filled(path: Path, record: Record) -> Page:
    try:
        page = filled(path.read_bytes().decode(), record)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}", USAGE) from None
    except UnicodeDecodeError as error:
        raise CommandError(f"{path}: byte {error.start}: not UTF-8 text", USAGE) from None
    except MarkError as error:
        raise CommandError(f"{path}: {error}", USAGE) from None
    if not (page.written or page.left):
        raise CommandError(f"{path}: there is no line `<!-- figures: NAME -->` in it", USAGE)
    return page


def _tell(made: dict[Path, Page], *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"pages": [{"page": str(path), "written": page.written, "left": page.left}
                                    for path, page in made.items()]}))
        return
    for path, page in made.items():
        left = f"; left as they were: {', '.join(page.left)}" if page.left else ""
        print(f"{path}: {', '.join(page.written) or 'nothing'} written{left}")
