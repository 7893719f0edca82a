"""Pauses between tries: they grow, they end growing, and no two clients make the same ones."""

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fieldline.client.backoff import Backoff


@given(st.integers(0, 1000), st.floats(0.001, 10), st.floats(10, 100))
def test_every_pause_lies_between_a_tenth_of_its_ceiling_and_the_ceiling(seed: int, first: float, most: float) -> None:
    backoff = Backoff(first, most, Random(seed))
    for failure in range(100):
        ceiling = min(most, first * 2.0**failure)
        assert ceiling / 10 <= backoff.next_pause_s() <= ceiling


def test_success_starts_again_from_the_first_pause() -> None:
    backoff = Backoff(1.0, 64.0, Random(1))
    for _ in range(10):
        backoff.next_pause_s()
    backoff.reset()
    assert backoff.next_pause_s() <= 1.0


def test_a_thousand_years_of_failures_do_not_overflow() -> None:
    backoff = Backoff(_failures=10**9)
    assert backoff.next_pause_s() <= backoff.max_s


def test_two_clients_do_not_come_back_in_step() -> None:
    one, other = Backoff(random=Random(1)), Backoff(random=Random(2))
    assert [one.next_pause_s() for _ in range(5)] != [other.next_pause_s() for _ in range(5)]
