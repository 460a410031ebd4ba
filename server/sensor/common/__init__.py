"""What the wings of the sensor share: bodies, errors, the handler, metadata (SigMF).

In: nothing of other wings. Out: checked bodies and errors in the form of the SCOS API.
"""

__all__ = ["addresses", "bodies", "errors", "grid_priority", "handler", "sigmf"]
