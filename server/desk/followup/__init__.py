"""Follow-up: requests to telescopes and to our own grid, their life, their ranking, facilities' messages.

In: an object, an allocation, what is wanted. Out: a request with its status, its hours and its products.
"""

__all__ = [
    "allocation_pages", "drawing", "facilities", "prioritization", "reports", "requests", "rows", "schedules",
    "spending", "states", "watching",
]
