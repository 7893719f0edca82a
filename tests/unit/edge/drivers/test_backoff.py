import random

from hypothesis import given
from hypothesis import strategies as st

from fieldline_edge.drivers.backoff import Backoff


def waits(backoff: Backoff, failures: int) -> list[float]:
    """How long each of so many failures in a row silences, to a tenth of a second."""
    now_s, found = 1000.0, []
    for _ in range(failures):
        backoff.failed(now_s)
        begun_s = now_s
        while not backoff.ready(now_s):
            now_s += 0.1
        found.append(now_s - begun_s)
    return found


@given(seed=st.integers(), base_s=st.floats(1, 5), max_s=st.floats(5, 60))
def test_waits_double_up_to_the_maximum_and_jitter_only_shortens_them(seed: int, base_s: float, max_s: float) -> None:
    backoff = Backoff(base_s=base_s, max_s=max_s, source=random.Random(seed))
    for failure, wait_s in enumerate(waits(backoff, 6)):
        full_s = min(max_s, base_s * 2**failure)
        assert full_s / 2 - 0.01 <= wait_s <= full_s + 0.11


def test_the_same_seed_gives_the_same_waits() -> None:
    first = waits(Backoff(base_s=1, max_s=30, source=random.Random("pump-1")), 8)
    again = waits(Backoff(base_s=1, max_s=30, source=random.Random("pump-1")), 8)
    other = waits(Backoff(base_s=1, max_s=30, source=random.Random("pump-2")), 8)
    assert first == again
    assert first != other


def test_success_forgets_the_failures() -> None:
    backoff = Backoff(base_s=1, max_s=1000, source=random.Random(1))
    waits(backoff, 5)
    backoff.succeeded()
    assert backoff.ready(0)
    assert waits(backoff, 1)[0] <= 1.2


def test_hurry_is_ready_at_once_but_remembers_the_failures() -> None:
    backoff = Backoff(base_s=1, max_s=1000, source=random.Random(1))
    waits(backoff, 5)
    backoff.failed(0)
    backoff.hurry()
    assert backoff.ready(0)
    assert waits(backoff, 1)[0] > 15


def test_a_thousand_failures_do_not_overflow() -> None:
    backoff = Backoff(base_s=1, max_s=30, source=random.Random(1))
    for _ in range(2000):
        backoff.failed(0)
    assert backoff.ready(30)
