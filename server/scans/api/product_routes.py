"""Routes of the files that can be made of a scan's map, partial or final."""

from __future__ import annotations

from typing import Any

from scanner.maps.catalogue import FORMATS, PICTURE_STYLES, Product
from scanner.maps.level_sets import LEVEL_SETS
from server.common.errors import BadRequest
from server.rest.routing import Route, allow
from server.scans.api.handler import ScanHandler, redirects
from server.scans.manifests import manifests
from server.scans.results import files, results

__all__ = ["ROUTES"]

READERS = ("user", "admin", "system")


def _shown(scan_id: str, product: Product) -> dict[str, Any]:
    return {"name": product.name, "format": product.form, "media_type": product.media_type,
            "levels": product.levels, "description": product.description,
            "path": f"/scan/{scan_id}/products/{product.name}"}


def _check(name: str, value: str | None, known: tuple[str, ...]) -> None:
    if value is not None and value not in known:
        raise BadRequest(f"{name!r}: must be one of: {', '.join(map(repr, known))}")


class Products(ScanHandler):
    """Which files can be made of the map; queries `format` and `levels` choose among them."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str) -> None:
        form, levels = self.query("format"), self.query("levels")
        _check("format", form, FORMATS)
        _check("levels", levels, tuple(LEVEL_SETS))
        await manifests.read(self.ctx, scan_id)
        offered = await files.offered(self.ctx, scan_id)
        sets = {product.levels: LEVEL_SETS[product.levels] for product in offered if product.levels}
        chosen = [product for product in offered
                  if form in (None, product.form) and (levels is None or product.levels in (None, levels))]
        self.send({"scan_id": scan_id, "is_final": await results.is_final(self.ctx, scan_id) is not None,
                   "level_sets": {name: {f"{level:g}": limit for level, limit in one.thresholds.items()}
                                  for name, one in sets.items()},
                   "default_levels": (await files.usual_levels(self.ctx, scan_id)).name,
                   "cautions": {name: one.caution for name, one in sets.items() if one.caution},
                   "products": [_shown(scan_id, product) for product in chosen]})


class ProductFile(ScanHandler):
    """One file made of the map; of a picture the query `style` chooses the style."""

    @allow(*READERS)
    @redirects
    async def get(self, scan_id: str, name: str) -> None:
        product = files.product(name)
        await manifests.read(self.ctx, scan_id)
        style = self.query("style")
        _check("style", style, PICTURE_STYLES)
        file = await files.make(self.ctx, scan_id, product, style or "")
        self.set_header("Content-Type", product.media_type)
        self.set_header("Content-Disposition", f'attachment; filename="{file.name}"')
        self.set_header("X-Map-Is-Final", "true" if file.is_final else "false")
        if product.levels:
            self.set_header("X-Level-Set", product.levels)
        if file.is_final:
            self.set_header("Cache-Control", "private, max-age=3600")
        self.finish(file.content)


ROUTES = [
    Route("/scan/{scan_id}/products", Products, "scan"),
    Route("/scan/{scan_id}/products/{name:any}", ProductFile, "scan"),
]
