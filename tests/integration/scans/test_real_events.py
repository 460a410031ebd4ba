"""Events that the detector saw: checksums, masks, cleaning and directions against what the packets say.

The data are public but not part of the project: `make events` fetches them.
"""

from __future__ import annotations

import base64
import contextlib
import json
import zlib
from pathlib import Path
from typing import Any

import healpy
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from config.detector import dom_positions
from scanner.common.errors import EventError
from scanner.events.archive import ArchiveReader
from scanner.events.cleaning import cleaned_mask, seeded_neighbours
from scanner.events.directions import detector_to_icrs
from scanner.events.event import Event, Pulses
from scanner.events.frame import Frame, FrameObject, encode_frame
from scanner.events.i3live import read_event, read_frames
from scanner.events.i3objects import (
    read_particle,
    read_pulse_map,
    read_string,
    read_time_windows,
    write_pulse_map,
    write_time_windows,
)
from scanner.events.masks import read_mask, write_mask
from scanner.events.packet import Packet
from scanner.events.pickles import frame_to_pickle
from scanner.events.writer import write_event
from tests.support.data import EVENTS, real

pytestmark = pytest.mark.skipif(not EVENTS.is_dir(), reason=f"no real events: {EVENTS}")

LIVE = ["136662_35405932", "138632_31747601", "event_HESE_2017-11-28", "hese_event_00", "hese_event_01"]
STARTUP = ["startup/BRONZE_millipede_original", "startup/BRONZE_splinempe"]
ALL = [*LIVE, *STARTUP]
MAP_TYPE = "I3Map<OMKey, vector<I3RecoPulse> >"
WINDOWS_TYPE = "I3Map<OMKey, I3TimeWindowSeries>"
MASK_TYPE = "I3RecoPulseSeriesMapMask"


def path_of(name: str) -> Path:
    return real(f"{name}.json")


def frame_of(name: str, stops: str) -> Frame:
    return next(frame for frame in read_frames(path_of(name)) if frame.stop in stops)


def archive(item: FrameObject) -> ArchiveReader:
    return ArchiveReader(item.data, item.frame, item.offset)


def columns(pulses: Pulses) -> list[list[float]]:
    return [getattr(pulses, name).tolist() for name in Pulses.__dataclass_fields__]


@pytest.mark.parametrize(("name", "run", "event", "event_type", "mjd", "n_pulses"), [
    ("136662_35405932", 136662, 35405932, "neutrino", 59723.32051140454, 763),
    ("138632_31747601", 138632, 31747601, "neutrino", 60280.71416774572, 948),
    ("event_HESE_2017-11-28", 130322, 1414689, "HESE", 58086.451842402865, 3292),
    ("hese_event_00", 127907, 16605651, "HESE", 57517.62789262638, 635),
    ("hese_event_01", 127907, 20178442, "HESE", 57517.64354153215, 410),
    *((name, 136662, 35405932, "neutrino", 59723.32051140454, 763) for name in STARTUP),
])
def test_headers(name: str, run: int, event: int, event_type: str, mjd: float, n_pulses: int) -> None:
    read = read_event(path_of(name))
    assert (read.run_id, read.event_id, read.event_type, read.mjd) == (run, event, event_type, mjd)
    assert (read.is_real_event, read.truth, len(read.pulses)) == (True, None, n_pulses)
    assert any("SplineMPE" in key or "SPEFit2" in key for key in read.recos)


@pytest.mark.parametrize("name", ALL)
def test_frames_and_masks_are_written_as_they_came(name: str) -> None:
    """Reading verifies the checksums; writing the parsed objects again gives the same bytes."""
    frames = read_frames(path_of(name))
    assert [frame.stop for frame in frames] == ["G", "C", "D", "Q", "p" if name in STARTUP else "P"]
    for frame in frames:
        for item in frame.objects.values():
            if item.type_name == MASK_TYPE:
                assert write_mask(read_mask(archive(item))) == item.data
            if item.type_name == MAP_TYPE:
                assert write_pulse_map(read_pulse_map(archive(item))) == item.data
            if item.type_name == WINDOWS_TYPE:
                assert write_time_windows(read_time_windows(archive(item))) == item.data


@pytest.mark.parametrize("name", ALL)
def test_every_mask_applies(name: str) -> None:
    frames = read_frames(path_of(name))
    packet = Packet(frames)
    masks = [key for frame in frames for key, item in frame.objects.items() if item.type_name == MASK_TYPE]
    assert masks
    for key in masks:
        assert len(packet.pulse_map(key).pulses) > 0


def test_the_official_cleaning_is_reproduced() -> None:
    packet = Packet(read_frames(path_of("startup/BRONZE_splinempe")))
    pulses = packet.pulses()
    for key, mask, number in [
        ("SplitRTCleanedInIcePulses", seeded_neighbours(pulses, dom_positions()), 701),
        ("CleanedMuonPulsesIC", cleaned_mask(pulses, dom_positions()), 668),
    ]:
        official = packet.pulse_map(key).to_pulses()
        assert len(official) == number
        assert columns(pulses.select(mask)) == columns(official)


