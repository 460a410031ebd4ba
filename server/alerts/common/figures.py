"""The metrics of the alerts."""

from __future__ import annotations

from server.common import metrics

__all__ = ["ended", "reached", "sent"]


def reached(step: str, seconds: float) -> None:
    """An alert reached a step, so long after its receipt."""
    metrics.ALERT_SECONDS.labels(step).observe(max(seconds, 0.0))


def ended(outcome: str) -> None:
    """An alert was refused, told, held, done …"""
    metrics.ALERTS.labels(outcome).inc()


def sent(outcome: str) -> None:
    """A notice was sent to a target, or could not be."""
    metrics.ALERT_NOTICES.labels(outcome).inc()
