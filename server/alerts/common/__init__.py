"""What the wings of the alerts share: the record of an alert, its revisions, the times of its steps.

In: nothing of other wings. Out: `Alert`, `Revision`, changes of them that hold only in the state they expect.
"""

__all__ = ["alerts", "figures", "kafka", "latency", "news", "revisions", "rights"]
