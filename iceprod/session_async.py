"""The same for asyncio: nothing here blocks the event loop. ::

    from iceprod.client import connect_async

    async with connect_async() as ice:
        scans = [await ice.scan(path) for path in events]
        await asyncio.gather(*(scan.wait() for scan in scans))

Requests run in threads of the session's own; a task that is cancelled stops waiting at once, and the request
that was under way ends by itself.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from iceprod.session import (
    BestFit,
    Dataset,
    DatasetProgress,
    Scan,
    ScanProgress,
    Session,
    dataset_result,
    scan_result,
)
from iceprod.submission import RECO
from iceprod.transport import Client, ClientError

__all__ = ["AsyncDataset", "AsyncScan", "AsyncSession"]

_THREADS = 64  # as many waits at once; more take turns
_T = TypeVar("_T")


class _Runner:
    """Runs blocking functions in threads."""

    def __init__(self, client: Client) -> None:
        self._client, self._over = client, threading.Event()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="iceprod")
        client.pause = self._pause

    async def __call__(self, function: Callable[..., _T], *args: Any, **more: Any) -> _T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *args, **more))

    async def each(self, news: Iterator[_T]) -> AsyncIterator[_T]:
        """What an iterator yields, each step in a thread."""
        while (one := await self(next, news, None)) is not None:
            yield one

    def _pause(self, seconds: float) -> None:
        if self._over.wait(seconds):
            raise ClientError("the session was closed")

    def stop(self) -> None:
        """End what is still under way, because somebody was cancelled, and close all connections."""
        self._over.set()
        self._client.hang_up()
        self._pool.shutdown(cancel_futures=True)
        self._client.__exit__()


class AsyncScan:
    """A scan on the server."""

    def __init__(self, scan: Scan, run: _Runner) -> None:
        self._scan, self._run = scan, run
        self.scan_id, self.url = scan.scan_id, scan.url

    async def progress(self) -> ScanProgress:
        """How far it is now."""
        return await self._run(self._scan.progress)

    def follow(self) -> AsyncIterator[ScanProgress]:
        """How far it is, again whenever there is news, until it is over."""
        return self._run.each(self._scan.follow())

    async def wait(self, progress: Callable[[ScanProgress], object] | None = None) -> ScanProgress:
        """Wait until the map is final, and call `progress` whenever there is news. Raises WorkFailed."""
        return scan_result(self.scan_id, await _last(self.follow(), progress))

    async def best_fit(self) -> BestFit:
        """The most likely direction so far. Raises WorkFailed while there is none."""
        return await self._run(lambda: self._scan.best_fit)

    async def result(self) -> dict[str, Any]:
        """The map as far as it is known, as icecube-skyreader reads it."""
        return await self._run(self._scan.result)

    async def products(self) -> dict[str, str]:
        """The files that can be made of the map: names and what each holds."""
        return await self._run(self._scan.products)

    async def save(self, product: str, path: str | Path | None = None) -> Path:
        """Store one of the products; the path (default: its name)."""
        return await self._run(self._scan.save, product, path)

    async def abort(self) -> None:
        """End it before it is done; what it found so far stays readable."""
        await self._run(self._scan.abort)


class AsyncDataset:
    """A dataset on the server."""

    def __init__(self, dataset: Dataset, run: _Runner) -> None:
        self._dataset, self._run = dataset, run
        self.dataset_id = dataset.dataset_id

    async def progress(self) -> DatasetProgress:
        """How far it is now."""
        return await self._run(self._dataset.progress)

    def follow(self) -> AsyncIterator[DatasetProgress]:
        """How far it is, once a second, until it is over."""
        return self._run.each(self._dataset.follow())

    async def wait(self, progress: Callable[[DatasetProgress], object] | None = None) -> DatasetProgress:
        """Wait until it is complete, and call `progress` once a second. Raises WorkFailed."""
        return dataset_result(self.dataset_id, await _last(self.follow(), progress))

    async def tasks(self, status: str | None = None) -> list[dict[str, Any]]:
        """Its tasks, or those in one status."""
        return await self._run(self._dataset.tasks, status)

    async def logs(self, task_id: str) -> dict[str, str]:
        """What a task printed when it ran last, by the name of the log."""
        return await self._run(self._dataset.logs, task_id)

    async def suspend(self) -> None:
        """Hold it back: what waits does not start, what runs is stopped."""
        await self._run(self._dataset.suspend)


class AsyncSession:
    """Submits datasets and scans."""

    def __init__(self, session: Session) -> None:
        self._session, self._run = session, _Runner(session.client)

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(self, *error: object) -> None:
        await asyncio.to_thread(self._run.stop)

    async def scan(self, event: str | Path | dict[str, Any], *, reco_algo: str = RECO,
                   nsides: str | None = None, is_real: bool | None = None) -> AsyncScan:
        """Start a scan of a realtime event: a file, or what such a file holds."""
        scan = await self._run(self._session.scan, event, reco_algo=reco_algo, nsides=nsides, is_real=is_real)
        return AsyncScan(scan, self._run)

    async def submit(self, config: str | Path | dict[str, Any], *, jobs: int = 1, description: str = "",
                     group: str = "users", priority: float = 0.5) -> AsyncDataset:
        """Submit a dataset: a YAML or JSON file, or what such a file holds."""
        dataset = await self._run(self._session.submit, config, jobs=jobs, description=description,
                                  group=group, priority=priority)
        return AsyncDataset(dataset, self._run)

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        """Any other request; the decoded JSON of the answer, or bytes."""
        return await self._run(self._session.client.request, method, path, body)


async def _last(news: AsyncIterator[_T], tell: Callable[[_T], object] | None) -> _T:
    last: _T
    async for last in news:
        if tell:
            tell(last)
    return last
