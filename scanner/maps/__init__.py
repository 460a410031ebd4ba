"""Maps: HEALPix levels, scan results, sky maps with regions, products and plots.

In: rows per pixel. Out: the next pixels to scan, the result, its regions by level sets, files and pictures.
Knows nothing of events or likelihoods.
"""

__all__ = ["catalogue", "healpix", "level_sets", "levels", "regions", "result", "rows", "skymap"]
