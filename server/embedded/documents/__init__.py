"""Documents: values, their order, keys, paths in them, and the wire's format.

In: BSON. Out: decoded values, comparisons and bytes that sort alike, errors with MongoDB's codes.
"""

__all__ = [
    "arrays", "budget", "errors", "keys", "paths", "predicates", "regexes", "sorting", "values", "wire",
]  # fmt: skip
