"""The two checksums of IceTray frames.

Frames of version 5 carry CRC-16/CCITT (polynomial 0x1021, initial value 0xFFFF, most significant bit first),
frames of version 6 carry CRC-32C (Castagnoli, reflected polynomial 0x82F63B78) with initial value 0 and *no*
final inversion, so it is not the CRC-32C of iSCSI: see ``I3Frame.cxx`` of icecube/icetray-public.
"""

from __future__ import annotations

import binascii
from math import isqrt

import numpy as np

__all__ = ["crc16_ccitt", "crc32c"]

_CASTAGNOLI = 0x82F63B78


def crc16_ccitt(data: bytes) -> int:
    """CRC-16/CCITT of ``data``, initial value 0xFFFF."""
    return binascii.crc_hqx(data, 0xFFFF)


def crc32c(data: bytes | memoryview) -> int:
    """CRC-32C of ``data`` with initial value 0 and no final inversion.

    With initial value 0 the checksum is linear over GF(2) and blind to leading zeros. So the data, padded in
    front, are cut into about √n lanes that advance together, one byte per step; 32 more lanes carry the unit
    vectors, which gives the operator "append one lane of zeros" that joins the lanes at the end.
    """
    n_lanes = isqrt(len(data)) + 1
    steps = -(-len(data) // n_lanes)
    lanes = np.zeros((steps, n_lanes + 32), dtype=np.uint32)
    lanes[:, :n_lanes] = _front_padded(data, n_lanes, steps)
    state = np.zeros(n_lanes + 32, dtype=np.uint32)
    state[n_lanes:] = 1 << np.arange(32, dtype=np.uint32)
    for column in lanes:
        state = _TABLE[(state ^ column) & 0xFF] ^ (state >> 8)
    return _join(state[:n_lanes].tolist(), _byte_tables(state[n_lanes:]))


def _front_padded(data: bytes | memoryview, n_lanes: int, steps: int) -> np.ndarray:
    """The bytes as (step, lane), zeros in front of the first."""
    padded = np.zeros(n_lanes * steps, dtype=np.uint8)
    padded[len(padded) - len(data):] = np.frombuffer(data, dtype=np.uint8)
    return padded.reshape(n_lanes, steps).T


def _byte_tables(columns: np.ndarray) -> list[list[int]]:
    """A linear map on 32 bits, given by the images of the unit vectors, as four tables by byte."""
    tables = []
    for low in range(0, 32, 8):
        table = np.zeros(256, dtype=np.uint32)
        for bit in range(8):
            table[(np.arange(256) >> bit) & 1 == 1] ^= columns[low + bit]
        tables.append(table.tolist())
    return tables


def _join(lanes: list[int], tables: list[list[int]]) -> int:
    a, b, c, d = tables
    crc = 0
    for lane in lanes:
        crc = a[crc & 0xFF] ^ b[crc >> 8 & 0xFF] ^ c[crc >> 16 & 0xFF] ^ d[crc >> 24] ^ lane
    return crc


def _reflected_table(polynomial: int) -> np.ndarray:
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(polynomial), table >> 1)
    return table


_TABLE = _reflected_table(_CASTAGNOLI)
