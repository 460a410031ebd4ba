"""A final map that cannot be stored ends the scan with a reason."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from pymongo.errors import DocumentTooLarge

from scanner.maps.result import ScanMetadata, nan_rows
from server.common.errors import BadRequest, NotFound
from server.scans.manifests import decoding
from server.scans.pixels.runs import Run
from server.scans.results import results
from server.scans.run import finish

RUN = Run(scan_id="s", dataset_id="d", i3_event_id="e", event=ScanMetadata(), reco="r", nsides="1:0",
          threshold=1.0, max_pixel_reco_time=1, memory_gb=1, disk_gb=1, priority=1)


@pytest.mark.parametrize("error", [BadRequest("too large"), DocumentTooLarge("too large")])
def test_a_map_that_cannot_be_stored_is_given_up(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, str]] = []

    async def refuse(*_: Any) -> None:
        raise error

    async def gone(*_: Any) -> None:
        raise NotFound("i3 event not found")

    async def give_up(ctx: Any, scan_id: str, reason: str) -> None:
        told.append((scan_id, reason))

    monkeypatch.setattr(results, "put", refuse)
    monkeypatch.setattr(decoding, "event", gone)
    monkeypatch.setattr(finish, "give_up", give_up)
    table = nan_rows(np.arange(12))
    table["llh"] = np.arange(12.0)
    asyncio.run(finish.finish(None, RUN, {1: table}))  # type: ignore[arg-type]
    assert told == [("s", "the final map cannot be stored: too large")]
