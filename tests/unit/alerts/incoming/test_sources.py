"""Sources: files, Kafka's real protocol, real ZeroMQ; and what happens when storing fails."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from config.alerts import AlertSource
from server.alerts.common import alerts
from server.alerts.common.alerts import Search
from server.alerts.incoming import folder_source
from server.alerts.incoming.folder_source import FolderSource
from server.alerts.incoming.kafka_source import KafkaSource
from server.alerts.incoming.sources import Source, listen_once, standings
from server.alerts.incoming.zeromq_source import ZeroMQSource, _split
from server.rest.context import Context
from tests.support.alerts import running_kafka
from tests.support.api import free_port

PATIENCE = 30.0


async def stored(ctx: Context, source: Source, count: int) -> list[alerts.Alert]:
    """Listen until so many alerts are stored."""
    end = time.monotonic() + PATIENCE
    while len(found := await alerts.listed(ctx, Search(), 0, 100)) < count and time.monotonic() < end:
        await listen_once(ctx, "here", source, 0.5)
    return found


def put(folder: Path, name: str, data: bytes) -> None:
    (folder / name).write_bytes(data)
    old = time.time() - 1
    os.utime(folder / name, (old, old))


async def test_a_folder(ctx: Context, tmp_path: Path) -> None:
    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path), stream="night"))
    put(tmp_path, "a.json", b"{}")
    for name in (".hidden", "half.json.part", "half.tmp"):
        put(tmp_path, name, b"x")
    found = await stored(ctx, source, 1)
    assert [(one.stream, one.origins[0].place) for one in found] == [("night", "a.json")]
    assert (tmp_path / "taken" / "a.json").read_bytes() == b"{}"
    assert {path.name for path in tmp_path.iterdir()} == {".hidden", "half.json.part", "half.tmp", "taken"}


async def test_a_file_that_is_being_written_waits(ctx: Context, tmp_path: Path) -> None:
    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path)))
    (tmp_path / "new.json").write_bytes(b"{")
    os.utime(tmp_path / "new.json", (time.time() + 5, time.time() + 5))
    assert await listen_once(ctx, "here", source, 0.3) == 0


async def test_a_folder_that_is_not_there(ctx: Context, tmp_path: Path) -> None:
    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path / "none")))
    with pytest.raises(OSError, match="none"):
        await listen_once(ctx, "here", source, 0.1)


async def test_a_message_that_is_stored_but_not_told_comes_again(ctx: Context, tmp_path: Path) -> None:
    """A crash between storing and telling the source: the same file once more is the same alert."""
    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path)))
    put(tmp_path, "a.json", b"{}")
    for arrival in await source.poll(0.1):
        await alerts.arrive(ctx, arrival)
    assert await listen_once(ctx, "here", source, 0.1) == 1
    found, = await alerts.listed(ctx, Search(), 0, 10)
    assert len(found.origins) == 2


async def test_kafka_commits_only_what_is_stored(ctx: Context) -> None:
    with running_kafka() as kafka:
        kafka.send("alerts", b'{"n": 1}')
        settings = AlertSource(kind="kafka", address=kafka.address, topics=["alerts"], group="night",
                               options={"auto.offset.reset": "earliest",
                                        "session.timeout.ms": "6000"})  # mock brokers miss who leaves
        first = KafkaSource(ctx, "here", settings)
        await polled(first)  # it was read, and then the process died: nothing was stored, nothing committed
        await first.close()
        second = KafkaSource(ctx, "here", settings)
        found = await stored(ctx, second, 1)
        assert [one.stream for one in found] == ["alerts"]
        assert found[0].origins[0].place.endswith("]@0")
        await second.close()
        kafka.send("alerts", b'{"n": 2}')
        third = KafkaSource(ctx, "here", settings)
        assert len(await stored(ctx, third, 2)) == 2
        assert all(len(one.origins) == 1 for one in await alerts.listed(ctx, Search(), 0, 10)), "came twice"
        await third.close()


async def polled(source: Source) -> list[Any]:
    end = time.monotonic() + PATIENCE
    while not (found := list(await source.poll(0.5))):
        assert time.monotonic() < end
    return found


async def test_kafka_without_topics_or_broker(ctx: Context) -> None:
    pytest.importorskip("confluent_kafka", reason="no confluent-kafka")
    with pytest.raises(OSError, match="topics"):
        KafkaSource(ctx, "here", AlertSource(kind="kafka", address="127.0.0.1:9"))
    source = KafkaSource(ctx, "here", AlertSource(kind="kafka", address="127.0.0.1:9", topics=["a"]))
    with pytest.raises(OSError, match="127"):
        await polled(source)
    await source.close()


@pytest.mark.parametrize("send", [
    lambda socket, data: socket.send_multipart([b"neutrino", data]),
    lambda socket, data: socket.send(b"neutrino " + data),
], ids=["parts", "one part"])  # fmt: skip
async def test_zeromq(ctx: Context, send: Callable[[Any, bytes], None]) -> None:
    zmq = pytest.importorskip("zmq", reason="no pyzmq")
    address = f"tcp://127.0.0.1:{free_port()}"
    publisher = zmq.Context.instance().socket(zmq.XPUB)  # which is told of who subscribes
    publisher.bind(address)
    source = ZeroMQSource(ctx, "here", AlertSource(kind="zeromq", address=address, topics=["neutrino"]))
    try:
        assert publisher.poll(20_000)
        assert publisher.recv() == b"\x01neutrino"
        publisher.send_multipart([b"other", b"{}"])
        send(publisher, b'{"n": 1}')
        found = await stored(ctx, source, 1)
        assert [(one.stream, one.size) for one in found] == [("neutrino", 8)]
    finally:
        await source.close()
        publisher.close(0)


def test_one_part_without_a_topic() -> None:
    assert _split(b'{"a": 1}') == (b"", b'{"a": 1}')
    assert _split(b'<x a="{}"/>') == (b"", b'<x a="{}"/>')


async def test_standings(ctx: Context, tmp_path: Path) -> None:
    assert await standings(ctx) == []


async def test_a_file_of_a_folder_stands_in_no_others_way(
        ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_source, "MOST_BYTES", 20)
    usual = Path.open

    def guarded(path: Path, *arguments: Any, **options: Any) -> Any:
        if path.name == "a-foreign.json":
            raise PermissionError(13, "Permission denied")
        return usual(path, *arguments, **options)

    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path)))
    put(tmp_path, "a-foreign.json", b"{}")
    put(tmp_path, "b-large.json", b" " * 21)
    put(tmp_path, os.fsdecode(b"c-caf\xe9.json"), b"{ }")
    put(tmp_path, "d.json", b"{}")
    monkeypatch.setattr(Path, "open", guarded)
    found = await stored(ctx, source, 2)
    assert {one.origins[0].place for one in found} == {"c-caf\N{REPLACEMENT CHARACTER}.json", "d.json"}
    assert {path.name for path in tmp_path.iterdir()} == {"a-foreign.json", "b-large.json", "taken"}
    assert "'a-foreign.json' cannot be taken: Permission denied" in source.trouble
    assert "'b-large.json' cannot be taken: it has more than" in source.trouble


async def test_few_files_are_in_memory_at_once(
        ctx: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(folder_source, "MOST_BYTES", 20)
    source = FolderSource(ctx, "here", AlertSource(kind="folder", address=str(tmp_path)))
    for number in range(5):
        put(tmp_path, f"{number}.json", b"%d" % number + b" " * 14)
    assert [len(await source.poll(0.1)) for _ in range(2)] == [2, 2], "not all at once"
    assert len(await stored(ctx, source, 5)) == 5
