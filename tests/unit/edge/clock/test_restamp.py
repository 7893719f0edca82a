"""Stamps in a frame are put right."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline.errors import DecodeError
from fieldline.model import Quality, Reading
from fieldline.wire.frames import ENCODING_MESSAGES, ENCODING_READINGS, build_frame, check_frame, parse_frame
from fieldline.wire.readings import decode_readings, encode_readings
from fieldline_edge.clock.marks import marked
from fieldline_edge.clock.restamp import restamped
from fieldline_edge.clock.spans import Span, parse_spans, show_spans, span_of, still_needed

T0 = 1_700_000_000_000_000_000
HOUR = 3_600_000_000_000
TWO_WEEKS = 14 * 24 * HOUR
SPAN = Span("boot", 1, 0, T0, last=9, to_ns=T0 + HOUR, offset_ns=TWO_WEEKS)


def frame(*readings: Reading, sequence: int = 3) -> bytes:
    return build_frame(
        topic="readings/s/a/d",
        key="d",
        sequence=sequence,
        count=len(readings),
        encoding=ENCODING_READINGS,
        body=encode_readings(readings),
        published_at_ns=T0,
        skipped_frames=1,
        skipped_count=5,
    )


@given(
    st.lists(st.tuples(st.integers(0, HOUR), st.floats(allow_nan=False)), min_size=1, max_size=20),
    st.integers(-TWO_WEEKS, TWO_WEEKS),
)
def test_every_stamp_of_the_span_is_shifted_by_the_offset_and_values_stay(
    taken: list[tuple[int, float]], offset_ns: int
) -> None:
    readings = [Reading("t", T0 + at, value, Quality.UNCERTAIN_CLOCK) for at, value in taken]
    span = Span("boot", 1, 0, T0, last=9, to_ns=T0 + HOUR, offset_ns=offset_ns)

    parsed = parse_frame(restamped(frame(*readings), span))

    check_frame(parsed)
    assert decode_readings(parsed.body) == [
        Reading("t", each.at_ns + offset_ns, each.value, Quality.GOOD_CLOCK_CORRECTED) for each in readings
    ]


def test_sequence_gap_and_count_stay_as_they_are() -> None:
    parsed = parse_frame(restamped(frame(Reading("t", T0, 1.0)), SPAN))

    assert (parsed.sequence, parsed.skipped_frames, parsed.skipped_count, parsed.count) == (3, 1, 5, 1)
    assert parsed.published_at_ns == T0 + TWO_WEEKS


def test_a_bad_reading_is_shifted_and_keeps_its_reason() -> None:
    parsed = parse_frame(restamped(frame(Reading("t", T0, None, Quality.BAD_TIMEOUT)), SPAN))

    assert decode_readings(parsed.body) == [Reading("t", T0 + TWO_WEEKS, None, Quality.BAD_TIMEOUT)]


def test_a_stamp_from_a_payload_is_not_ours_to_shift() -> None:
    reading = Reading("t", T0 + TWO_WEEKS, 1.0)

    assert decode_readings(parse_frame(restamped(frame(reading), SPAN)).body) == [reading]


def test_a_frame_of_messages_and_a_damaged_one_pass_as_they_are() -> None:
    messages = build_frame(
        topic="alerts/s/a/d", key="", sequence=1, count=1, encoding=ENCODING_MESSAGES, body=b"x", published_at_ns=T0
    )

    assert restamped(messages, SPAN) == messages
    assert restamped(b"\xff\xff", SPAN) == b"\xff\xff"


def test_good_readings_are_marked_and_worse_ones_keep_their_reason() -> None:
    readings = [Reading("t", T0, 1.0, quality) for quality in (Quality.GOOD, Quality.UNCERTAIN_STALE, Quality.BAD)]

    assert [each.quality for each in marked(readings, T0 + 1)] == [
        Quality.UNCERTAIN_CLOCK,
        Quality.UNCERTAIN_STALE,
        Quality.BAD,
    ]


def test_a_stamp_the_sensor_gave_is_not_marked() -> None:
    reading = Reading("t", T0 + TWO_WEEKS, 1.0)

    assert marked([reading], T0) == [reading]


def test_spans_survive_their_file_and_nothing_else_passes_for_them() -> None:
    assert parse_spans(show_spans([SPAN])) == [SPAN]
    for text in ("", "{}x", "[1]", '[{"boot": 1}]', show_spans([SPAN]).replace(": 9", ': "9"', 1)):
        with pytest.raises(DecodeError):
            parse_spans(text)


def test_a_frame_belongs_to_a_span_by_its_sequence() -> None:
    assert span_of([SPAN], 9) is SPAN
    assert span_of([SPAN], 10) is None
    assert span_of([Span("boot", 1, 0, T0)], 5) is None


def test_spans_are_kept_while_the_spool_may_hold_frames_of_them() -> None:
    ours = Span("boot", 10, 0, T0)
    earlier = Span("another", 10, 0, T0)

    assert still_needed([SPAN, earlier, ours], oldest_at_ns=T0, boot="boot") == [SPAN, ours]
    assert still_needed([SPAN, ours], oldest_at_ns=SPAN.to_ns + SPAN.offset_ns + 1, boot="boot") == [ours]
    assert still_needed([SPAN], oldest_at_ns=None, boot="boot") == []
