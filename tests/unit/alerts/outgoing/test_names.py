"""Names of events, as pages ask for them."""

from __future__ import annotations

from datetime import datetime

from server.alerts.outgoing import names
from server.desk.maps.event_list import Row
from server.rest.context import Context
from server.web.desk import event_titles

MJD = 60280.2  # 2023-12-02


async def test_a_name_leads_to_its_event_and_back(ctx: Context) -> None:
    first = await names.name_of(ctx, "138632_31747601", "IceCube", MJD)
    second = await names.name_of(ctx, "test:138632_8", "TEST-IceCube", MJD)
    assert (first, second) == ("IceCube-231202A", "TEST-IceCube-231202A")
    assert await names.of_scopes(ctx, ["138632_31747601", "1_1"]) == {"138632_31747601": first}
    assert await names.scopes_of(ctx, "IceCube-231202B") == []
    assert await event_titles.aliases_of(ctx, first) == ("run138632.evt31747601",)
    assert await event_titles.aliases_of(ctx, second) == ("run138632.evt8",)


async def test_titles_take_the_names_of_notices(ctx: Context) -> None:
    await names.name_of(ctx, "138632_31747601", "IceCube", MJD)
    moment = datetime(2023, 12, 2, 5)
    row = Row({"dateobs": moment, "aliases": ["run138632.evt31747601"], "tags": ["scan"]}, [])
    told = await event_titles.titles(ctx, [row])
    assert str(told[moment]) == "IceCube-231202A"
