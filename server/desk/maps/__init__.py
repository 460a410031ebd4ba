"""Maps: events with their localizations, what lies inside, and earthquakes.

In: GCN events, sky maps of any kind. Out: stored maps as tiles, regions, who is a member.
"""

__all__ = ["arrivals", "event_list", "events", "localizations", "membership", "notices", "regions", "skymaps",
           "tiles"]
