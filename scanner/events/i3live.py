"""Realtime events as i3live delivers them: JSON around compressed, pickled frames.

Four generations differ in the shell only: lists of frames (2016, 2017), ``data.frames`` (from 2021 on,
with header values beside them) and the ``GCDQp_packet`` of a scanner's start-up file. Each frame is a
pair of a stop letter and text: base64 of zlib of a pickle of one I3Frame. Nothing is unpickled, every
size is bounded, and whatever is wrong becomes an `EventError`. A frame that nobody needs may be damaged: it
is left out, with the reason.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from config.detector import dom_positions
from config.json_text import JsonError, decode
from config.unpacking import TooMuch, UnpackError, inflate
from scanner.common.errors import EventError
from scanner.events.cleaning import clean
from scanner.events.event import Event
from scanner.events.frame import Frame, decode_frame
from scanner.events.packet import Packet
from scanner.events.pickles import frame_from_pickle

__all__ = ["MAX_JSON_BYTES", "document_of", "event_of", "name_of", "read_event", "read_frames"]

#: Bounds on what is read at all; the largest known event has 0.5 MB of JSON and 0.8 MB of frames.
MAX_JSON_BYTES = 8 << 20
MAX_FRAMES = 32
MAX_INFLATED_BYTES = 16 << 20

_REAL_RUNS = range(100_000, 1_000_000)  # as icecube-skyreader has it
_UNKNOWN_TYPE = "unknown"
_NEEDED = "QPp"  # frames that hold what a scan reads
_PLACES = (("GCDQp_packet",), ("value", "data"), ("value",), ("data",), ())  # of the frames, by generation

Source = Mapping[str, Any] | bytes | str | Path


def read_event(source: Source, *, name: str = "event", is_real_event: bool | None = None,
               positions: np.ndarray | None = None) -> Event:
    """Read an i3live event of any generation.

    Parameters
    ----------
    source : mapping, bytes, str or Path
        The parsed JSON, its text, or the file that holds it (a ``str`` that does not start with a brace is
        the name of a file).
    name : str
        What error messages call the event; of a file its name.
    is_real_event : bool, optional
        Whether the detector saw it. By default its run number decides: 100000 … 999999 are real, except for
        an event that carries its simulated truth.
    positions : ndarray, shape (86, 60, 3), optional
        DOM positions in metres for the pulse cleaning; by default IceCube's.

    Returns
    -------
    Event
        Times in ns as stored, which is since the start of the readout; ``mjd`` is the start of the split.

    Raises
    ------
    EventError
        When the source is not such an event; the text names file, frame and byte.
    """
    try:
        return event_of(Packet(read_frames(source)), is_real_event, positions)
    except EventError as error:
        error.source = name_of(source) or name
        raise


def name_of(source: Source) -> str:
    """The name of the file that a source is; empty for another source."""
    file = _as_file(source)
    return file.name if file else ""


def _as_file(source: Source) -> Path | None:
    """The file that a source is, if it is one."""
    if isinstance(source, str) and not source.lstrip().startswith("{"):
        return Path(source)
    return source if isinstance(source, Path) else None


def read_frames(source: Source) -> list[Frame]:
    """Decode all frames of an i3live event, checksums included; arguments and errors as of `read_event`."""
    frames = []
    left = MAX_INFLATED_BYTES
    for number, pair in enumerate(_frame_pairs(document_of(source))):
        stop, text = _stop_and_text(number, pair)
        try:
            pickled = _inflate(text, left)
            left -= len(pickled)
            frames.append(_frame(stop, pickled))
        except EventError as error:
            if stop in _NEEDED or isinstance(error, _TooLarge):
                error.frame = error.frame or stop
                raise
            frames.append(Frame(stop, damage=error.reason))
    return frames


def _frame(stop: str, pickled: bytes) -> Frame:
    frame = decode_frame(frame_from_pickle(pickled))
    if frame.stop != stop:
        raise EventError(f"the frame calls itself {frame.stop!r}", offset=10)
    return frame


class _TooLarge(EventError):
    """The frames inflate to more than all that is allowed."""


def event_of(packet: Packet, is_real_event: bool | None = None,
             positions: np.ndarray | None = None) -> Event:
    """The event of a packet of frames; arguments and errors as of `read_event`."""
    positions = dom_positions() if positions is None else positions
    header = packet.header()
    pulses = packet.pulses()
    truth, recos, exclusions = packet.truth(), packet.recos(), packet.exclusions()
    event_type = packet.event_type() or _UNKNOWN_TYPE
    if is_real_event is None:
        is_real_event = truth is None and header.run_id in _REAL_RUNS
    return Event(
        run_id=header.run_id, subrun_id=header.subrun_id, event_id=header.event_id,
        event_type=event_type, mjd=header.start.mjd, is_real_event=is_real_event,
        pulses=pulses, cleaned=clean(pulses, positions), recos=recos, truth=truth,
        exclusions=exclusions, notes=tuple(packet.notes))


def document_of(source: Source) -> Mapping[str, Any]:
    """The JSON object of a source; raises EventError."""
    if isinstance(source, Mapping):
        return source
    file = _as_file(source)
    if file is not None:
        source = _file_content(file)
    assert not isinstance(source, Path), "a path is a file"
    if len(source) > MAX_JSON_BYTES:
        raise EventError(f"{len(source)} bytes of JSON are more than the {MAX_JSON_BYTES} allowed")
    try:
        document = decode(source, gaps=True)
    except JsonError as error:
        raise EventError(f"this is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise EventError("the JSON is not an object")
    return document


def _file_content(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_JSON_BYTES + 1)
    except (OSError, ValueError) as error:
        raise EventError(f"the file cannot be read: {error}") from None


def _frame_pairs(document: Mapping[str, Any]) -> list[Any]:
    """The list of frames, wherever this generation keeps it."""
    pairs = next((found for keys in _PLACES if (found := _frames_at(document, keys)) is not None), None)
    if pairs is None:
        raise EventError("no list of frames at value.data, value.data.frames or GCDQp_packet.frames")
    if len(pairs) > MAX_FRAMES:
        raise EventError(f"{len(pairs)} frames are more than the {MAX_FRAMES} allowed")
    return pairs


def _frames_at(document: Any, keys: tuple[str, ...]) -> list[Any] | None:
    """The frames at a place, as a list there or as its ``frames``."""
    for key in keys:
        document = document.get(key) if isinstance(document, Mapping) else None
    found = document.get("frames") if isinstance(document, Mapping) else document
    return found if isinstance(found, list) else None


def _stop_and_text(number: int, pair: Any) -> tuple[str, str]:
    if isinstance(pair, list | tuple) and len(pair) == 2:
        stop, text = pair
        if isinstance(stop, str) and isinstance(text, str) and len(stop) == 1:
            return stop, text
    raise EventError("a frame is a pair of a stop letter and text", frame=f"number {number}")


def _inflate(text: str, limit: int) -> bytes:
    """Undo base64 and zlib; never more than ``limit`` bytes are produced."""
    try:
        compressed = base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise EventError(f"this is not base64: {error}") from None
    try:
        return inflate(compressed, limit)
    except TooMuch:
        raise _TooLarge(f"the frames inflate to more than {MAX_INFLATED_BYTES} bytes") from None
    except UnpackError as error:
        raise EventError(str(error)) from None
