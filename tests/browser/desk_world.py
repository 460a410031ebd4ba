"""What the desk's pages have to show: events of others, and candidates inside a map; made by the API."""

from __future__ import annotations

from dataclasses import dataclass

import requests

from tests.support.desk import ok

__all__ = ["NAMES", "Desk", "build_desk"]

NAMES = ("ZTF23aaaaaaa", "ZTF23aaaaaab", "ZTF23aaaaaac")
PLACE = (83.2, -5.1)
_CONES = (("2023-12-02T05:13:44.2", ["IceCube-231202A"], ["IceCube", "gold"], PLACE, 0.35),
          ("2023-11-20T17:40:01", ["IceCube-231120A"], ["IceCube", "bronze"], (12.1, 88.6), 0.6),
          ("2023-10-04T14:39:41", ["ivo://gcn.nasa.gov/fermi#GBM_Test_2023-10-04T14:39:41.25"], ["Fermi"],
           (201.4, 33.0), 6.0))


@dataclass(frozen=True)
class Desk:
    """The number of the map that candidates lie in, and the filter that they passed."""

    map: int
    filter: int
    group: int


def build_desk(admin: requests.Session) -> Desk:
    """Three events of others, the first with candidates, one of which has a class and a note."""
    maps = [ok(admin.post("/api/gcn_event", json={
        "dateobs": when, "aliases": names, "tags": tags,
        "skymap": {"ra": place[0], "dec": place[1], "error": error}}))["localization_id"]
        for when, names, tags, place, error in _CONES]
    group = ok(admin.post("/api/groups", json={"name": "night shift"}))["id"]
    stream = ok(admin.post("/api/streams", json={"name": "alerts"}))["id"]
    ok(admin.post(f"/api/groups/{group}/streams", json={"stream_id": stream}))
    made = ok(admin.post("/api/filters", json={"name": "bright", "stream_id": stream, "group_id": group}))
    for number, name in enumerate(NAMES):  # the first is the furthest from the best fit
        away = 0.12 * (len(NAMES) - number)
        body = {"id": name, "ra": PLACE[0] + away, "dec": PLACE[1] - away, "filter_ids": [made["id"]],
                "passed_at": f"2023-12-03T0{number}:00:00"}
        ok(admin.post("/api/candidates", json=body))
    ok(admin.post(f"/api/sources/{NAMES[0]}/annotations", json={"origin": "Gaia", "data": {"Mag_G": 17.25}}))
    table = f"name,ra,dec,distmpc\nNGC 1999,{PLACE[0] - 0.1},{PLACE[1] - 0.05},40\n"
    ok(admin.post("/api/galaxy_catalog/ascii", json={"catalogName": "near", "catalogData": table}))
    return Desk(maps[0], made["id"], group)
