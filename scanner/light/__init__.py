"""Light: how much of it arrives where and when, for showers and tracks in the ice.

In: positions, directions, ice tables. Out: expected charges and densities of arrival times (Pandel),
as arrays and compiled kernels.
"""

__all__ = ["charges", "ice", "light", "pandel", "shower_light", "spline"]
