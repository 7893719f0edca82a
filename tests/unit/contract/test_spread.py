"""Which connection of a pool: the same for a key, the same for a topic while it matters, the idlest otherwise."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from fieldline.client.batch import Batch
from fieldline.client.spread import TOPICS_SWEPT_AT, Spread

SIZE = 3


def published(spread: Spread, topic: str, key: str, loads: list[int | None]) -> tuple[int, Batch]:
    slot = spread.choose(topic, key, loads)
    batch = Batch(topic, key, 0.0, 0)
    spread.note(topic, key, batch)
    spread.release(topic, key)
    return slot, batch


@given(st.text(max_size=20), st.text(min_size=1, max_size=20), st.lists(st.none() | st.integers(0, 9), min_size=8))
def test_a_key_always_means_the_same_connection(topic: str, key: str, loads: list[int | None]) -> None:
    spread = Spread(8)
    assert len({published(spread, topic, key, [*loads[n:], *loads[:n]])[0] for n in range(8)}) == 1


def test_keys_are_spread_over_all_connections() -> None:
    spread = Spread(4)
    found = [published(spread, "t", f"k{n}", [0] * 4)[0] for n in range(400)]
    assert all(found.count(slot) > 60 for slot in range(4))


def test_the_idlest_connection_is_taken_and_a_new_one_before_a_busy_one() -> None:
    spread = Spread(SIZE)
    assert published(spread, "a", "", [None, None, None])[0] == 0
    assert published(spread, "b", "", [0, None, None])[0] == 0
    assert published(spread, "c", "", [5, None, None])[0] == 1
    assert published(spread, "d", "", [5, 2, 9])[0] == 1
    assert published(spread, "e", "", [5, 2, 0])[0] == 2


def test_a_topic_stays_until_what_it_published_is_stored() -> None:
    spread = Spread(SIZE)
    slot, batch = published(spread, "t", "", [0, 9, 9])
    assert (slot, published(spread, "t", "", [9, 0, 9])[0]) == (0, 0)
    batch.stored = True  # an earlier one; the last is what counts
    slot, batch = published(spread, "t", "", [9, 0, 9])
    assert slot == 0
    batch.stored = True
    assert published(spread, "t", "", [9, 0, 9])[0] == 1


def test_a_topic_stays_while_a_publish_has_chosen_and_is_not_through() -> None:
    spread = Spread(SIZE)
    assert spread.choose("t", "", [0, 9, 9]) == 0
    assert spread.choose("t", "", [9, 0, 9]) == 0
    spread.release("t", "")
    assert spread.choose("t", "", [9, 0, 9]) == 0
    spread.release("t", "")
    spread.release("t", "")
    assert spread.choose("t", "", [9, 0, 9]) == 1


def test_a_lost_connection_lets_its_topics_go() -> None:
    spread = Spread(SIZE)
    published(spread, "t", "", [0, 9, 9])
    published(spread, "u", "", [9, 0, 9])
    spread.lost(0)
    assert published(spread, "t", "", [9, 9, 0])[0] == 2
    assert published(spread, "u", "", [9, 9, 0])[0] == 1


def test_topics_that_are_stored_are_forgotten() -> None:
    spread = Spread(SIZE)
    for n in range(10 * TOPICS_SWEPT_AT):
        _, batch = published(spread, f"t{n}", "", [0, 0, 0])
        batch.stored = n % 100 != 0
    assert len(spread) <= 2 * TOPICS_SWEPT_AT


class OrderMachine(RuleBasedStateMachine):
    """Connections that store what they hold whenever they like: what of a topic is stored is in the order given."""

    def __init__(self) -> None:
        super().__init__()
        self.spread = Spread(SIZE)
        self.queues: list[list[tuple[str, str, int, Batch]]] = [[] for _ in range(SIZE)]
        self.numbers = itertools.count()
        self.log: dict[tuple[str, str], list[int]] = {}

    @rule(topic=st.sampled_from("ab"), key=st.sampled_from(["", "", "k", "l"]))
    def publish(self, topic: str, key: str) -> None:
        slot, batch = published(self.spread, topic, key, [len(queue) for queue in self.queues])
        self.queues[slot].append((topic, key, next(self.numbers), batch))

    @rule(slot=st.integers(0, SIZE - 1), frames=st.integers(1, 4))
    def store(self, slot: int, frames: int) -> None:
        for topic, key, number, batch in self.queues[slot][:frames]:
            batch.stored = True
            stored = self.log.setdefault((topic, key), [])
            assert not stored or stored[-1] < number
            stored.append(number)
        del self.queues[slot][:frames]


TestOrderMachine = OrderMachine.TestCase
