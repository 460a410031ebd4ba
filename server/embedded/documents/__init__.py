"""Documents: values, their order, keys, paths in them, and the wire's format.

In: BSON. Out: decoded values, comparisons and bytes that sort alike, errors with MongoDB's codes.
"""

__all__ = ["errors", "keys", "paths", "predicates", "sorting", "values", "wire"]
