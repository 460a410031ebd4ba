"""What a check found."""

from __future__ import annotations

from enum import StrEnum

import msgspec

__all__ = ["Finding", "State", "left_out", "odd", "well", "wrong"]


class State(StrEnum):
    """How bad it is."""

    OK = "ok"
    ODD = "odd"  # works, but not as well or as safely as it should
    WRONG = "wrong"  # something does not work, or will not for long
    LEFT_OUT = "left out"  # could not be looked at, or there is nothing to look at


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at: what, how it is, in words, and what to do; empty where nothing is."""

    check: str
    state: State
    text: str
    advice: str = ""


def well(check: str, text: str) -> Finding:
    return Finding(check, State.OK, text)


def odd(check: str, text: str, advice: str) -> Finding:
    return Finding(check, State.ODD, text, advice)


def wrong(check: str, text: str, advice: str) -> Finding:
    return Finding(check, State.WRONG, text, advice)


def left_out(check: str, why: str) -> Finding:
    return Finding(check, State.LEFT_OUT, why)
