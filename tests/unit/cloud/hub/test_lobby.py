"""Bounds on open streams: in all, from one address, and those that have said nothing."""

import random

from fieldline_cloud.hub.core.lobby import Lobby


def lobby(**bounds: int) -> Lobby[int]:
    return Lobby(**{"streams_max": 100, "streams_per_peer_max": 50, "half_open_max": 10, **bounds})


def test_streams_in_all_and_from_one_address_are_bounded() -> None:
    full = lobby(streams_max=3, streams_per_peer_max=2)
    for stream, host in enumerate(("a", "a", "b")):
        assert not full.why_full(host)
        full.enter(stream, host, 0.0)

    assert "limits.streams_max" in full.why_full("c")
    full.leave(2)
    assert "limits.streams_per_peer_max" in full.why_full("a")
    assert not full.why_full("b")
    full.leave(0)
    assert not full.why_full("a")


def test_who_has_said_hello_is_not_half_open() -> None:
    open_streams = lobby(half_open_max=1)
    for stream in range(5):
        assert open_streams.enter(stream, "a", 9.0 * stream) == []
        open_streams.greeted(stream)
        open_streams.greeted(stream)

    assert (len(open_streams), open_streams.half_open) == (5, 0)


def test_the_longest_silent_of_the_address_with_most_of_them_goes() -> None:
    flooded = lobby(half_open_max=3)
    flooded.enter(1, "quiet", 0.0)
    flooded.enter(2, "flood", 0.0)
    flooded.enter(3, "flood", 0.5)

    assert flooded.enter(4, "flood", 1.0) == [2]
    assert flooded.enter(5, "flood", 1.5) == [3]
    assert flooded.half_open == 3
    for stream in range(1, 6):  # those that were sent away end later
        flooded.leave(stream)
    assert (len(flooded), flooded.half_open) == (0, 0)


def test_all_may_come_at_once_and_have_a_second_for_their_hello() -> None:
    restarted = lobby(half_open_max=3)

    assert [restarted.enter(stream, "a", stream / 100) for stream in range(50)] == [[]] * 50
    assert restarted.half_open == 50
    assert restarted.enter(50, "a", 2.0) == list(range(48)), "those that are still silent go together"


def test_any_coming_and_going_leaves_the_counts_right() -> None:
    chance = random.Random(7)
    many = lobby(half_open_max=5)
    hosts: dict[int, str] = {}
    silent: set[int] = set()
    for stream in range(2_000):
        host = chance.choice("abc")
        if not many.why_full(host):
            gone = many.enter(stream, host, float(2 * stream))
            hosts[stream] = host
            silent.add(stream)
            silent.difference_update(gone)
        if hosts and chance.random() < 0.5:
            other = chance.choice(list(hosts))
            many.greeted(other)
            silent.discard(other)
        if hosts and chance.random() < 0.6:
            other = chance.choice(list(hosts))
            many.leave(other)
            silent.discard(other)
            del hosts[other]
        assert (len(many), many.half_open) == (len(hosts), len(silent))
        assert many.half_open <= 5
