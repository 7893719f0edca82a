"""Claims about frames: whole requests come out however the bytes came in, and rubbish costs nothing but itself."""

import itertools
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.simulator.framing import Framing, MbapFramer, Request, RtuFramer, crc16, framer

PDUS = st.one_of(
    st.builds(lambda code, at, count: struct.pack(">BHH", code, at, count), *[st.integers(1, 6)] * 3),
    st.binary(min_size=2, max_size=40).map(lambda data: struct.pack(">BHHB", 16, 0, 1, len(data)) + data),
)
REQUESTS = st.lists(st.builds(Request, st.integers(1, 247), PDUS, st.integers(0, 65_535)), min_size=1, max_size=5)


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[first:last] for first, last in itertools.pairwise(places)]


@given(REQUESTS, st.lists(st.integers(0, 10_000), max_size=8))
def test_tcp_requests_come_out_whole_however_they_are_cut(requests: list[Request], cuts: list[int]) -> None:
    sent = b"".join(MbapFramer().wrap(each, each.pdu) for each in requests)
    heard = MbapFramer()

    assert [found for piece in pieces(sent, cuts) for found in heard.feed(piece)] == requests


@given(REQUESTS, st.lists(st.integers(0, 10_000), max_size=8))
def test_rtu_requests_come_out_whole_however_they_are_cut(requests: list[Request], cuts: list[int]) -> None:
    sent = b"".join(RtuFramer().wrap(each, each.pdu) for each in requests)
    heard = RtuFramer()

    found = [found for piece in pieces(sent, cuts) for found in heard.feed(piece)]

    assert found == [Request(each.unit, each.pdu) for each in requests]


@given(st.binary(max_size=600), st.sampled_from(Framing))
def test_rubbish_raises_nothing(data: bytes, framing: Framing) -> None:
    heard = framer(framing)

    heard.feed(data)
    heard.pause()
    heard.feed(data)


def test_the_checksum_is_that_of_the_standard() -> None:
    # The example of many device manuals: 01 03 00 00 00 0A C5 CD.
    assert crc16(bytes.fromhex("01030000000A")).to_bytes(2, "little").hex() == "c5cd"


@pytest.mark.parametrize("header", ["000100010006", "000100000001", "00010000ffff"])
def test_a_header_that_is_none_breaks_the_stream(header: str) -> None:
    heard = MbapFramer()

    assert heard.feed(bytes.fromhex(header) + b"\x01\x03\x00\x00\x00\x01") == []
    assert heard.broken


def test_after_a_wrong_checksum_a_pause_is_needed() -> None:
    heard = RtuFramer()
    good = heard.wrap(Request(1, b""), bytes.fromhex("0300000001"))

    assert heard.feed(good[:-1] + b"\x00") == []
    assert heard.feed(good) == []
    heard.pause()
    assert heard.feed(good) == [Request(1, bytes.fromhex("0300000001"))]
