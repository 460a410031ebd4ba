"""Events: reading and writing what the detector's software sends and stores.

In: bytes of an i3live packet, a frame or a pickle. Out: `Event` with pulses, directions and times; the same
back to bytes. Formats are parsed by code that can only build data.
"""

__all__ = ["cleaning", "directions", "event", "event_plot", "i3live"]
