"""The embedded store: a small document database that speaks MongoDB's wire protocol.

PyMongo's clients use it unchanged. See docs/decisions/embedded-store.md for what it does, and does not.
"""
