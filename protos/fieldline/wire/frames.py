"""Frames as bytes and back: one topic and many messages, closed with a CRC.

The hub checks the envelope (`check_frame`) and never opens the body; only subscribers do (`open_messages`).
"""

import zlib
from collections.abc import Mapping, Sequence

from google.protobuf.message import DecodeError as ProtobufDecodeError
from google.protobuf.message import EncodeError as ProtobufEncodeError

from fieldline.errors import DecodeError, LimitError
from fieldline.limits import (
    FRAME_BYTES_MAX,
    FRAME_ENVELOPE_BYTES_MAX,
    FRAME_MESSAGES_MAX,
    FRAME_RAW_BYTES_MAX,
    HEADER_BYTES_MAX,
    HEADERS_PER_MESSAGE_MAX,
    KEY_BYTES_MAX,
)
from fieldline.topics import check_topic
from fieldline.v1 import hub_pb2
from fieldline.wire.compression import compress, decompress

__all__ = [
    "ENCODING_MESSAGES",
    "ENCODING_MESSAGES_ZSTD",
    "ENCODING_READINGS",
    "build_frame",
    "check_frame",
    "check_headers",
    "check_key",
    "close_messages",
    "open_messages",
    "parse_frame",
]

ENCODING_MESSAGES = hub_pb2.ENCODING_MESSAGES
ENCODING_MESSAGES_ZSTD = hub_pb2.ENCODING_MESSAGES_ZSTD
ENCODING_READINGS = hub_pb2.ENCODING_READINGS
_SEQUENCE_MAX = (1 << 63) - 1  # logs and spools keep signed 64-bit numbers
_ENCODINGS = frozenset((ENCODING_MESSAGES, ENCODING_MESSAGES_ZSTD, ENCODING_READINGS))

Headers = Mapping[str, str]


def check_key(key: str) -> None:
    """Raise LimitError if a frame may not carry this ordering key."""
    size = _utf8_bytes(key, "key")
    if size > KEY_BYTES_MAX:
        raise LimitError(f"key {key[:20]!r}... has {size} bytes; at most {KEY_BYTES_MAX} are allowed")


def check_headers(headers: Headers) -> int:
    """Bytes of names and values; raises LimitError if one message may not carry these headers."""
    if len(headers) > HEADERS_PER_MESSAGE_MAX:
        raise LimitError(f"{len(headers)} headers; at most {HEADERS_PER_MESSAGE_MAX} are allowed on a message")
    size = sum(_utf8_bytes(name, "header") + _utf8_bytes(value, "header") for name, value in headers.items())
    if size > HEADER_BYTES_MAX:
        raise LimitError(f"headers have {size} bytes; at most {HEADER_BYTES_MAX} are allowed on a message")
    return size


def close_messages(
    contents: Sequence[bytes],
    headers: Mapping[int, Headers],
    *,
    compress_from_bytes: int | None,
    level: int = 1,
) -> tuple[int, bytes]:
    """(encoding, body) of a block of messages; `headers` maps the position of a message to what it carries.

    The body is compressed when it has at least `compress_from_bytes` bytes and gets smaller by it; None: never.
    """
    block = hub_pb2.MessageBlock(content=contents)
    for index in sorted(headers):
        block.meta.add(index=index, headers=headers[index])
    body = block.SerializeToString()
    if compress_from_bytes is not None and len(body) >= compress_from_bytes:
        smaller = compress(body, level=level)
        if len(smaller) < len(body):
            return ENCODING_MESSAGES_ZSTD, smaller
    return ENCODING_MESSAGES, body


def build_frame(
    *,
    topic: str,
    key: str,
    sequence: int,
    count: int,
    encoding: int,
    body: bytes,
    published_at_ns: int,
    skipped_frames: int = 0,
    skipped_count: int = 0,
    ttl_ms: int = 0,
    receipt: int = 0,
) -> bytes:
    """A serialised fieldline.v1.Frame; sequence 0: volatile. Raises LimitError if it is over FRAME_BYTES_MAX."""
    try:
        frame = hub_pb2.Frame(
            topic=topic,
            key=key,
            sequence=sequence,
            count=count,
            encoding=encoding,  # type: ignore[arg-type]  # the enum's stub wants its own int type
            body=body,
            crc32=zlib.crc32(body),
            published_at_ns=published_at_ns,
            skipped_frames=skipped_frames,
            skipped_count=skipped_count,
            ttl_ms=ttl_ms,
            receipt=receipt,
        ).SerializeToString()
    except (ProtobufEncodeError, ValueError) as error:
        raise LimitError(f"frame for {topic!r} cannot be written: {error}") from error
    if len(frame) > FRAME_BYTES_MAX:
        raise LimitError(f"frame for {topic!r} has {len(frame)} bytes; at most {FRAME_BYTES_MAX} are allowed")
    return frame


