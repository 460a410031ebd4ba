"""Plans: which fields of an instrument cover a sky map, when they are visible, and how well they would do.

In: sky maps, instruments, allocations, what is wanted. Out: plans with their observations, and their
efficiency for simulated sources.
"""

__all__: list[str] = ["efficiencies", "efficiency_routes", "payloads", "plan_routes", "plans", "tiling"]
