"""What the hub bench publishes, and how it notices that something is wrong with what arrived."""

import json
from collections import Counter

import pytest

from benchmarks.hub.messages import POOL, SIZE, check_counts, check_in_order, publishing


def test_every_message_is_another_json_object_of_the_same_size() -> None:
    assert {len(message) for message in POOL} == {SIZE}
    assert len({json.loads(message)["id"] for message in POOL}) == len(POOL)


def test_a_run_longer_than_the_pool_begins_it_again() -> None:
    assert list(publishing(len(POOL) + 2)) == [*POOL, *POOL[:2]]


def test_what_came_as_often_as_it_was_published_is_fine() -> None:
    check_counts(Counter(reversed([*publishing(3_000)])), POOL, 3_000)


@pytest.mark.parametrize(
    "arrived",
    [
        [*POOL[:9]],
        [*POOL[:10], POOL[0]],
        [*POOL[:9], POOL[0]],
        [*POOL[:9], b"x" * SIZE],
    ],
    ids=["lost", "twice", "one for another", "damaged"],
)
def test_what_did_not_is_noticed(arrived: list[bytes]) -> None:
    with pytest.raises(AssertionError):
        check_counts(Counter(arrived), POOL, 10)


@pytest.mark.parametrize(("taken", "wrong"), [(9, 0), (11, 0), (10, 1)])
def test_a_count_or_an_order_that_is_off_is_noticed(taken: int, wrong: int) -> None:
    with pytest.raises(AssertionError):
        check_in_order(taken, wrong, 10)
