"""The shard keys: what must stay unique, what indexes they need, and which queries ask one shard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from server.app import INDEXES
from server.sharding import ALL_SHARDS, SHARD_KEYS, asks_one_shard, commands, fields_of, on_shards

PAGE = (Path(__file__).parents[3] / "docs/decisions/sharding.md").read_text()
ORDINARY = {"jobs.job_id", "tasks.task_id", "task_stats.task_stat_id", "pixel_batches.task_id"}
"""Unique indexes that are ordinary ones on a cluster: of ids that never come twice."""


def test_what_must_be_unique_is_so_on_one_shard() -> None:
    """Jobs and tasks by their numbers, parts, results: what a second maker is kept from making twice."""
    changed = {f"{one.collection}.{one.name}" for one, other in zip(INDEXES, on_shards(INDEXES), strict=True)
               if one != other}
    assert changed == ORDINARY


@pytest.mark.parametrize("name", sorted(ORDINARY))
def test_what_is_not_unique_there_is_written_down(name: str) -> None:
    assert f"`{name}`" in PAGE


def test_the_page_has_the_commands() -> None:
    for line in commands("iceprod"):
        assert line in PAGE


def test_the_page_says_who_asks_all_shards() -> None:
    for collection, fields in ALL_SHARDS.items():
        for field, who in fields.items():
            assert f"| `{collection}` by `{field}` | {who} |" in PAGE
            assert field in [index.keys[0][0] for index in INDEXES if index.collection == collection]


def test_the_fields_of_a_query() -> None:
    query = {"a": 1, "$and": [{"b": {"$gt": 1}}, {"$or": [{"c": 1}, {"d.e": 2}]}]}
    assert fields_of(query) == {"a", "b", "c", "d.e"}


@pytest.mark.parametrize("collection", sorted(SHARD_KEYS))
def test_a_shard_finds_its_documents_by_an_index(collection: str) -> None:
    """MongoDB makes hashed indexes itself when it shards an empty collection."""
    key = SHARD_KEYS[collection]
    keys = [index.keys for index in INDEXES if index.collection == collection]
    assert key[0][1] == "hashed" or key in [found[:len(key)] for found in keys]


@pytest.mark.parametrize(("query", "one"), [
    ({"dataset_id": "d"}, True),
    ({"dataset_id": {"$in": ["d", "e"]}, "status": "idle"}, True),
    ({"$and": [{"dataset_id": "d"}, {"status": "idle"}]}, True),
    ({"$or": [{"dataset_id": "d"}, {"dataset_id": "e", "job_index": 1}]}, True),
    ({"$or": [{"dataset_id": "d"}, {"status": "idle"}]}, False),
    ({"dataset_id": {"$gt": "d"}}, False),
    ({"task_id": "t"}, False),
    ({}, False),
])
def test_which_queries_ask_one_shard(query: dict[str, Any], one: bool) -> None:
    assert asks_one_shard("tasks", query) is one
