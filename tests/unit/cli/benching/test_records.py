"""Files of figures: written whole, read with errors that name the field."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from iceprod.cli.benching.machine import machine, processor_of, versions
from iceprod.cli.benching.records import append_trend, read_record, write_record
from iceprod.cli.common.bench_shapes import BenchAll
from iceprod.cli.common.errors import CommandError
from tests.unit.cli.benching.making import a_figure, a_record, a_run


def changed(**fields: Any) -> dict[str, Any]:
    made: dict[str, Any] = msgspec.to_builtins(a_record(a_figure(), runs=[a_run()]))
    return {**made, **fields}


def figure(**fields: Any) -> list[dict[str, Any]]:
    return [{**msgspec.to_builtins(a_figure()), **fields}]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    record = a_record(a_figure(rounds=[1.0, 2.0, 3.0]), runs=[a_run()])
    write_record(tmp_path / "deep" / "a.json", record)
    assert read_record(tmp_path / "deep" / "a.json") == record
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.json"]


def test_the_documented_keys_are_those_of_the_file() -> None:
    assert msgspec.convert(changed(), BenchAll).format == 1


@pytest.mark.parametrize(("document", "said"), [
    ({"format": 1}, "`time`"), (changed(format=2), "`$.format`"),
    (changed(figures=figure(value="fast")), "`$.figures[0].value`"),
    (changed(figures=figure(kind="luck")), "`$.figures[0].kind`"),
    (changed(figures=figure(better="")), "`$.figures[0].better`"),
    (changed(figures=figure(name="")), "`$.figures[0].name`"),
    (changed(figures=figure(load=-1)), "`$.figures[0].load`"),
    (changed(figures=figure() * 2), "`figures` has 'event/x/ms' twice"),
    (changed(machine={}), "`$.machine`"), (changed(runs=[{}]), "`$.runs[0]`"),
    (changed(machine={"processor": "x", "architecture": "x", "system": "x", "cores": 0, "memory_bytes": 0}),
     "`$.machine.cores`")])
def test_files_that_are_none_name_the_field(document: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(document))
    with pytest.raises(CommandError) as caught:
        read_record(path)
    assert said in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.status == 2


@pytest.mark.parametrize("number", ["1e999", "NaN", "Infinity"])
def test_numbers_are_finite(number: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(changed(figures=figure(value=123.5))).replace("123.5", number))
    with pytest.raises(CommandError, match="figures"):
        read_record(path)


def test_keys_of_later_versions_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text(json.dumps(changed(weather="fine")))
    assert read_record(path).figures


def test_a_trend_has_a_line_for_each_run(tmp_path: Path) -> None:
    record = a_record(a_figure(), runs=[a_run()])
    for _ in range(2):
        path = append_trend(tmp_path / "new", record)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["figures"][0]["value"] for line in lines] == [10.0, 10.0]
    assert lines[0]["runs"][0]["object"] == {}
    (tmp_path / "a.json").write_text(json.dumps(lines[1]))
    assert read_record(tmp_path / "a.json").figures == record.figures


def test_a_file_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "out" / "a.json").mkdir(parents=True)
    with pytest.raises(CommandError, match="cannot write"):
        write_record(tmp_path / "out" / "a.json", a_record())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]


def test_this_machine_is_named() -> None:
    assert machine().processor
    assert machine().cores >= 1
    assert {"python", "numpy", "numba", "llvmlite", "tornado", "pymongo"} <= {*versions()}


@pytest.mark.parametrize(("text", "name"), [
    ("processor\t: 0\nmodel name\t: AMD EPYC\nmodel name\t: other\n", "AMD EPYC"),
    ("flags: model name\n", ""),
    ("Hardware : x\nModel\t\t: Raspberry Pi 5\n", "Raspberry Pi 5"), ("", "")])
def test_the_processor_s_name(text: str, name: str) -> None:
    assert processor_of(text) == name
