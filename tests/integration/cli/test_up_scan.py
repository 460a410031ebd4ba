"""``iceprod scan`` and its relatives, on a whole installation."""

from __future__ import annotations

import base64
import json
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from iceprod.following import follow_scan
from scanner.maps.result import ScanResult
from tests.support.installation import PATIENCE, Installed, installation

pytestmark = pytest.mark.slow

SMALL = "4:0,32:8,128:12"
LARGE = "64:0"


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installed]:
    """One installation with two pilots, and a simulated event in ``event.json``."""
    with installation(tmp_path_factory.mktemp("scan"), pilots=2) as here:
        said = here.iceprod("simulate", "--seed", "7", "--out", "event.json")
        assert said.startswith("event.json: run 0 event 7, ")
        yield here


def scan_id_of(said: str) -> str:
    return said.partition("scan ")[2].partition(",")[0]


def stored_energy(path: Path) -> object:
    energy = ScanResult.from_npz(path).energy
    return None if energy is None else energy.document()


def test_one_object_with_everything(here: Installed) -> None:
    document = json.loads(here.iceprod("scan", "event.json", "--nsides", SMALL, "--json", "--out", "results"))
    truth = json.loads((here.root / "event.json").read_text())["truth"]
    assert set(document) == {
        "address", "scan_id", "run_id", "event_id", "reco_algo", "best_fit", "area_50_deg2", "area_90_deg2",
        "level_set", "area_50_limits", "area_90_limits", "reconstruction", "choice", "energy",
        "levels", "pixels", "wall_s", "cpu_s", "files", "truth", "distance_deg"}
    assert (document["run_id"], document["event_id"], document["reco_algo"]) == (0, 7, "auto")
    assert (document["reconstruction"], document["level_set"]) == ("track", "calibrated_track")
    assert document["choice"]["reco"] == "track"
    assert 0.5 < document["choice"]["sureness"] <= 1
    assert set(document["best_fit"]) == {"ra_deg", "dec_deg", "llh", "nside", "pixel"}
    assert document["truth"] == {"ra_deg": truth["ra_deg"], "dec_deg": truth["dec_deg"]}
    assert document["distance_deg"] < 1.5
    assert document["energy"]["kind"] == "muon"
    assert document["energy"]["gev"] < document["energy"]["neutrino"]["gev"]
    assert stored_energy(here.root / document["files"]["npz"]) == document["energy"]
    assert 0 < document["area_50_deg2"] <= document["area_90_deg2"]
    assert [level["nside"] for level in document["levels"]] == [4, 32, 128]
    assert document["levels"][0]["pixels"] == 192
    assert document["pixels"] == sum(level["pixels"] for level in document["levels"])
    assert document["wall_s"] > 0
    assert document["cpu_s"] > 0
    assert set(document["files"]) == {"skymap", "zoom", "result", "npz"}
    for name in ("skymap", "zoom"):
        assert (here.root / document["files"][name]).read_bytes().startswith(b"\x89PNG")
    result = json.loads((here.root / document["files"]["result"]).read_text())
    assert [len(result[f"nside-{level['nside']}"]["data"]) for level in document["levels"]] == [
        level["pixels"] for level in document["levels"]]


def test_the_first_pixels_come_soon(here: Installed, record_property: Callable[[str, object], None]) -> None:
    """How soon is recorded, not judged: it depends on what else the machine does."""
    event = json.loads((here.root / "event.json").read_text())
    request = {"docker_tag": "latest", "reco_algo": "track_mpe", "real_or_simulated_event": "simulated",
               "nsides": {"8": 0, "64": 12, "512": 24}, "priority": 100, "max_pixel_reco_time": 60,
               "request_clusters": {"local": 1}, "event_i3live_json": event}
    here.wait_for_pilots(2)
    with here.client() as client:
        began, first = time.monotonic(), 0.0
        scan_id = client.post("/scan", request)["scan_id"]
        for progress in follow_scan(client, scan_id):
            if progress["pixels_done"] and not first:
                first = time.monotonic() - began
    assert progress["is_final"]
    record_property("seconds_to_first_pixels", round(first, 3))
    record_property("seconds_to_final_map", round(time.monotonic() - began, 3))
    print(f"first pixels after {first:.2f} s, {progress['pixels_done']} pixels after "
          f"{time.monotonic() - began:.2f} s")


