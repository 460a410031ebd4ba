"""The graph of a dataset's tasks: nothing is lost in it, however many tasks there are."""

from __future__ import annotations

import xml.etree.ElementTree as ET  # what we made ourselves
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from server.web.production import graph

NAMES = st.sampled_from(["generate", "propagate", "filter_7", "filter_8", "A & <b>", "sim12"])


@st.composite
def configs(draw: st.DrawFn) -> dict[str, Any]:
    number = draw(st.integers(0, 70))
    tasks: list[dict[str, Any]] = []
    for index in range(number):
        earlier = st.integers(0, index - 1) if index else st.nothing()
        depends: list[Any] = draw(st.lists(earlier, max_size=3)) if index else []
        depends += draw(st.lists(st.just("other:0"), max_size=1))
        tasks.append({"name": f"{draw(NAMES)}_{index}", "depends": depends})
    return {"tasks": tasks}


@given(configs())
def test_every_task_stands_in_a_box_below_what_it_depends_on(config: dict[str, Any]) -> None:
    counts = {task["name"]: {"complete": 2, "failed": 1} for task in config["tasks"]}
    found = graph.boxes(config, counts)
    assert len(found) <= max(graph.MOST, 0)
    assert sum(len(box.names) for box in found) == len(config["tasks"])
    assert sum(box.total for box in found) == 3 * len(config["tasks"])
    assert all(before < number for number, box in enumerate(found) for before in box.before)
    drawn = graph.draw(found, "/web/datasets/d")
    if not found:
        assert drawn == ""
        return
    root = ET.fromstring(drawn)
    links = list(root.iter("a"))
    assert len(links) == len(found)
    assert all(link.get("aria-label") == link.findtext("title") for link in links)
    assert len(list(root.iter("path"))) == sum(len(box.before) for box in found)


def test_a_few_tasks_have_a_box_each_and_lead_to_their_list() -> None:
    config = {"tasks": [{"name": "a b"}, {"name": "c", "depends": ["a b", "0123456789abcdef" * 2]}]}
    first, second = graph.boxes(config, {"a b": {"complete": 3}, "c": {"idle": 2, "complete": 1}})
    assert (first.style, second.style, second.outside, second.before) == ("good", "idle", 1, {0})
    drawn = graph.draw([first, second], "/web/datasets/d")
    assert 'href="/web/datasets/d/tasks?name=a+b"' in drawn
    assert "c after a b, 1 of other datasets: 1 of 3 complete, 2 idle" in drawn


def test_many_alike_share_a_box() -> None:
    tasks = [{"name": "start"}, *({"name": f"part_{n}", "depends": ["start"]} for n in range(50)),
             {"name": "merge", "depends": [f"part_{n}" for n in range(50)]}]
    titles = [box.title for box in graph.boxes({"tasks": tasks}, {})]
    assert titles == ["start", "part_# ×50", "merge"]


def test_what_needs_attention_gives_the_colour() -> None:
    for counts, style in (({"complete": 5, "failed": 1, "processing": 2}, "bad"), ({"processing": 1}, "busy"),
                          ({"waiting": 1, "complete": 9}, "wait"), ({"complete": 1}, "good"), ({}, "idle")):
        assert graph.Box("t", 0, counts=counts).style == style


def test_old_configurations_are_drawn_as_far_as_they_are_known() -> None:
    config = {"tasks": [{"name": "a", "depends": ["nobody"]}, {}]}
    assert [box.outside for box in graph.boxes(config, {})] == [1, 0]
