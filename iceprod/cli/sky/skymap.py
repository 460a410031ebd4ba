"""``iceprod skymap``: the files of a scan's map, finished or not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from iceprod.cli.common import completing
from iceprod.cli.common.connection import connect, server_options
from iceprod.cli.common.errors import USAGE, CommandError
from iceprod.cli.common.files import check_folder, save
from iceprod.cli.common.naming import scan_of
from iceprod.client import Client

__all__ = ["skymap"]

_USUAL = ("json", "npz", "fits", "moc", "contours", "geojson", "gcn", "summary", "png")  # quick and small
_PICTURES = ("png", "pdf", "svg")
_ALL = "all"


@click.command()
@click.argument("scan_id", metavar="SCAN", shell_complete=completing.scans)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="[default: the scan's id]")
@click.option("--format", "formats", multiple=True, metavar="F",
              shell_complete=completing.among((*_USUAL, "flat", "pdf", "svg", _ALL)),
              help=f"json, npz, fits, flat, moc, contours, geojson, gcn, summary, png, pdf, svg or {_ALL}; "
                   "may be repeated. Default: all but flat, pdf and svg.")
@click.option("--levels", metavar="SET",
              help=f"Level set that bounds the regions, as --list names them, or {_ALL}. "
                   "[default: the reconstruction's]")
@click.option("--style", type=click.Choice(["screen", "publication"]), default="screen", show_default=True,
              help="Of pictures: publication has no title, and 300 dots per inch.")
@click.option("--list", "only_list", is_flag=True, help="Only tell which files there are.")
@click.option("--json", "as_json", is_flag=True, help="Print exactly one JSON object.")
@server_options
def skymap(scan_id: str, out: Path | None, formats: tuple[str, ...], levels: str | None, style: str,
           only_list: bool, as_json: bool, server: str | None, token: str | None, data: str | None) -> int:
    """Fetch the sky map of a scan as files that other programs read.

    Works while the scan still runs, too: then the files hold the map as far as it is known. Their names
    tell content and level set. All regions, areas and densities of one set are of one posterior.
    """
    with connect(server, token, data) as client:
        scan_id = scan_of(client, scan_id)
        listed = client.get(f"/scan/{scan_id}/products", patience=10)
        chosen = _chosen(listed, formats, levels)
        if only_list:
            return _tell(chosen, as_json)
        folder = out or Path(scan_id)
        check_folder(folder)
        written = {product["name"]: str(_fetch(client, product, folder, style)) for product in chosen}
        if as_json:
            print(json.dumps({"scan_id": scan_id, "is_final": listed["is_final"], "files": written}))
        else:
            print(*written.values(), sep="\n")
            if not listed["is_final"]:
                print(f"scan {scan_id} is not final: these files hold what is known so far")
    return 0


def _chosen(listed: dict[str, Any], formats: tuple[str, ...], levels: str | None) -> list[dict[str, Any]]:
    """The products that the options name. Raises CommandError for a format or set that does not exist."""
    levels = levels or listed["default_levels"]
    known = list(dict.fromkeys(product["format"] for product in listed["products"]))
    for form in formats:
        if form not in (*known, _ALL):
            raise CommandError(f"--format: must be {', '.join(known)} or {_ALL}, not {form!r}", USAGE)
    if levels not in (*listed["level_sets"], _ALL):
        raise CommandError(f"--levels: must be {', '.join(listed['level_sets'])} or {_ALL}, not {levels!r}",
                           USAGE)
    wanted = known if _ALL in formats else formats or _USUAL
    return [product for product in listed["products"] if product["format"] in wanted
            and (levels == _ALL or product["levels"] in (None, levels))]


def _tell(products: list[dict[str, Any]], as_json: bool) -> int:
    if as_json:
        print(json.dumps({"products": products}))
    else:
        for product in products:
            print(f"{product['name']:<30} {product['format']:<9} {product['description']}")
    return 0


def _fetch(client: Client, product: dict[str, Any], folder: Path, style: str) -> Path:
    is_picture = product["format"] in _PICTURES
    content = client.get(product["path"], {"style": style} if is_picture else None, timeout=120, patience=30)
    if not isinstance(content, bytes):  # the client has read the JSON already
        content = json.dumps(content).encode()
    return save(folder / product["name"], content)
