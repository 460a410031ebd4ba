"""What the whole server uses: errors with their status, logs, metrics, signals, signatures, batches.

In: nothing of ours. Out: `ApiError` and its kinds; counters and log lines.
"""

__all__ = ["buckets", "elsewhere", "errors", "fresh", "introspection", "metrics", "patterns", "resting",
           "signals", "telemetry", "together", "turns"]
