"""The Modbus driver against devices that are silent, lie, break off or are not there."""

import asyncio
import time
from itertools import pairwise
from typing import Any

import pytest

from fieldline.model import Quality
from fieldline_edge.drivers.modbus.driver import ModbusDriver
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from tests.integration.edge.harness import (
    Behaviour,
    Collector,
    FaultServer,
    Request,
    Reset,
    holding,
    running,
    silent,
)

TAGS = [holding("a", 10), holding("b", 11)]


def device(name: str, server: FaultServer, **options: Any) -> ModbusDeviceSettings:
    quick = {"period_ms": 30, "timeout_ms": 60, "retries": 0, "backoff_ms_max": 100}
    given = {
        "driver": "modbus",
        "name": name,
        "area": "a",
        "host": "127.0.0.1",
        "port": server.port,
        "tags": TAGS,
    }
    return ModbusDeviceSettings.model_validate({**given, **quick, **options})


def half_a_frame(request: Request) -> bytes:
    return request.good()[:9]


def other_transaction(request: Request) -> bytes:
    return Request(request.transaction + 7, *list(vars(request).values())[1:]).good()


def other_unit(request: Request) -> bytes:
    return Request(request.transaction, 99, 3, request.address, request.count).good()


@pytest.mark.parametrize(
    ("behaviour", "quality"),
    [
        pytest.param(lambda r: r.words(1), Quality.BAD_RESPONSE, id="fewer registers than asked for"),
        pytest.param(lambda r: r.words(1, 2, 3), Quality.BAD_RESPONSE, id="more registers than asked for"),
        pytest.param(lambda r: r.frame(bytes([4, 4, 0, 1, 0, 2])), Quality.BAD_RESPONSE, id="another function code"),
        pytest.param(
            lambda r: r.frame(bytes([0x84, 2])), Quality.BAD_RESPONSE, id="exception to another function code"
        ),
        pytest.param(lambda r: r.frame(bytes([3, 2, 0, 1, 0, 2])), Quality.BAD_RESPONSE, id="wrong byte count"),
        pytest.param(lambda r: r.exception(2), Quality.BAD_EXCEPTION, id="illegal address"),
        pytest.param(lambda r: r.exception(6), Quality.BAD_EXCEPTION, id="busy"),
        pytest.param(lambda r: r.exception(0x0B), Quality.BAD_EXCEPTION, id="gateway: unit does not answer"),
        pytest.param(half_a_frame, Quality.BAD_TIMEOUT, id="half a frame, then silence"),
        pytest.param(silent, Quality.BAD_TIMEOUT, id="silence"),
        pytest.param(other_transaction, Quality.BAD_TIMEOUT, id="another transaction's answer"),
        pytest.param(other_unit, Quality.BAD_RESPONSE, id="another unit's answer"),
    ],
)
async def test_no_value_is_made_up_from_a_bad_answer_and_the_device_comes_back(
    behaviour: Behaviour, quality: Quality
) -> None:
    sink = Collector()
    async with FaultServer(unit1=behaviour) as server:
        driver = ModbusDriver([device("pump-1", server)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "a", quality, times=2)
            assert {(r.value, r.quality) for r in sink.by_device["pump-1"]} == {(None, quality)}
            assert sink.qualities("pump-1", "a") == sink.qualities("pump-1", "b")
            server.behaviours.clear()
            await sink.until_good_after("pump-1", "b", 0)
    assert sink.of("pump-1", "a")[-1].value == 10
    assert sink.of("pump-1", "b")[-1].value == 11


@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x00" * 300, id="zeros"),
        pytest.param(b"HTTP/1.1 400 Bad Request\r\n\r\n", id="http"),
        pytest.param(b"\x00\x01\x00\x00\xff\xff\x01\x03", id="a length of 65535"),
        pytest.param(b"\x00\x01\x00\x00\x00\x04\x01\x03\x01\x00", id="an odd byte count"),
    ],
)
async def test_a_device_that_talks_garbage_is_bad_and_recovers(garbage: bytes) -> None:
    sink = Collector()
    async with FaultServer(unit1=lambda _: garbage) as server:
        driver = ModbusDriver([device("pump-1", server)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of("pump-1", "a")) >= 2)
            assert all(r.value is None and r.quality.is_bad for r in sink.of("pump-1", "a"))
            server.behaviours.clear()
            await sink.until_good_after("pump-1", "a", 0)
    assert driver.stats.errors == 0


