"""The checksums, against published check values and a bit-by-bit computation."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from scanner.events.crc import crc16_ccitt, crc32c


def bitwise_crc32c(data: bytes) -> int:
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc


def test_crc16_check_value() -> None:
    assert crc16_ccitt(b"123456789") == 0x29B1  # CRC-16/CCITT-FALSE


def test_crc32c_check_value() -> None:
    # The usual CRC-32C starts from and ends with an inversion; both can be undone from outside.
    inverted_start = bytes(byte ^ 0xFF for byte in b"1234") + b"56789"
    assert crc32c(inverted_start) ^ 0xFFFFFFFF == 0xE3069283


def test_nothing_has_checksum_zero() -> None:
    assert crc32c(b"") == 0


@given(st.binary(max_size=600))
def test_lanes_agree_with_the_bitwise_computation(data: bytes) -> None:
    assert crc32c(data) == bitwise_crc32c(data)


def test_long_data() -> None:
    data = bytes(range(256)) * 41
    assert crc32c(memoryview(data)) == bitwise_crc32c(data)
