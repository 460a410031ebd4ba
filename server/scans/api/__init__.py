"""API: SkyDriver's REST interface to scans.

In: HTTP requests. Out: its answers: manifests, progress, maps, products.
"""

__all__ = ["progress_view", "state", "status"]
