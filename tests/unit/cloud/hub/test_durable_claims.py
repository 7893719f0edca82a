"""What a durable subscription does, one claim at a time. How it fits together is in test_durable.py."""

from typing import Any

import pytest

from fieldline_cloud.hub.core.durable import Durable
from fieldline_cloud.hub.core.entry import Bounds, NackOrder, NotDelivered
from fieldline_cloud.hub.core.marks import DurableMark, DurableSettings
from fieldline_cloud.hub.core.member import Member
from fieldline_cloud.hub.core.outgoing import Outgoing
from fieldline_cloud.hub.core.record import VOLATILE, Record
from fieldline_cloud.hub.core.window import Window

BOUNDS = Bounds(pending_max=12, queue_frames_max=3, queue_bytes_max=1000)


def durable(**options: Any) -> Durable:
    group = options.pop("group", True)
    core = Durable(DurableMark("d", 0), DurableSettings(filters=("t",), group=group, **options), BOUNDS)
    core.resume(core.settings, 0)
    return core


def member(core: Durable, name: str = "m", *, window: int = 100) -> Member:
    one = Member(name, Window(window, 1 << 20), queue_frames_max=3, queue_bytes_max=1 << 20)
    core.join(one)
    return one


def offer(core: Durable, *offsets: int, key: str = "") -> None:
    for offset in offsets:
        core.offer(Record(offset, "t", bytes(4), key=key))


def take(core: Durable, one: Member, now_s: float = 0.0) -> list[Outgoing]:
    return core.take(one, bytes_max=1 << 20, now_s=now_s, now_ms=1_000)


def offsets(sent: list[Outgoing]) -> list[int]:
    return [one.record.offset for one in sent]


def fetch(core: Durable) -> list[int]:
    wanted = core.to_fetch()
    core.fetched(wanted, [Record(offset, "t", bytes(4)) for offset in wanted])
    return wanted


def test_frames_without_a_key_go_to_whoever_has_least_in_hand() -> None:
    core = durable()
    members = [member(core, name) for name in "abc"]
    offer(core, *range(6))
    assert [one.in_hand for one in members] == [2, 2, 2]


def test_a_key_stays_where_it_is_in_hand_and_moves_when_it_is_not() -> None:
    core = durable()
    first = member(core, "a")
    for offset in range(3):
        offer(core, offset, key=f"k{offset}")
    take(core, first)
    others = [member(core, name) for name in "bcdefgh"]
    for offset in range(3, 6):
        offer(core, offset, key=f"k{offset - 3}")
    assert first.in_hand == 6, "all three keys are with it"
    core.ack(first, 2)
    take(core, first)
    core.ack(first, 5)
    offer(core, *range(6, 12), key="k0")
    homes = [one for one in (first, *others) if one.in_hand]
    assert len(homes) == 1
    again = durable()
    names = [member(again, name) for name in "abcdefgh"]
    offer(again, *range(3), key="k0")
    assert [one.client for one in names if one.in_hand] == [one.client for one in homes], "the same in every life"


def test_a_newcomer_gets_its_share_of_what_was_not_sent_yet() -> None:
    core = durable()
    first = member(core, "a", window=1)
    offer(core, 0, 1, 2)
    assert offsets(take(core, first)) == [0]
    core.offer(Record(VOLATILE, "t", b"x"))
    second = member(core, "b")
    fetch(core)
    assert (first.in_hand, second.in_hand) == (1, 2)
    assert offsets(take(core, second)) == [1, 2]
    assert first.window.taken(1)
    assert offsets(take(core, first)) == [VOLATILE], "a frame that is in no log stays where it is"


def test_keys_spread_over_the_members() -> None:
    core = Durable(DurableMark("d", 0), DurableSettings(filters=("t",), group=True), Bounds(10_000, 10_000, 1 << 20))
    core.resume(core.settings, 0)
    members = [Member(name, Window(1, 1), queue_frames_max=10_000, queue_bytes_max=1 << 20) for name in "abcd"]
    for one in members:
        core.join(one)
    for offset in range(2_000):
        offer(core, offset, key=f"key-{offset}")
    assert all(400 < one.in_hand < 600 for one in members), [one.in_hand for one in members]


def test_what_a_member_has_no_room_for_is_fetched_later_and_in_order() -> None:
    core = durable()
    slow, quick = member(core, "slow", window=1), member(core, "quick")
    offer(core, 0, key="k")
    home = slow if slow.in_hand else quick
    home.window = Window(1, 1 << 20)
    offer(core, *range(1, 8), key="k")
    assert (home.in_hand, home.queued, list(home.parked)) == (8, 3, [3, 4, 5, 6, 7])
    assert offsets(take(core, home)) == [0]
    assert fetch(core) == [], "its window is shut"
    seen = []
    for _ in range(7):
        assert home.window.taken(1)
        fetch(core)
        seen += offsets(take(core, home))
    assert seen == list(range(1, 8))