@pytest.mark.parametrize("name", ["136662_35405932", "138632_31747601", *STARTUP])
def test_the_alert_counts_the_same_pulses(name: str) -> None:
    item = frame_of(name, "Pp").objects["AlertShortFollowupMsg"]
    message = json.loads(read_string(archive(item)))
    cleaned = read_event(path_of(name)).cleaned
    assert message["npulses"] == len(cleaned)
    assert message["nch"] == len(set(zip(cleaned.string.tolist(), cleaned.om.tolist(), strict=True)))
    assert message["qtot"] == pytest.approx(float(cleaned.charge.sum()), abs=0.01)


@pytest.mark.parametrize("name", ["hese_event_00", "hese_event_01"])
def test_compressed_pulses_are_the_uncompressed_ones(name: str) -> None:
    """InIceDSTPulses comes from SuperDST, which rounds to 1 ns and 0.05 PE."""
    packet = Packet(read_frames(path_of(name)))
    compressed, plain = packet.pulse_map("InIceDSTPulses"), packet.pulse_map("UncleanedInIcePulses")
    np.testing.assert_array_equal(compressed.keys, plain.keys)
    np.testing.assert_array_equal(compressed.counts, plain.counts)
    assert np.abs(compressed.pulses["time"] - plain.pulses["time"]).max() <= 0.5
    assert np.abs(compressed.pulses["charge"] - plain.pulses["charge"]).max() <= 0.025 + 1e-6
    np.testing.assert_array_equal(compressed.pulses["flags"] & 1, plain.pulses["flags"] & 1)


@pytest.mark.parametrize("name", ["136662_35405932", "138632_31747601"])
def test_stored_directions_are_those_of_the_message(name: str) -> None:
    splinempe = json.loads(path_of(name).read_text())["value"]["data"]["reco"]["splinempe"]
    event = read_event(path_of(name))
    reco = next(particle for key, particle in event.recos.items() if key.lower().endswith("l2_splinempe")
                or key.endswith("l2_online_SplineMPE"))
    assert reco.zenith == pytest.approx(splinempe["zen"], abs=6e-6)
    assert reco.azimuth == pytest.approx(splinempe["azi"], abs=6e-6)


def test_the_official_map_lies_around_the_stored_direction() -> None:
    """The old map's pixels have the declination's sign flipped; its minimum is 1.6° from SplineMPE."""
    event = read_event(path_of("136662_35405932"))
    with np.load(real("reference/run00136662-evt000035405932-BRONZE-8_64_512.npz")) as maps:
        finest = maps["nside-512"]
    theta, phi = healpy.pix2ang(512, finest["index"][np.argmin(finest["llh"])])
    reco = event.recos["OnlineL2_SplineMPE"]
    ra, dec = detector_to_icrs(reco.zenith, reco.azimuth, event.mjd)
    official = healpy.ang2vec(np.pi - theta, phi)
    distance = np.degrees(np.arccos(official @ healpy.ang2vec(np.pi / 2 - dec, ra)))
    assert 1.4 < distance < 1.8


def test_written_events_are_read_back() -> None:
    for name in LIVE:
        event = read_event(path_of(name))
        again = read_event(json.dumps(write_event(event)))
        assert columns(again.pulses) == columns(event.pulses)
        assert columns(again.cleaned) == columns(event.cleaned)
        assert header(again) == header(event)


def header(event: Event) -> tuple[Any, ...]:
    numbers = (event.run_id, event.subrun_id, event.event_id, event.mjd)
    return (*numbers, event.event_type, repr(event.recos), event.exclusions)


def test_particles_are_used_up_to_the_last_byte() -> None:
    for name in ALL:
        for item in frame_of(name, "Pp").objects.values():
            if item.type_name == "I3Particle":
                read_particle(archive(item))
                with pytest.raises(EventError):
                    read_particle(ArchiveReader(item.data[:-1]))


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data(), st.sampled_from(["138632_31747601", "hese_event_01", "startup/BRONZE_splinempe"]))
def test_damaged_objects_are_noticed_or_read(data: st.DataObject, name: str) -> None:
    """Changes within an object, the checksum repaired, so that every parser sees them."""
    frames = read_frames(path_of(name))[3:]
    number = data.draw(st.sampled_from([0, 1]))
    objects = dict(frames[number].objects)
    key = data.draw(st.sampled_from(sorted(objects)))
    content = bytearray(objects[key].data)
    for _ in range(data.draw(st.integers(1, 4))):
        place = data.draw(st.integers(0, len(content) - 1))
        content[place:place + data.draw(st.sampled_from([0, 1, 1, 4]))] = data.draw(st.binary(max_size=4))
        content = content or bytearray(1)
    objects[key] = FrameObject(objects[key].type_name, bytes(content))
    frames[number] = Frame(frames[number].stop, objects)
    packed = [[frame.stop, base64.b64encode(zlib.compress(frame_to_pickle(encode_frame(frame)), 1)).decode()]
              for frame in frames]
    with contextlib.suppress(EventError):
        read_event({"value": {"data": packed}})