def test_a_person_reads_what_came_out(here: Installed) -> None:
    said = here.iceprod("scan", "event.json", "--nsides", SMALL)
    for text in ("best fit   RA ", "areas      50 %: ", "by calibrated_track",
                 "auto       chose track", "from the best fit)", "skymap.png", "/web/scans/"):
        assert text in said


def test_ctrl_c_leaves_the_scan_running_and_says_how_to_go_on(here: Installed) -> None:
    process = here.start("scan", "event.json", "--nsides", "32:0")
    assert process.stdout is not None
    said = process.stdout.readline()
    assert any("nside 32" in line for line in iter(process.stdout.readline, "")), "it ended before"
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    scan_id = scan_id_of(said)
    assert f"iceprod watch {scan_id}" in rest
    assert f"iceprod abort {scan_id}" in rest
    assert not here.processes("iceprod scan")
    document = json.loads(here.iceprod("watch", scan_id, "--json"))
    assert document["levels"] == [{"nside": 32, "pixels": 12288}]


def test_an_aborted_scan_has_no_result(here: Installed) -> None:
    process = here.start("scan", "event.json", "--nsides", LARGE)
    assert process.stdout is not None
    scan_id = scan_id_of(process.stdout.readline())
    here.iceprod("abort", scan_id)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert err.startswith(f"error: scan {scan_id} has no result: ")
    assert here.iceprod("watch", scan_id, status=1).endswith(err)


def test_a_broken_event_names_file_frame_and_byte(here: Installed) -> None:
    document = json.loads((here.root / "event.json").read_text())
    frames = document["value"]["data"]["frames"]
    packed = bytearray(zlib.decompress(base64.b64decode(frames[-1][1])))
    packed[len(packed) // 2] ^= 0xFF
    frames[-1][1] = base64.b64encode(zlib.compress(bytes(packed))).decode()
    (here.root / "broken.json").write_text(json.dumps(document))
    said = here.iceprod("scan", "broken.json", status=2)
    assert said.startswith("error: broken.json, frame ")
    assert "byte " in said
    assert said.count("\n") == 1


@pytest.mark.parametrize(("options", "text"), [
    (["--reco-algo", "track_mep"], "did you mean 'track_mpe'?"),
    (["--nsides", "7:0"], "7 is not a power of two"),
    (["--cluster", "osg"], "'osg' is not SITE:N"),
    (["--cluster", "osg:0"], "'osg:0' is not SITE:N"),
    (["--cluster", "local:1", "--cluster", "nowhere:1"], "unknown cluster: nowhere"),
    (["--threshold", "1.5"], "--threshold"),
    (["--real"], "run_id"),
])
def test_what_cannot_be_scanned(here: Installed, options: list[str], text: str) -> None:
    said = here.iceprod("scan", "event.json", *options, status=2)
    assert text in said
    assert said.count("\n") == 1


def test_tokens_decide_what_one_may(here: Installed) -> None:
    nobody = here.iceprod("token", "--data", here.data, "--user", "nobody").strip()
    for token, why in ((nobody, "its roles and groups do not allow this"), ("rubbish", "give a valid token")):
        said = here.iceprod("scan", "event.json", "--nsides", SMALL, "--token", token, status=2)
        assert why in said


def test_recos(here: Installed) -> None:
    with here.client() as client:
        assert json.loads(here.iceprod("recos", "--json")) == client.get("/recos")


def test_an_unknown_scan(here: Installed) -> None:
    for command in ("watch", "abort"):
        assert here.iceprod(command, "0x0", status=2).count("\n") == 1


def test_simulated_events_repeat(here: Installed, tmp_path: Path) -> None:
    for name in ("a", "b"):
        here.iceprod("simulate", "--seed", "3", "--zenith", "90", "--out", tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert "too dim" in here.iceprod("simulate", "--vertex", "0", "9000", "0", "--zenith", "0", status=2)
