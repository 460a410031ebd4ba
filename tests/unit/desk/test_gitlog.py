"""The commits that the server shows."""

from __future__ import annotations

from typing import Any

from server.desk.gitlog import parse
from server.desk.people.statistics import recent

LINES = ["2026-01-02T00:00:00+00:00\x1fabc1234\x1fa@x\x1fAda\x1fFind what was lost (#12)",
         "2026-01-01T00:00:00+00:00\x1fabc1233\x1fb@x\x1fBob\x1fBump tornado"]


def test_lines_become_commits() -> None:
    first, second = parse("\n".join(LINES), "https://forge.example/p")
    assert first == {
        "time": "2026-01-02T00:00:00+00:00", "sha": "abc1234", "email": "a@x", "name": "Ada", "pr_nr": "12",
        "description": "Find what was lost (#12)", "pr_url": "https://forge.example/p/pull/12",
        "commit_url": "https://forge.example/p/commit/abc1234"}
    assert (second["pr_nr"], second["pr_url"]) == (None, None)


def test_order_cap_and_chores() -> None:
    commits: list[dict[str, Any]] = [{"sha": str(n), "description": f"Work {n}"} for n in range(150)]
    commits[3:3] = [{"sha": "x", "description": "Pin numpy"}, {"sha": "y", "description": "bump all"}]
    assert [commit["sha"] for commit in recent(commits)] == [str(n) for n in range(100)]
