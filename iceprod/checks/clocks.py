"""How far clocks of several machines are apart."""

from __future__ import annotations

from iceprod.checks.findings import Finding, odd, well, wrong

__all__ = ["clock"]

SKEW_ODD, SKEW_WRONG = 2.0, 5.0  # seconds; a leader's lease lasts ten, and an issuer's tokens forgive ten


def clock(check: str, whose: str, skew: float, took: float) -> Finding:
    """How far another clock is from ours: `skew` seconds, seen through an answer that took `took` seconds."""
    text = f"{whose} clock and this machine's differ by {abs(skew):.1f} s (to within {took:.1f} s)"
    advice = "let both machines ask a time server (chrony, systemd-timesyncd): leases and tokens need it"
    if abs(skew) - took > SKEW_WRONG:
        return wrong(check, text, advice)
    if abs(skew) - took > SKEW_ODD:
        return odd(check, text, advice)
    return well(check, text)
