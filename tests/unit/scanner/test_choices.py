"""The confusion matrix of `auto`, counted and told."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from scanner.choices import Chosen, confusion, main
from tests.support.data import real

SAMPLE = Path(__file__).parent / "outside_sample"
MOST_WRONG = 0.05


def test_choices_are_counted_by_kind() -> None:
    drawn = [Chosen("a", "track", 1e4, "track", 0.2, 1.0), Chosen("b", "track", 5e4, "cascade", 0.1, 0.8),
             Chosen("c", "track", 5e4, "millipede", 0.15, 0.6),
             Chosen("d", "cascade", 1e4, "track", 0.2, 1.0)]
    assert confusion(drawn) == {"cascade": {"track": 1, "millipede": 0, "cascade": 0, "wrong": 1},
                                "track": {"track": 1, "millipede": 1, "cascade": 1, "wrong": 1}}
    assert confusion([]) == {}


def test_a_sample_is_told_as_text_and_as_json(monkeypatch: pytest.MonkeyPatch,
                                              capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["choices", "--sample", str(SAMPLE), "--json"])
    assert main() == 0
    document = json.loads(capsys.readouterr().out)
    assert {kind: row["wrong"] for kind, row in document["all"].items()} == {"cascade": 0, "track": 0}
    assert sum(document["all"]["track"][name] for name in ("track", "millipede", "cascade")) == 10
    assert 0 < document["above"]["track"]["track"] < 10
    monkeypatch.setattr("sys.argv", ["choices", "--sample", str(SAMPLE), "--above", "1e9"])
    assert main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[2:] == ["track", "millipede", "cascade", "wrong"]
    assert [line.split() for line in lines[1:]] == [["cascade", "all", "0", "0", "5", "0"],
                                                    ["track", "all", "10", "0", "0", "0"]]


def test_a_wrong_choice_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                 capsys: pytest.CaptureFixture[str]) -> None:
    columns = dict(np.load(SAMPLE / "cascade_01.npz"))
    np.savez(tmp_path / "mistaken.npz", **{**columns, "kind": np.array("track")})
    monkeypatch.setattr("sys.argv", ["choices", "--sample", str(tmp_path)])
    assert main() == 0
    assert "  wrong: mistaken.npz, track of " in capsys.readouterr().out


def test_what_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
                                         capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["choices", "--sample", str(tmp_path / "none")])
    assert main() == 2
    assert "not a folder" in capsys.readouterr().err


@pytest.mark.slow
def test_few_tracks_of_the_outside_sample_are_taken_for_showers(monkeypatch: pytest.MonkeyPatch,
                                                                capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["choices", "--sample", str(real("independent")), "--json"])
    assert main() == 0
    row = json.loads(capsys.readouterr().out)["all"]["track"]
    assert row["wrong"] <= MOST_WRONG * (row["track"] + row["millipede"] + row["cascade"])
