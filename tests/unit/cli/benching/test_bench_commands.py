"""``iceprod bench compare`` and ``figures``, as one types them."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from iceprod.cli.benching.records import Record, write_record
from iceprod.cli.common.bench_shapes import BenchCompared, BenchPages, BenchTables
from iceprod.cli.main import main
from tests.unit.cli.benching.making import STARTS, a_figure, a_record, a_run

PAGE = "words\n\n<!-- figures: start -->\n<!-- /figures -->\n"


def write(name: str, record: Record) -> str:
    write_record(Path(name), record)
    return name


@pytest.fixture
def two() -> tuple[str, str]:
    old = a_record(a_figure(10.0), a_figure(1.0, name="event/y/ms"), versions={"numpy": "2.0"})
    new = a_record(a_figure(20.0), a_figure(1.0, name="event/z/ms"), versions={"numpy": "2.1"})
    return write("a.json", old), write("b.json", new)


def test_worse_figures_are_told_and_fail_nothing(two: tuple[str, str],
                                                 capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *two]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "numpy: 2.0, then 2.1"
    assert lines[2].split() == ["worse", "event/x/ms", "10", "20", "ms", "+100", "%", "25", "%"]
    assert lines[3:] == ["0 within noise", "1 only in the first: event/y/ms",
                         "1 only in the second: event/z/ms"]


def test_worse_figures_fail_when_asked_to(two: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *two, "--fail-worse"]) == 1
    assert main(["bench", "compare", *reversed(two), "--fail-worse"]) == 0
    assert "better" in capsys.readouterr().out


def test_programs_are_told_too(two: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "compare", *two, "--json"]) == 0
    found = msgspec.json.decode(capsys.readouterr().out, type=BenchCompared)
    assert (found.a, found.missing, found.new) == ("a.json", ["event/y/ms"], ["event/z/ms"])
    assert found.worse[0]["percent"] == 100.0


def test_a_file_that_is_none_is_an_error(two: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    document = json.loads(Path("b.json").read_text())
    del document["figures"][0]["kind"]
    Path("b.json").write_text(json.dumps(document))
    assert main(["bench", "compare", *two]) == 2
    assert "b.json: not a file of `iceprod bench all`: Object missing required field `kind` - at " \
           "`$.figures[0]`" in capsys.readouterr().err


def test_tables_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.json", a_record(runs=[a_run(), a_run("start", STARTS)]))
    assert main(["bench", "figures", path]) == 0
    assert capsys.readouterr().out.count("\n|---|") == 2
    assert main(["bench", "figures", path, "--table", "start", "--json"]) == 0
    assert {*msgspec.json.decode(capsys.readouterr().out, type=BenchTables).tables} == {"start"}
    assert main(["bench", "figures", path, "--table", "api"]) == 2
    assert "there are no figures of api in it" in capsys.readouterr().err


def test_pages_are_written(capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.json", a_record(runs=[a_run("start", STARTS)]))
    Path("page.md").write_text(PAGE)
    assert main(["bench", "figures", path, "page.md", "--json"]) == 0
    [page] = msgspec.json.decode(capsys.readouterr().out, type=BenchPages).pages
    assert page == {"page": "page.md", "written": ["start"], "left": []}
    assert "| help | 0.100 |" in Path("page.md").read_text()


@pytest.mark.parametrize("bad", ["no marks", PAGE.replace("start", "patience"), None])
def test_with_a_fault_in_one_page_none_is_changed(bad: str | None,
                                                  capsys: pytest.CaptureFixture[str]) -> None:
    path = write("a.json", a_record(runs=[a_run("start", STARTS)]))
    Path("page.md").write_text(PAGE)
    if bad is not None:
        Path("bad.md").write_text(bad)
    assert main(["bench", "figures", path, "page.md", "bad.md"]) == 2
    assert "bad.md" in capsys.readouterr().err
    assert Path("page.md").read_text() == PAGE


def test_options_stand_where_they_belong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--json", "all"]) == 2
    assert "after `iceprod bench all`" in capsys.readouterr().err
    assert main(["bench", "figures", "a.json", "page.md", "--table", "api"]) == 2
    assert "--table prints" in capsys.readouterr().err
    assert main(["bench", "--json"]) == 0
    assert "reco" in json.loads(capsys.readouterr().out)["benches"]
