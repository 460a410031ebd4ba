"""Activity: what the whole house and each site did over time, and how hosts fared by the hour.

In: ends of tasks, samples of what pilots offer. Out: sums by slots of time in three resolutions, kept for two
hours, a day and a week; ends by host and hour of the last day.
"""

__all__ = ["ended", "host_hours", "series", "slots"]