def parse_frame(data: bytes) -> hub_pb2.Frame:
    """The frame in `data`, not yet checked; DecodeError if it is not one."""
    if len(data) > FRAME_BYTES_MAX:
        raise DecodeError(f"frame has {len(data)} bytes; at most {FRAME_BYTES_MAX} are allowed")
    try:
        frame = hub_pb2.Frame.FromString(data)
    except ProtobufDecodeError as error:
        raise DecodeError(f"not a frame: {error}") from error
    envelope = len(data) - len(frame.body)
    if envelope > FRAME_ENVELOPE_BYTES_MAX:
        raise DecodeError(f"frame has {envelope} bytes around its body; at most {FRAME_ENVELOPE_BYTES_MAX} are allowed")
    return frame


def check_frame(frame: hub_pb2.Frame) -> None:
    """Raise BadTopic or DecodeError unless the frame's envelope is sound and its body arrived as it was sent.

    Sequence 0 is that of a volatile frame.
    """
    check_topic(frame.topic)
    if frame.sequence > _SEQUENCE_MAX:
        raise DecodeError(f"frame has sequence {frame.sequence}; at most {_SEQUENCE_MAX} can be stored")
    if not 0 < frame.count <= FRAME_MESSAGES_MAX:
        raise DecodeError(f"frame says it has {frame.count} messages; 1 to {FRAME_MESSAGES_MAX} are allowed")
    if frame.encoding not in _ENCODINGS:
        raise DecodeError(f"frame has the unknown encoding {frame.encoding}")
    if len(frame.key.encode()) > KEY_BYTES_MAX:
        raise DecodeError(f"frame has a key of {len(frame.key)} characters; at most {KEY_BYTES_MAX} bytes are allowed")
    if frame.skipped_frames >= max(1, frame.sequence):
        raise DecodeError(f"frame {frame.sequence} says {frame.skipped_frames} frames before it were skipped")
    if not frame.body:  # its CRC is 0, as if none had been given: a frame cut before its body would pass
        raise DecodeError(f"frame says it has {frame.count} messages but has no body")
    if zlib.crc32(frame.body) != frame.crc32:
        raise DecodeError("frame body does not match its CRC; it was damaged on the way")


def open_messages(frame: hub_pb2.Frame) -> tuple[Sequence[bytes], dict[int, dict[str, str]]]:
    """(contents, headers by position) of a frame of messages; DecodeError unless it holds what it says."""
    if frame.encoding == ENCODING_MESSAGES:
        body = frame.body
    elif frame.encoding == ENCODING_MESSAGES_ZSTD:
        body = decompress(frame.body, size_max=FRAME_RAW_BYTES_MAX)
    else:
        raise DecodeError(f"frame holds no messages but encoding {frame.encoding}")
    try:
        block = hub_pb2.MessageBlock.FromString(body)
    except ProtobufDecodeError as error:
        raise DecodeError(f"frame body is not a block of messages: {error}") from error
    contents = block.content
    if len(contents) != frame.count:
        raise DecodeError(f"frame says {frame.count} messages but holds {len(contents)}")
    return list(contents), _headers(block)


def _headers(block: hub_pb2.MessageBlock) -> dict[int, dict[str, str]]:
    """Headers by position. What a few hundred bytes can unpack to must not keep a reader busy: checked as it goes."""
    messages = len(block.content)
    if len(block.meta) > messages:
        raise DecodeError(f"frame has headers {len(block.meta)} times for {messages} messages")
    headers: dict[int, dict[str, str]] = {}
    for meta in block.meta:
        if meta.index >= messages:
            raise DecodeError(f"frame has headers for message {meta.index} of {messages}")
        if len(meta.headers) > HEADERS_PER_MESSAGE_MAX:
            raise DecodeError(
                f"message {meta.index} has {len(meta.headers)} headers; at most {HEADERS_PER_MESSAGE_MAX} are allowed"
            )
        headers[meta.index] = dict(meta.headers)
    return headers


def _utf8_bytes(text: str, what: str) -> int:
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise LimitError(f"{what} {text[:40]!r} is not valid Unicode: {error.reason}") from error
