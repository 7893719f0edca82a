"""Frames: what is built is read back, every limit holds, and damage is a DecodeError and nothing else."""

import contextlib
import time
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import BadTopic, DecodeError, LimitError
from fieldline.limits import (
    FRAME_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    FRAME_RAW_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_PER_MESSAGE_MAX,
    KEY_BYTES_MAX,
)
from fieldline.v1 import hub_pb2
from fieldline.wire.compression import compress
from fieldline.wire.frames import (
    ENCODING_MESSAGES,
    ENCODING_MESSAGES_ZSTD,
    ENCODING_READINGS,
    build_frame,
    check_frame,
    check_headers,
    check_key,
    close_messages,
    open_messages,
    parse_frame,
)

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)
HEADERS = st.dictionaries(st.text(max_size=10), st.text(max_size=10), min_size=1, max_size=3)


def frame(**fields: Any) -> hub_pb2.Frame:
    body = fields.pop("body", b"\n\x01x")
    given = {"topic": "a", "sequence": 1, "count": 1, "encoding": ENCODING_MESSAGES, "crc32": zlib.crc32(body)}
    return hub_pb2.Frame(body=body, **{**given, **fields})


def build(body: bytes = b"\n\x01x", **fields: Any) -> bytes:
    given = {"topic": "a", "key": "", "sequence": 1, "count": 1, "encoding": ENCODING_MESSAGES, "published_at_ns": 0}
    return build_frame(body=body, **{**given, **fields})


@given(
    st.lists(st.binary(max_size=50), min_size=1, max_size=30),
    st.data(),
    st.sampled_from([None, 0, 50]),
    st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60),
    st.integers(1, (1 << 63) - 1),
    INT64,
)
def test_what_is_closed_opens_to_the_same(
    contents: list[bytes], data: st.DataObject, compress_from: int | None, key: str, sequence: int, at_ns: int
) -> None:
    headers = data.draw(st.dictionaries(st.integers(0, len(contents) - 1), HEADERS, max_size=3))
    encoding, body = close_messages(contents, headers, compress_from_bytes=compress_from)
    skipped = data.draw(st.integers(0, sequence - 1))
    built = build_frame(
        topic="site/ü",
        key=key,
        sequence=sequence,
        count=len(contents),
        encoding=encoding,
        body=body,
        published_at_ns=at_ns,
        skipped_frames=skipped,
        skipped_count=skipped * 2,
    )
    read = parse_frame(built)
    check_frame(read)
    assert (read.topic, read.key, read.sequence, read.published_at_ns) == ("site/ü", key, sequence, at_ns)
    assert (read.skipped_frames, read.skipped_count) == (skipped, skipped * 2)
    assert open_messages(read) == (contents, headers)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=10), st.sampled_from([None, 0]), st.data())
def test_a_flipped_bit_is_a_decode_error_or_harmless(
    contents: list[bytes], compress_from: int | None, data: st.DataObject
) -> None:
    encoding, body = close_messages(contents, {0: {"h": "v"}}, compress_from_bytes=compress_from)
    built = bytearray(build(body, encoding=encoding, count=len(contents), key="k"))
    position = data.draw(st.integers(0, len(built) - 1))
    built[position] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = parse_frame(bytes(built))
        check_frame(read)
        found, _ = open_messages(read)
    except (DecodeError, BadTopic):
        return
    # The CRC covers the body. A flip in the envelope may be another topic or number, but never other messages.
    assert found == contents


@given(st.data())
def test_a_cut_frame_is_refused(data: st.DataObject) -> None:
    encoding, body = close_messages([b"one", b"two"], {}, compress_from_bytes=None)
    whole = build(body, encoding=encoding, count=2)
    with pytest.raises((DecodeError, BadTopic)):
        check_frame(parse_frame(whole[: data.draw(st.integers(0, len(whole) - 1))]))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_frame_or_a_decode_error(data: bytes) -> None:
    try:
        read = parse_frame(data)
        check_frame(read)
        open_messages(read)
    except (DecodeError, BadTopic):
        pass


@given(
    st.binary(min_size=1, max_size=100), st.sampled_from([ENCODING_MESSAGES, ENCODING_MESSAGES_ZSTD, ENCODING_READINGS])
)
def test_a_sound_envelope_around_any_body_opens_or_is_a_decode_error(body: bytes, encoding: int) -> None:
    sound = frame(body=body, encoding=encoding)
    check_frame(sound)
    with contextlib.suppress(DecodeError):
        open_messages(sound)


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"sequence": 1 << 63}, "at most 9223372036854775807"),
        ({"count": 0}, "0 messages"),
        ({"count": FRAME_MESSAGES_MAX + 1}, "65537 messages"),
        ({"encoding": 0}, "unknown encoding 0"),
        ({"encoding": 17}, "unknown encoding 17"),
        ({"key": "k" * (KEY_BYTES_MAX + 1)}, "at most 255"),
        ({"key": "ü" * 128}, "at most 255"),
        ({"skipped_frames": 1}, "were skipped"),
        ({"body": b""}, "no body"),
        ({"crc32": 0}, "CRC"),
        ({"body": b"other", "crc32": zlib.crc32(b"body")}, "CRC"),
    ],
)
def test_an_unsound_envelope_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(DecodeError, match=says):
        check_frame(frame(**fields))


@pytest.mark.parametrize(
    "fields",
    [
        {"count": FRAME_MESSAGES_MAX},
        {"key": "k" * KEY_BYTES_MAX},
        {"sequence": (1 << 63) - 1, "skipped_frames": (1 << 63) - 2},
    ],
)
def test_values_at_the_limit_are_taken(fields: dict[str, Any]) -> None:
    check_frame(frame(**fields))


