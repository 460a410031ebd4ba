"""Pictures of the sky: asked for once, never unless wanted, and only if they are pictures."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import msgspec
import pytest
from PIL import Image

from config.settings import Catalogs, Settings
from server.common.errors import BadRequest, NotFound
from server.desk.outside import sky_pictures
from server.desk.outside.calls import ServiceError
from server.desk.outside.sky_pictures import Cut, cut_out
from server.rest.context import Context
from tests.support.outside import Outside, running_services

CUT = Cut(150.0, 2.2, 1.5)


@pytest.fixture
def outside() -> Iterator[Outside]:
    with running_services() as running:
        yield running


@pytest.fixture
def asking(ctx: Context, outside: Outside) -> Context:
    catalogs = Catalogs(images_url=outside.url + "/images", sky_pictures=True, timeout_seconds=2.0, tries=1,
                        max_mb=1)
    settings = msgspec.structs.replace(Settings(), catalogs=catalogs)
    return Context(settings, ctx.db, "s" * 48)


async def test_nobody_is_asked_unless_it_is_wanted(ctx: Context) -> None:
    assert not Settings().catalogs.sky_pictures
    with pytest.raises(NotFound, match="sky_pictures"):
        await cut_out(ctx, CUT)


async def test_one_picture_is_asked_for_once(asking: Context, outside: Outside) -> None:
    data = await cut_out(asking, CUT)
    assert Image.open(BytesIO(data)).size == (800, 800)
    assert await cut_out(asking, CUT) == data
    assert [path for path, _ in outside.asked] == ["/images"]
    row = await asking.db.desk_transactions.find_one({})
    assert row is not None
    for part in ("projection=ZEA", "fov=1.500000", "ra=150.0000000", "dec=2.2000000", "format=jpg"):
        assert part in row["request"]["url"]
    await cut_out(asking, Cut(150.0, 2.2, 1.6))
    assert len(outside.asked) == 2


@pytest.mark.parametrize("fault", ["down", "garbage", "large", "redirect"])
async def test_what_is_no_picture_is_not_kept(asking: Context, outside: Outside, fault: str) -> None:
    outside.fault = fault
    with pytest.raises(BadRequest, match="The image service"):
        await cut_out(asking, CUT)
    outside.fault = ""
    assert (await cut_out(asking, CUT)).startswith(sky_pictures._MAGIC)


async def test_memory_has_an_end(asking: Context, monkeypatch: pytest.MonkeyPatch, outside: Outside) -> None:
    size = len(await cut_out(asking, CUT))
    sky_pictures._kept.clear()
    monkeypatch.setattr(sky_pictures, "_KEPT", int(2.5 * size))
    for number in range(5):
        await cut_out(asking, Cut(150.0, 2.2, 2.0 + number))
    assert sky_pictures._kept[asking.db].currsize <= 2.5 * size


async def test_a_service_that_is_not_there_is_told_in_words(asking: Context) -> None:
    catalogs = msgspec.structs.replace(asking.settings.catalogs, images_url="http://127.0.0.1:9/images")
    away = Context(msgspec.structs.replace(asking.settings, catalogs=catalogs), asking.db, "s" * 48)
    with pytest.raises(ServiceError) as error:
        await cut_out(away, CUT)
    assert error.value.reason == "The image service cannot be reached: Connection refused"
