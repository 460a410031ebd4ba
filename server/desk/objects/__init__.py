"""Objects: what is in the sky: sources, galaxies, notes about them, listings.

In: requests and imported catalogs. Out: objects with positions, kept for groups.
"""

__all__ = ["comments", "distances", "galaxies", "listings", "measurements", "notes", "objs", "sources",
           "spatial_catalogs"]