def test_a_frame_over_the_limit_is_neither_built_nor_read() -> None:
    overhead = len(build(bytes(1000))) - 1000
    room = FRAME_BYTES_MAX - overhead - 1  # one more byte for the length of a body as long as this
    assert len(build(bytes(room))) == FRAME_BYTES_MAX
    with pytest.raises(LimitError, match="at most 1048576"):
        build(bytes(room + 1))
    with pytest.raises(DecodeError, match="at most 1048576"):
        parse_frame(frame(body=bytes(FRAME_BYTES_MAX)).SerializeToString())


@pytest.mark.parametrize(
    "fields", [{"sequence": -1}, {"sequence": 1 << 64}, {"published_at_ns": 1 << 63}, {"topic": "\ud800"}]
)
def test_numbers_and_text_that_do_not_fit_the_wire_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(LimitError, match="cannot be written"):
        build(**fields)


def test_a_count_that_is_not_what_the_body_holds_is_refused() -> None:
    encoding, body = close_messages([b"1", b"2"], {}, compress_from_bytes=None)
    for count in (1, 3):
        with pytest.raises(DecodeError, match="holds 2"):
            open_messages(frame(body=body, count=count, encoding=encoding))


def test_headers_for_a_message_that_is_not_there_are_refused() -> None:
    block = hub_pb2.MessageBlock(content=[b"x"], meta=[hub_pb2.MessageMeta(index=1, headers={"h": "v"})])
    with pytest.raises(DecodeError, match="message 1 of 1"):
        open_messages(frame(body=block.SerializeToString()))


def test_headers_more_often_than_there_are_messages_are_refused() -> None:
    meta = hub_pb2.MessageMeta(index=0, headers={"h": "v"})
    block = hub_pb2.MessageBlock(content=[b"x"], meta=[meta, meta])
    with pytest.raises(DecodeError, match="2 times for 1"):
        open_messages(frame(body=block.SerializeToString()))


def test_more_headers_on_a_message_than_may_be_sent_are_refused() -> None:
    many = {str(number): "" for number in range(HEADERS_PER_MESSAGE_MAX + 1)}
    block = hub_pb2.MessageBlock(content=[b"x"], meta=[hub_pb2.MessageMeta(index=0, headers=many)])
    with pytest.raises(DecodeError, match="has 65 headers"):
        open_messages(frame(body=block.SerializeToString()))


@pytest.mark.parametrize(
    "repeated", [b"\n\x00", b"\x12\x00", b"\x12\x02\x08\x01", b"\x12\x04\x12\x02\x0a\x00", b"\x7a\x00", b"\x1b\x1c"]
)
def test_a_few_hundred_bytes_that_unpack_to_very_many_fields_cost_neither_time_nor_memory(repeated: bytes) -> None:
    """Such a frame once took a reader 10 s: two million empty headers for one message."""
    body = compress(b"\n\x00" + repeated * ((FRAME_RAW_BYTES_MAX - 2) // len(repeated)))
    tracemalloc.start()
    began_s = time.process_time()
    try:
        with contextlib.suppress(DecodeError):
            open_messages(frame(body=body, encoding=ENCODING_MESSAGES_ZSTD))
        assert tracemalloc.get_traced_memory()[1] < 3 * FRAME_RAW_BYTES_MAX
    finally:
        tracemalloc.stop()
    assert time.process_time() - began_s < 3


def test_readings_are_no_messages() -> None:
    with pytest.raises(DecodeError, match="no messages"):
        open_messages(frame(encoding=ENCODING_READINGS))


def test_a_body_that_unpacks_to_too_much_is_refused() -> None:
    body = compress(bytes(FRAME_RAW_BYTES_MAX + 1))
    with pytest.raises(DecodeError, match="at most 4194304"):
        open_messages(frame(body=body, encoding=ENCODING_MESSAGES_ZSTD))


def test_a_body_is_compressed_only_where_that_helps() -> None:
    assert close_messages([b"x" * 500], {}, compress_from_bytes=100)[0] == ENCODING_MESSAGES_ZSTD
    assert close_messages([b"x" * 50], {}, compress_from_bytes=100)[0] == ENCODING_MESSAGES
    assert close_messages([bytes(range(256))], {}, compress_from_bytes=0)[0] == ENCODING_MESSAGES


@pytest.mark.parametrize(
    "headers",
    [
        {str(n): "" for n in range(HEADERS_PER_MESSAGE_MAX + 1)},
        {"h": "v" * HEADER_BYTES_MAX},
        {"h": "ü" * (HEADER_BYTES_MAX // 2)},
        {"\udfff": ""},
        {"h": "\udfff"},
    ],
)
def test_headers_over_a_limit_are_refused(headers: dict[str, str]) -> None:
    with pytest.raises(LimitError):
        check_headers(headers)


def test_headers_and_keys_at_the_limit_are_taken() -> None:
    check_headers({str(n): "" for n in range(HEADERS_PER_MESSAGE_MAX)})
    check_headers({"h": "v" * (HEADER_BYTES_MAX - 1)})
    check_key("k" * KEY_BYTES_MAX)


@pytest.mark.parametrize("key", ["k" * (KEY_BYTES_MAX + 1), "ü" * 128, "\ud800"])
def test_keys_over_the_limit_are_refused(key: str) -> None:
    with pytest.raises(LimitError):
        check_key(key)
