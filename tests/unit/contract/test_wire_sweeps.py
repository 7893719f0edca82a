"""Sweeps, one reading for each tag: the quick way says the same as the general one, sweep after sweep."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.model import Quality, Reading
from fieldline.wire._sweep_encoder import Sweeps
from fieldline.wire._value_encoder import Hint
from fieldline.wire.readings import ReadingEncoder, decode_readings
from tests.unit.contract.test_wire_readings import FLOATS, INTEGERS, NOON_NS, assert_same, columns_of

TENTHS = st.integers(-5000, 5000).map(lambda number: number / 10)
VALUE = st.one_of(TENTHS, FLOATS, INTEGERS, st.booleans(), st.text(max_size=5), st.none())
SWEEP = st.lists(VALUE, min_size=1, max_size=8)


def sweep(values: list[Any], number: int = 0, step_ns: int = 0) -> list[Reading]:
    at_ns = NOON_NS + number * 1_000_000_000
    return [
        Reading(
            f"tag-{place}", at_ns + place * step_ns, value, Quality.GOOD if value is not None else Quality.BAD_TIMEOUT
        )
        for place, value in enumerate(values)
    ]


@settings(deadline=None, max_examples=200)
@given(st.lists(SWEEP, min_size=1, max_size=25), st.sampled_from([0, 1, 1_000_000]))
def test_sweeps_of_one_encoder_come_back_bit_for_bit(sweeps: list[list[Any]], step_ns: int) -> None:
    encoder = ReadingEncoder()
    for number, values in enumerate(sweeps):
        sent = sweep(values, number, step_ns)
        assert_same(sent, decode_readings(encoder.encode(sent)))


def test_the_second_sweep_of_floats_is_encoded_in_one_go_and_no_larger() -> None:
    encoder = ReadingEncoder()
    first = encoder.encode(sweep([20.1, 7, True, None]))
    assert encoder._sweeps.encode(sweep([21.4, 8, False, None], 1)) is not None
    assert len(encoder.encode(sweep([21.4, 8, False, None], 1))) <= len(first)


def test_a_wide_encoding_is_doubted_after_some_sweeps() -> None:
    encoder = ReadingEncoder()
    encoder.encode(sweep([1e-300 / 3, 1e-300 / 7]))
    bodies = [encoder.encode(sweep([0.5, 0.25], number)) for number in range(40)]
    assert len(bodies[-1]) < len(bodies[0])


def test_what_is_beyond_it_is_left_to_the_general_encoder() -> None:
    sweeps = Sweeps({"tag-0": Hint(0)})
    twice = [*sweep([1]), *sweep([2], 1)]
    for readings in (twice, sweep(["text"]), sweep([1 << 63]), sweep([0.5]), []):
        assert sweeps.encode(readings) is None


def test_a_good_reading_without_a_value_is_left_to_be_refused() -> None:
    assert Sweeps({}).encode([Reading("a", NOON_NS, None)]) is None


def test_readings_of_several_moments_share_their_axes() -> None:
    body = ReadingEncoder().encode(sweep([1, 2, 3], step_ns=1_000_000))
    assert list(columns_of(body).axis_len) == [1, 1, 1]