async def test_a_server_that_appears_later_is_found() -> None:
    sink = Collector()
    server = FaultServer()
    await server.listen()
    await server.vanish()  # the port is ours and refuses
    driver = ModbusDriver([device("pump-1", server)], site="s", sink=sink)
    async with running(driver):
        await sink.until_quality("pump-1", "a", Quality.BAD_NOT_CONNECTED, times=3)
        assert driver.stats.connects_failed >= 1
        await server.listen()
        await sink.until_good_after("pump-1", "a", 3)
    await server.vanish()
    assert driver.stats.connects == 1
    assert driver.stats.reconnects == 0


async def test_a_connection_reset_in_the_middle_is_noticed_at_once_and_made_anew() -> None:
    sink = Collector()
    calls = 0

    def resets_once(request: Request) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise Reset
        return request.good()

    async with FaultServer(unit1=resets_once) as server:
        driver = ModbusDriver([device("pump-1", server, timeout_ms=60_000)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "a", Quality.BAD_NOT_CONNECTED)
            await sink.until_good_after("pump-1", "a", len(sink.of("pump-1", "a")))
    assert driver.stats.reconnects == 1


async def test_a_server_that_goes_away_and_comes_back_is_found_again() -> None:
    sink = Collector()
    async with FaultServer() as server:
        driver = ModbusDriver([device("pump-1", server)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "a", Quality.GOOD)
            await server.vanish()
            await sink.until_quality("pump-1", "a", Quality.BAD_NOT_CONNECTED, times=2)
            await server.listen()
            await sink.until_good_after("pump-1", "a", len(sink.of("pump-1", "a")))


async def test_a_server_that_closes_idle_connections_costs_no_reading() -> None:
    sink = Collector()
    async with FaultServer() as server:
        driver = ModbusDriver([device("pump-1", server, period_ms=200, timeout_ms=2000)], site="s", sink=sink)
        async with running(driver):
            for _ in range(3):
                await sink.until_good_after("pump-1", "a", len(sink.of("pump-1", "a")))
                for writer in list(server._writers):
                    writer.close()
    assert set(sink.qualities("pump-1", "a")) == {Quality.GOOD}
    assert driver.stats.reconnects >= 2


async def test_a_dead_unit_costs_its_neighbours_one_timeout_per_pause() -> None:
    sink = Collector()
    async with FaultServer(unit2=silent) as server:
        driver = ModbusDriver(
            [
                device("good", server, unit=1, timeout_ms=2000),
                device("dead", server, unit=2, timeout_ms=200, retries=1, backoff_ms_max=2000),
            ],
            site="s",
            sink=sink,
        )
        async with running(driver):
            await sink.until_quality("dead", "a", Quality.BAD_TIMEOUT, times=20)
    assert set(sink.qualities("good", "a")) == {Quality.GOOD}
    moments = [r.at_ns for r in sink.of("good", "a")]
    longest_ms = max(b - a for a, b in pairwise(moments)) / 1e6
    assert longest_ms < 2 * 200, "one timeout and a few periods, but not two timeouts"
    asked = sum(1 for request in server.requests if request.unit == 2)
    assert asked <= 8, "growing pauses, not one request per period"
    assert driver.stats.polls_skipped > 0
    assert driver.stats.connects == 1, "the neighbour's connection is not closed for the dead unit's sake"


async def test_a_healthy_device_is_asked_again_within_the_poll() -> None:
    sink = Collector()
    dropped = False

    def drops_one(request: Request) -> bytes | None:
        nonlocal dropped
        if len(server.requests) == 3 and not dropped:
            dropped = True
            return None
        return request.good()

    async with FaultServer(unit1=drops_one) as server:
        driver = ModbusDriver([device("pump-1", server, retries=1, timeout_ms=300)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "a", Quality.GOOD, times=6)
    assert dropped
    assert set(sink.qualities("pump-1", "a")) == {Quality.GOOD}


async def test_each_unit_has_its_own_timeout() -> None:
    sink = Collector()
    async with FaultServer(unit1=silent, unit2=silent) as server:
        driver = ModbusDriver(
            [device("quick", server, timeout_ms=50), device("slow", server, unit=2, timeout_ms=400)],
            site="s",
            sink=sink,
        )
        begun_s = time.monotonic()
        async with running(driver):
            await sink.until_quality("slow", "a", Quality.BAD_TIMEOUT)
    assert time.monotonic() - begun_s >= 0.4


async def test_a_silent_block_does_not_hide_the_others() -> None:
    sink = Collector()

    def deaf_at_10(request: Request) -> bytes | None:
        return None if request.address == 10 else request.good()

    tags = [holding("deaf", 10), holding("fine", 500)]
    async with FaultServer(unit1=deaf_at_10) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags, timeout_ms=200)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "fine", Quality.GOOD)
            seen = len(sink.of("pump-1", "fine"))
            await sink.until(lambda: len(sink.of("pump-1", "fine")) >= seen + 10)
    assert set(sink.qualities("pump-1", "deaf")) == {Quality.BAD_TIMEOUT}
    assert set(sink.qualities("pump-1", "fine")[seen:]) == {Quality.GOOD}


async def test_a_late_answer_is_never_taken_for_the_next() -> None:
    """The first block is answered after its timeout, while the second is waiting."""
    sink = Collector()
    kept: list[bytes] = []

    def late(request: Request) -> bytes:
        if request.address == 10:
            kept.append(request.good())
            return b""
        return b"".join(kept) + request.good()

    tags = [holding("late", 10), holding("fine", 500)]
    async with FaultServer(unit1=late) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of("pump-1", "fine")) >= 15)
    values = {r.value for r in sink.of("pump-1", "fine")}
    assert values <= {500, None}
    assert {r.value for r in sink.of("pump-1", "late")} == {None}


