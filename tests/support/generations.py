"""Events as other generations of IceTray and its compilers spell them."""

from __future__ import annotations

import base64
import binascii
import json
import re
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from scanner.events.archive import ArchiveWriter
from scanner.events.frame import Frame, FrameObject, decode_frame, encode_frame
from scanner.events.pickles import frame_from_pickle, frame_to_pickle
from scanner.events.pulsemap import PULSE, PulseMap

SPELLINGS: Mapping[str, Callable[[str], str]] = {
    "as it is": lambda name: name,
    "before C++11": lambda name: name.replace("__cxx11::", "").replace("string >", "string>"),
    "C++11 without spaces": lambda name: name.replace(" ", ""),
    "nothing filtered": lambda name: re.sub(
        r"vector<(\w+)>", r"std::vector<\1, std::allocator<\1> >", name.replace(
            "__cxx11::string",
            "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >")),
    "LLVM": lambda name: re.sub(
        r"vector<(\w+)>", r"std::__1::vector<\1, std::__1::allocator<\1> >",
        name.replace("__cxx11::string", "std::__1::basic_string<char>")),
    "typedefs": lambda name: {
        "I3Map<OMKey, vector<I3RecoPulse> >": "I3RecoPulseSeriesMap", "I3PODHolder<double>": "I3Double",
        "I3PODHolder<__cxx11::string >": "I3String",
        "I3Map<OMKey, I3TimeWindowSeries>": "I3TimeWindowSeriesMap",
    }.get(name, name),
    "keywords": lambda name: f"class {name}",
    "mangled": lambda name: "N" + "".join(f"{len(word)}{word}" for word in re.findall(r"\w+", name)),
}
"""Spellings of a type's name, by who spells so."""

Objects = Mapping[str, FrameObject]


def rewritten(document: Mapping[str, Any], edit: Callable[[str, Objects], Objects], *,
              version: int = 6, pickled: Callable[[bytes], bytes] = frame_to_pickle) -> dict[str, Any]:
    """The document with the objects of every frame edited, in a frame format of that version."""
    copy = json.loads(json.dumps(document))
    data = copy["GCDQp_packet"] if "GCDQp_packet" in copy else copy["value"]["data"]
    for pair in data["frames"] if isinstance(data, dict) else data:
        frame = decode_frame(frame_from_pickle(zlib.decompress(base64.b64decode(pair[1]))))
        encoded = _of_version(encode_frame(Frame(frame.stop, edit(frame.stop, frame.objects))), version)
        pair[1] = base64.b64encode(zlib.compress(pickled(encoded), 1)).decode()
    return copy


def respelt(document: Mapping[str, Any], spelling: str, **how: Any) -> dict[str, Any]:
    """The document with the type names of another compiler."""
    spell = SPELLINGS[spelling]
    return rewritten(document, lambda _, objects: {
        key: FrameObject(spell(item.type_name), item.data) for key, item in objects.items()}, **how)


def _of_version(frame: bytes, version: int) -> bytes:
    """A frame of version 6 as one of version 5, whose checksum is another."""
    if version == 6:
        return frame
    body = frame[:4] + struct.pack("<I", version) + frame[8:-4]
    return body + struct.pack("<I", binascii.crc_hqx(body[10:], 0xFFFF))


def old_pulses(pulse_map: PulseMap, pulse_version: int, omkey_version: int) -> bytes:
    """A pulse map whose pulses and keys are of earlier versions of their classes."""
    archive = ArchiveWriter()
    archive.begin("I3RecoPulseSeriesMap")
    archive.class_info("map")
    archive.u32(len(pulse_map.counts))
    stop = 0
    for (string, om, pmt), count in zip(pulse_map.keys.tolist(), pulse_map.counts.tolist(), strict=True):
        archive.class_info("pair")
        archive.class_info("OMKey", tracked=True, version=omkey_version)
        if omkey_version < 2:
            archive.base()
        archive.i32(string)
        archive.u32(om)
        if omkey_version > 0:
            archive.u8(pmt)
        archive.class_info("vector")
        archive.u32(count)
        start, stop = stop, stop + count
        for pulse in pulse_map.pulses[start:stop]:
            archive.class_info("I3RecoPulse", tracked=True, version=pulse_version)
            archive.raw(_old_pulse(pulse, pulse_version))
    return archive.finish()


def _old_pulse(pulse: np.void, version: int) -> bytes:
    time, charge, width, flags = pulse.tolist()
    if version == 3:
        return np.array(pulse, dtype=PULSE).tobytes()
    if version == 2:
        return struct.pack("<fffB", time, charge, width, flags)
    source = {3: 0, 5: 1, 4: 5}.get(flags, 2)
    return struct.pack("<didd", time, 0, charge, width) + (struct.pack("<i", source) if version else b"")
