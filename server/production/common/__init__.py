"""What the wings of production share: documents, access rights, fields, the handler, pilots.

In: requests and stored documents. Out: checked fields, rights to a dataset, lists of a collection.
"""

__all__ = ["access", "archived", "documents", "fields", "handler", "heard"]
