"""Registered computations on objects: services outside that call back, and templates that run as tasks.

Enters: an object, a service, parameters. Leaves: an analysis with an end of its own, and its products.
"""

from __future__ import annotations

__all__ = ["analyses", "products", "services"]
