"""A frame is handled once, also by the next process."""

import sqlite3

from fieldline_cloud.agents import frames_seen
from fieldline_cloud.agents.frames_seen import PRODUCERS_MAX, Seen


def test_a_frame_is_new_once() -> None:
    seen = Seen([("gateway-1", 1, 5)])
    assert not seen.is_new("gateway-1", 1, 5)
    assert seen.is_new("gateway-1", 1, 6)
    assert seen.is_new("gateway-1", 2, 1)
    assert seen.take_changes() == [("gateway-1", 1, 6), ("gateway-1", 2, 1)]
    assert seen.take_changes() == []


def test_producers_are_forgotten_in_the_order_of_their_last_word() -> None:
    seen = Seen()
    seen.is_new("old", 1, 1)
    seen.is_new("busy", 1, 1)
    for number in range(PRODUCERS_MAX - 1):
        seen.is_new("busy", 1, number + 2)
        seen.is_new(f"p{number}", 1, 1)
    assert len(seen) == PRODUCERS_MAX
    assert not seen.is_new("busy", 1, 2)
    assert seen.is_new("old", 1, 1)


def test_what_is_kept_comes_back_in_the_order_of_the_last_word_and_has_a_bound() -> None:
    connection = sqlite3.connect(":memory:")
    connection.executescript(frames_seen.SCHEMA)

    frames_seen.keep(connection, [("old", 2**64 - 1, 1), ("busy", 1, 1)])
    frames_seen.keep(connection, [("busy", 1, 2**64 - 1)])
    assert frames_seen.load(connection) == [("old", 2**64 - 1, 1), ("busy", 1, 2**64 - 1)]

    frames_seen.keep(connection, [(f"p{number}", 1, 1) for number in range(PRODUCERS_MAX - 1)])
    kept = frames_seen.load(connection)
    connection.close()
    assert len(kept) == PRODUCERS_MAX
    assert kept[0] == ("busy", 1, 2**64 - 1)
