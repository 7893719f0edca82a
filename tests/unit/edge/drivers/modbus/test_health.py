import random

from fieldline.model import Quality
from fieldline_edge.drivers.modbus.health import Change, DeviceHealth


def health(blocks: int) -> DeviceHealth:
    return DeviceHealth(blocks, backoff_base_s=1, backoff_max_s=30, source=random.Random(1))


def test_a_healthy_device_is_asked_for_all_blocks_with_retries() -> None:
    it = health(3)
    assert it.begin_poll(0) == [0, 1, 2]
    assert it.may_retry(0)


def test_silence_abandons_the_poll_and_loses_the_device() -> None:
    it = health(3)
    it.begin_poll(0)
    assert it.silent(0, Quality.BAD_TIMEOUT, 0) is Change.LOST
    assert it.abandoned
    assert [it.quality_of(i) for i in range(3)] == [Quality.BAD_TIMEOUT] * 3


def test_a_lost_device_is_left_alone_and_then_asked_without_retries() -> None:
    it = health(1)
    it.begin_poll(0)
    it.silent(0, Quality.BAD_TIMEOUT, 0)
    assert it.begin_poll(0.4) == []
    assert it.begin_poll(1.0) == [0]
    assert not it.may_retry(0)


def test_a_lost_device_is_probed_by_turns_so_one_silent_block_does_not_hide_the_others() -> None:
    it = health(2)
    it.begin_poll(0)
    it.silent(0, Quality.BAD_TIMEOUT, 0)
    first, *_ = it.begin_poll(100)
    it.silent(first, Quality.BAD_TIMEOUT, 100)
    second, *_ = it.begin_poll(200)
    assert {first, second} == {0, 1}


def test_any_answer_finds_the_device_again_and_asks_its_other_blocks_at_once() -> None:
    it = health(2)
    for now_s in (0, 100, 200):
        it.begin_poll(now_s)
        it.silent(0, Quality.BAD_TIMEOUT, now_s)
    it.begin_poll(300)
    assert it.answered(1) is Change.FOUND
    assert it.quality.is_good
    assert it.begin_poll(300.1) == [1, 0]


def test_a_block_that_stays_silent_alone_costs_one_try_per_pause_and_only_itself() -> None:
    it = health(2)
    it.begin_poll(0)
    it.answered(1)
    assert it.silent(0, Quality.BAD_TIMEOUT, 0) is Change.NONE
    assert it.quality.is_good
    assert it.begin_poll(0.4) == [1]
    assert it.begin_poll(10) == [1, 0], "the healthy block first, or the silent one would look like a dead device"
    assert not it.may_retry(0)


def test_blocks_whose_turn_did_not_come_are_marked_but_not_blamed() -> None:
    it = health(3)
    it.begin_poll(0)
    it.answered(0)
    it.silent(1, Quality.BAD_TIMEOUT, 0)
    assert it.quality_of(2) is Quality.BAD_TIMEOUT
    assert it.begin_poll(0.1) == [0, 2]


def test_a_refused_block_leaves_the_others_alone() -> None:
    it = health(2)
    it.begin_poll(0)
    assert it.refused(0, Quality.BAD_EXCEPTION, 0) is Change.NONE
    assert not it.abandoned
    assert it.quality_of(0) is Quality.BAD_EXCEPTION
    assert it.begin_poll(0.1) == [1]


def test_a_refusal_is_a_sign_of_life() -> None:
    it = health(1)
    it.begin_poll(0)
    it.silent(0, Quality.BAD_TIMEOUT, 0)
    it.begin_poll(100)
    assert it.refused(0, Quality.BAD_EXCEPTION, 100) is Change.FOUND


def test_without_connection_the_device_is_asked_every_time_because_the_connection_paces_itself() -> None:
    it = health(2)
    it.begin_poll(0)
    assert it.disconnected() is Change.LOST
    assert it.quality_of(1) is Quality.BAD_NOT_CONNECTED
    assert len(it.begin_poll(0.01)) == 2
    assert it.disconnected() is Change.NONE
