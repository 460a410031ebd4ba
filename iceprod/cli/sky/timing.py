"""Where the time of a scan went, as lines for people."""

from __future__ import annotations

from typing import Any

from iceprod.client import Client

__all__ = ["timing_lines", "timing_of"]

_BAR = 24


def timing_of(client: Client, scan_id: str) -> dict[str, Any] | None:
    """The server's account of a scan; None of one by others' workers."""
    answer = client.get(f"/scan/{scan_id}/timing", patience=30)
    timing: dict[str, Any] | None = answer["timing"]
    return timing and {**timing, "words": answer["words"]}


def timing_lines(timing: dict[str, Any] | None) -> list[str]:
    """A line for each step that took time, with its share as a bar; how the whole compares to the kernel."""
    if timing is None:
        return ["timing     known for scans by our own workers"]
    total, words = timing["total"], timing["words"]
    rows = sorted(((seconds, step) for step, seconds in timing["steps"].items() if seconds), reverse=True)
    lines = [f"timing     {total:.3f} s from the request to the final map"]
    lines += [f"  {step:<8} {seconds:7.3f} s  {_bar(seconds / total):<{_BAR}}  {words.get(step, step)}"
              for seconds, step in rows if total]
    if timing["kernel"] and timing["at_once"]:
        alone = timing["kernel"] / timing["at_once"]
        lines.append(f"  workers  {timing['kernel']:.3f} s of them all ({timing['cpu']:.3f} s of processor "
                     f"time), {timing['at_once']} at once at most: {total / alone:.2f} times {alone:.3f} s")
    lines.append(f"  cut      {timing['batches']} batches in {timing['rounds']} rounds")
    return [*lines, *(f"  drawn    {one['seconds']:7.3f} s  {one['name']}" for one in timing["drawn"])]


def _bar(share: float) -> str:
    return "█" * max(round(_BAR * min(share, 1.0)), 1)
