"""What the wings of the desk share: rights, ids, dates, bodies, pages, background jobs.

In: nothing of other wings. Out: `Visitor` and `visible`, checked bodies, numbers for new rows.
"""

__all__ = [
    "access", "acls", "blobs", "bodies", "dates", "errors", "fits_files", "fits_streams", "ids", "jobs",
    "keeping", "paging", "positions", "throttle", "vocabulary",
]
