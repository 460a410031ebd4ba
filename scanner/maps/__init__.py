"""Maps: HEALPix levels, scan results, sky maps with their posterior and regions, products and plots.

In: rows per pixel. Out: the next pixels to scan, the result, its regions by level sets, files and pictures.
Knows nothing of events or likelihoods.
"""

__all__ = ["catalogue", "energy", "extents", "growth", "healpix", "level_sets", "levels", "posterior",
           "products", "regions", "result", "rows", "skymap", "thumbnail"]
