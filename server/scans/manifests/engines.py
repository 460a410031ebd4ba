"""Which reconstructions run on our own pilots; all others are left to outside scanners."""

from __future__ import annotations

from scanner.recos.recos import UnknownReco, find_reco

__all__ = ["is_ours"]


def is_ours(reco_algo: str) -> bool:
    """Whether our own scanner knows this reconstruction."""
    try:
        find_reco(reco_algo)
    except UnknownReco:
        return False
    return True
