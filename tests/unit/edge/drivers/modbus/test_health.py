import random

from fieldline.model import Quality
from fieldline_edge.drivers.modbus.health import BlockHealth, Change, DeviceHealth, Look

TIMEOUT = Quality.BAD_TIMEOUT


def health(blocks: int) -> tuple[DeviceHealth, list[BlockHealth]]:
    it = DeviceHealth(backoff_base_s=1, backoff_max_s=30, source=random.Random(1))
    return it, [it.block() for _ in range(blocks)]


def begin(it: DeviceHealth, now_s: float) -> Look:
    look = it.begin(now_s)
    assert look is not None
    return look


def lose(it: DeviceHealth, block: BlockHealth, now_s: float) -> Change:
    look = begin(it, now_s)
    change = it.silent(look, block, TIMEOUT, now_s)
    it.end(look)
    return change


def test_a_healthy_device_is_asked_for_all_requests_with_retries() -> None:
    it, blocks = health(3)
    assert not begin(it, 0).is_probe
    assert all(block.ready(0) and it.may_retry(block) for block in blocks)


def test_silence_abandons_the_poll_and_loses_the_device() -> None:
    it, blocks = health(3)
    look = begin(it, 0)
    assert it.silent(look, blocks[0], TIMEOUT, 0) is Change.LOST
    assert it.given_up(look)
    assert [it.quality_of(block) for block in blocks] == [TIMEOUT] * 3


def test_a_lost_device_is_left_alone_and_then_asked_without_retries() -> None:
    it, (block,) = health(1)
    lose(it, block, 0)
    assert it.begin(0.4) is None
    assert begin(it, 1.0).is_probe
    assert not it.may_retry(block)


def test_only_one_poll_at_a_time_asks_a_lost_device() -> None:
    it, (block, _) = health(2)
    lose(it, block, 0)
    probe = begin(it, 100)
    assert it.begin(100) is None, "another group comes due meanwhile"
    it.end(probe)
    assert it.begin(100) is not None


def test_a_poll_under_way_gives_up_when_another_one_loses_the_device() -> None:
    it, (fast, _) = health(2)
    slow_poll = begin(it, 0)
    lose(it, fast, 0)
    assert it.given_up(slow_poll)


def test_a_lost_device_is_probed_by_turns_so_one_silent_request_does_not_hide_the_others() -> None:
    it, _ = health(2)
    assert [it.turn(2) for _ in range(5)] == [(0, True), (1, True), (0, False), (1, False), (0, True)]


def test_any_answer_finds_the_device_again_and_asks_its_other_requests_at_once() -> None:
    it, blocks = health(2)
    for now_s in (0, 100, 200):
        lose(it, blocks[0], now_s)
    begin(it, 300)
    assert it.answered(blocks[1]) is Change.FOUND
    assert it.found == 1
    assert it.quality.is_good
    assert blocks[0].ready(300.1)


def test_a_request_that_stays_silent_alone_costs_one_try_per_pause_and_only_itself() -> None:
    it, (silent, fine) = health(2)
    look = begin(it, 0)
    it.answered(fine)
    assert it.silent(look, silent, TIMEOUT, 0) is Change.NONE
    assert it.quality.is_good
    assert not silent.ready(0.4)
    assert silent.ready(10)
    assert not it.may_retry(silent)


def test_a_request_known_to_be_silent_does_not_speak_for_a_device_with_healthy_ones() -> None:
    """A group whose only request is silent, beside a group that is fine and asked rarely."""
    it, (silent, fine) = health(2)
    lose(it, silent, 0)
    begin(it, 100)
    it.answered(fine)
    assert lose(it, silent, 200) is Change.NONE
    assert it.quality.is_good


def test_requests_whose_turn_did_not_come_are_marked_but_not_blamed() -> None:
    it, (first, second, third) = health(3)
    look = begin(it, 0)
    it.answered(first)
    it.silent(look, second, TIMEOUT, 0)
    assert it.quality_of(third) is TIMEOUT
    assert third.ready(0.1)


def test_a_refused_request_leaves_the_others_alone() -> None:
    it, (refused, _) = health(2)
    look = begin(it, 0)
    assert it.refused(refused, Quality.BAD_EXCEPTION, 0) is Change.NONE
    assert not it.given_up(look)
    assert it.quality_of(refused) is Quality.BAD_EXCEPTION
    assert not refused.ready(0.1)


def test_a_refusal_is_a_sign_of_life() -> None:
    it, (block,) = health(1)
    lose(it, block, 0)
    begin(it, 100)
    assert it.refused(block, Quality.BAD_EXCEPTION, 100) is Change.FOUND


def test_without_connection_the_device_is_asked_every_time_because_the_connection_paces_itself() -> None:
    it, (block, _) = health(2)
    look = begin(it, 0)
    assert it.disconnected(look) is Change.LOST
    assert it.quality_of(block) is Quality.BAD_NOT_CONNECTED
    again = begin(it, 0.01)
    assert it.disconnected(again) is Change.NONE


def test_requests_that_are_planned_no_more_count_no_more() -> None:
    it, (silent, fine) = health(2)
    lose(it, silent, 0)
    begin(it, 100)
    it.alive()
    it.drop([fine])
    assert lose(it, silent, 200) is Change.LOST, "nobody healthy is left to speak for the device"