def test_an_ack_covers_what_came_in_order_and_nothing_that_came_again() -> None:
    core = durable(group=False)
    one = member(core)
    offer(core, 0, 1, 2)
    take(core, one)
    assert core.nack(one, NackOrder(0), 0.0)
    assert fetch(core) == [0]
    assert [(each.record.offset, each.deliveries) for each in take(core, one)] == [(0, 2)]
    assert core.ack(one, 2) == [1, 2]
    assert core.next_offset == 0
    assert core.done(one, 0)
    assert core.next_offset == 3
    assert not core.done(one, 0), "saying it twice is no news"


def test_settling_what_was_never_delivered_is_noticed() -> None:
    core = durable()
    one, other = member(core, "a"), member(core, "b")
    offer(core, 0, 1)
    holder = one if offsets(take(core, one)) == [0] else other
    with pytest.raises(NotDelivered):
        core.ack(one, 9)
    with pytest.raises(NotDelivered):
        core.done(one, 1)
    with pytest.raises(NotDelivered):
        core.nack(other, NackOrder(0), 0.0)
    assert holder is one
    assert core.pending == 2


def test_the_ack_wait_gives_a_frame_to_another_and_believes_who_was_too_late() -> None:
    core = durable(ack_wait_ms=1_000)
    first, second = member(core, "a"), member(core, "b")
    offer(core, 0)
    assert offsets(take(core, first)) == [0]
    core.in_progress(first, 0, now_s=0.9)
    core.tick(1.5)
    assert core.to_fetch() == [], "it said that it takes longer"
    assert core.next_due_s == 1.9
    first.window = Window(0, 0)
    core.tick(2.0)
    assert fetch(core) == [0]
    sent = take(core, second, 2.0)
    assert [(each.record.offset, each.deliveries) for each in sent] == [(0, 2)]
    assert core.done(first, 0)
    assert core.pending == 0
    assert core.counts.redelivered == 1


def test_only_the_messages_that_failed_come_again_after_the_backoff_and_are_given_up_at_last() -> None:
    core = durable(deliveries_max=3, backoff_ms=(100, 1_000))
    one = member(core)
    offer(core, 0)
    take(core, one)
    core.nack(one, NackOrder(0, messages=(1, 4), reason="first"), now_s=0.0)
    assert core.to_fetch() == []
    assert core.next_due_s == 0.1
    core.tick(0.1)
    fetch(core)
    assert [(each.deliveries, each.only) for each in take(core, one, 0.1)] == [(2, (1, 4))]
    core.nack(one, NackOrder(0, messages=(4,), reason="second"), now_s=0.2)
    assert core.next_due_s == pytest.approx(1.2)
    core.tick(1.3)
    fetch(core)
    take(core, one, 1.3)
    assert core.mark().redeliveries[0].deliveries == 3
    core.nack(one, NackOrder(0), now_s=1.4)
    assert core.next_offset == 0, "not settled before its dead letter is in the log"
    (grave,) = core.graves()
    assert (grave.deliveries, grave.messages, grave.reason) == (3, (4,), "second")
    core.is_buried(0)
    assert core.next_offset == 1
    assert core.graves() == []


def test_a_replayed_dead_letter_is_delivered_to_this_durable_and_does_not_move_the_cursor() -> None:
    core = durable()
    one = member(core)
    offer(core, 0, 1)
    take(core, one)
    core.ack(one, 1)
    core.replay(77, (2,))
    saved = core.mark()
    assert [(each.offset, each.replay) for each in saved.redeliveries] == [(77, True)]
    for each in (core, Durable(saved, core.settings, BOUNDS)):
        if each is not core:
            each.resume(core.settings, 2)
            one = member(each)
        assert fetch(each) == [77]
        assert [(sent.record.offset, sent.only) for sent in take(each, one)] == [(77, (2,))]
        assert each.done(one, 77)
        assert (each.next_offset, each.pending, each.mark().redeliveries) == (2, 0, ())


def test_expired_frames_are_settled_and_not_sent() -> None:
    core = durable()
    one = member(core)
    core.offer(Record(0, "t", b"", expires_ms=1_000))
    core.offer(Record(1, "t", b"", expires_ms=1_001))
    assert offsets(take(core, one)) == [1]
    assert core.next_offset == 1
    assert core.counts.expired == 1


def test_a_volatile_frame_goes_to_one_member_and_is_nobody_s_to_settle() -> None:
    core = durable()
    members = [member(core, name) for name in "ab"]
    core.offer(Record(VOLATILE, "t", b""))
    assert sorted(len(take(core, one)) for one in members) == [0, 1]
    assert core.pending == 0


def test_frames_that_retention_took_count_as_settled() -> None:
    core = durable(group=False)
    one = member(core)
    offer(core, 0)
    take(core, one)
    core.nack(one, NackOrder(0), 0.0)
    wanted = core.to_fetch()
    core.fetched(wanted, [])
    assert (core.pending, core.next_offset, core.counts.trimmed) == (0, 1, 1)