async def test_a_silent_connection_is_taken_for_dead_and_made_anew() -> None:
    """A peer that lost power, or a forgotten NAT entry: TCP alone would wait for minutes."""
    sink = Collector()
    async with FaultServer(unit1=silent) as server:
        driver = ModbusDriver([device("pump-1", server)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: server.connections >= 2)
    assert driver.stats.requests_timed_out >= 3


async def test_a_host_that_cannot_be_resolved_is_not_connected() -> None:
    sink = Collector()
    server = FaultServer()
    server.port = 1502
    driver = ModbusDriver([device("pump-1", server, host="plc.invalid")], site="s", sink=sink)
    async with running(driver):
        await sink.until_quality("pump-1", "a", Quality.BAD_NOT_CONNECTED)


async def test_cancelling_lets_the_request_in_flight_finish_and_keeps_its_readings() -> None:
    sink = Collector()
    asked, answer = asyncio.Event(), asyncio.Event()

    async with FaultServer() as server:
        waiting: list[tuple[Request, asyncio.StreamWriter]] = []

        def holds_back(request: Request) -> None:
            waiting.append((request, next(iter(server._writers))))
            asked.set()

        server.behaviours[1] = holds_back
        driver = ModbusDriver([device("pump-1", server, timeout_ms=5000)], site="s", sink=sink)
        task = asyncio.create_task(driver.run())
        await asked.wait()
        task.cancel()
        request, writer = waiting[0]
        writer.write(request.good())
        answer.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert [(r.tag, r.value) for r in sink.by_device["pump-1"]] == [("a", 10), ("b", 11)]
    assert len(server.requests) == 1


async def test_missed_polls_are_counted_when_the_device_is_slower_than_its_period() -> None:
    sink = Collector()
    async with FaultServer() as server:
        loop = asyncio.get_running_loop()

        def slow(request: Request) -> None:
            writer = next(iter(server._writers))
            loop.call_later(0.12, writer.write, request.good())

        server.behaviours[1] = slow
        driver = ModbusDriver([device("pump-1", server, timeout_ms=1000)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "a", Quality.GOOD, times=4)
    assert driver.stats.polls_missed >= 4
    assert len(server.requests) <= 6, "it never overlaps itself"
