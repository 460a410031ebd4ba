"""What an analysis is given of an object, on a real store."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import numpy as np
import pytest

from scanner.maps.result import ScanMetadata, ScanResult
from server.common.errors import BadRequest
from server.desk.analyses import inputs, services
from server.desk.common.access import Visitor
from server.desk.common.vocabulary import ENUM_TYPES
from server.desk.judgement import scan_maps
from server.desk.maps import localizations
from server.desk.maps.localizations import NewLocalization
from server.desk.maps.skymaps import of_cone
from server.rest.context import Context
from server.scans.results import maps, results
from tests.support.scans import made_up_map

WHO = Visitor(1, "ada")
OBJECT = {"_id": "o", "ra": 10.0, "dec": 5.0, "hpix29": None, "redshift": None, "redshift_error": None}
EVENT = ScanMetadata(run_id=7, event_id=11, event_type="neutrino", mjd=60017.25)


async def given(ctx: Context, kind: str, where: str) -> Any:
    return (await inputs.gather(ctx, WHO, OBJECT, [kind], {"localization": where}))[kind]


async def test_the_pixels_of_a_scan(ctx: Context) -> None:
    result = ScanResult(made_up_map("4:0,16:12"), EVENT, complete=True)
    result.pixels[4]["llh"][3] = np.nan
    await results.put(ctx, "scan1", maps.result_text(result), True)
    await scan_maps.take_in_all(ctx)
    first, *lines = (await given(ctx, "scan_result", "2023-03-14T06:00:00/scan1")).splitlines()
    assert first == "nside,index,llh,E_in,E_tot,X,Y,Z,T"
    assert len(lines) == sum(map(len, result.pixels.values()))
    row = result.pixels[16][0]
    index = len(result.pixels[4])
    assert lines[index].split(",")[:3] == ["16", str(row["index"]), repr(float(row["llh"]))]
    assert lines[3].split(",")[2] == ""


async def test_a_map_of_no_scan_has_no_pixels(ctx: Context) -> None:
    moment = datetime(2023, 3, 14, 5, 6, 7)
    await localizations.put(ctx, NewLocalization(moment, "cone", of_cone(150.0, 2.2, 0.5), 0.0))
    with pytest.raises(BadRequest, match="the map cone is of no scan"):
        await given(ctx, "scan_result", "2023-03-14T05:06:07/cone")


async def test_a_scan_that_was_deleted(ctx: Context) -> None:
    moment = datetime(2023, 3, 14, 5, 6, 7)
    tiles = of_cone(150.0, 2.2, 0.5)
    await localizations.put(ctx, NewLocalization(moment, "gone", tiles, 0.0, "gone"))
    with pytest.raises(BadRequest, match="scan_result"):
        await given(ctx, "scan_result", "2023-03-14T05:06:07/gone")


@pytest.mark.parametrize("kind", ENUM_TYPES["ANALYSIS_TYPES"])
async def test_services_take_what_the_vocabulary_offers(ctx: Context, kind: str) -> None:
    fields = {
        "name": "fit", "display_name": "fit", "description": "", "version": "1", "contact_name": "v",
        "contact_email": None, "url": "grid:lightcurve-fit", "optional_analysis_parameters": {},
        "authentication_type": "none", "analysis_type": kind,
        "input_data_types": ENUM_TYPES["ANALYSIS_INPUT_TYPES"], "timeout": 60.0, "upload_only": False,
        "is_summary": False, "group_ids": []}
    number = await services.add(ctx, fields, None)
    assert msgspec.json.encode(services.shown(await services.find(ctx, Visitor(
        1, "ada", frozenset({"System admin"})), number)))


def test_every_input_of_the_vocabulary_can_be_made() -> None:
    assert set(inputs._MAKERS) == set(ENUM_TYPES["ANALYSIS_INPUT_TYPES"])
