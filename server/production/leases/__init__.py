"""Leases: who works on which task until when.

In: claims, heartbeats and reports of pilots. Out: leased tasks, ends that count once, evictions; the demand
that grids serve.
"""

__all__ = ["claim_routes", "demand", "ends", "leases", "load", "outages", "waits"]
