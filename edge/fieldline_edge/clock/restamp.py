"""Puts the time stamps in a frame of readings right. Pure: bytes in, bytes out."""

import zlib
from dataclasses import replace

from fieldline.errors import DecodeError, LimitError
from fieldline.model import Quality, Reading
from fieldline.wire.frames import ENCODING_READINGS, parse_frame
from fieldline.wire.readings import decode_readings, encode_readings
from fieldline_edge.clock.spans import Span

__all__ = ["restamped"]


def restamped(frame: bytes, span: Span) -> bytes:
    """The frame with the span's offset added to every stamp of its time; sequence, gap and count stay.

    A good value then says GOOD_CLOCK_CORRECTED. Stamps outside the span come from payloads and stay, and so does a
    frame that holds no readings, or that cannot be read or written again.
    """
    try:
        parsed = parse_frame(frame)
        if parsed.encoding != ENCODING_READINGS:
            return frame
        body = encode_readings([_shifted(reading, span) for reading in decode_readings(parsed.body)])
    except (DecodeError, LimitError):
        return frame
    parsed.body = body
    parsed.crc32 = zlib.crc32(body)
    parsed.published_at_ns += span.offset_ns
    return parsed.SerializeToString()


def _shifted(reading: Reading, span: Span) -> Reading:
    if not span.from_ns <= reading.at_ns <= span.to_ns:
        return reading
    quality = reading.quality
    if quality is Quality.UNCERTAIN_CLOCK:
        quality = Quality.GOOD_CLOCK_CORRECTED
    return replace(reading, at_ns=reading.at_ns + span.offset_ns, quality=quality)
