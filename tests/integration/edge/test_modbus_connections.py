"""Connections over time: made late, lost, closed by the device, half dead, and what they leave behind. The rows are
those of the complaints that users of other gateways have filed."""

import asyncio
import gc
import tracemalloc
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from fieldline.model import Quality
from fieldline_edge.drivers import build_drivers
from fieldline_edge.drivers.modbus.client import ModbusTrouble, NoAnswer, NoConnection, Stopping
from fieldline_edge.drivers.modbus.line import Framing
from fieldline_edge.drivers.modbus.protocol import WriteRegister
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from tests.integration.edge.harness import Collector, holding, running
from tests.integration.edge.lines import (
    BRIEF_S,
    DEADLINE_S,
    FRAMINGS,
    Ask,
    Client,
    FaultLine,
    Say,
    client_of,
    silence,
)

TAGS = [holding("a", 10), holding("b", 11)]


def device(name: str, line: FaultLine, **options: Any) -> ModbusDeviceSettings:
    quick = {"period_ms": 30, "timeout_ms": 60, "retries": 0, "backoff_ms_max": 100}
    quick |= {} if line.framing is Framing.TCP else {"quiet_ms": 30}
    place = {"host": "127.0.0.1", "port": line.port, "framing": line.framing.value}
    given = {"driver": "modbus", "name": name, "area": "a", "tags": TAGS}
    return ModbusDeviceSettings.model_validate({**given, **place, **quick, **options})


async def until_read(client: Client, address: int = 100) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while True:
            with suppress(ModbusTrouble):
                assert await client.read(address) == [address, address + 1]
                return
            await asyncio.sleep(0.01)  # the backoff


async def until_bad_after(sink: Collector, seen: int) -> None:
    await sink.until(lambda: any(quality.is_bad for quality in sink.qualities("pump", "a")[seen:]))


async def test_a_first_connect_that_fails_is_tried_again() -> None:
    """pymodbus' own client never does."""
    server = FaultLine(Framing.TCP)
    await server.listen()
    await server.vanish()  # the port is ours and refuses
    async with client_of(server.line) as client:
        for _ in range(3):
            with pytest.raises(NoConnection):
                await client.read(100)
        await server.listen()
        await until_read(client)
    await server.vanish()
    assert (client.stats.connects, client.stats.reconnects) == (1, 0)


async def test_while_the_backoff_lasts_nothing_is_tried() -> None:
    server = FaultLine(Framing.TCP)
    await server.listen()
    await server.vanish()
    async with client_of(server.line, backoff_max_s=60.0) as client:
        for _ in range(5):
            with pytest.raises(NoConnection):
                await client.read(100)
    assert client.stats.connects_failed == 1


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_row_7_a_lost_connection_comes_back_without_a_restart(framing: Framing) -> None:
    """home-assistant 142658, 53006, 52450, 9026: an inverter asleep overnight, a converter that reboots."""
    async with FaultLine(framing) as server, client_of(server.line) as client:
        for _ in range(3):
            await until_read(client)
            await server.vanish()
            with pytest.raises(NoConnection):
                await client.read(100)
            await server.listen()
        await until_read(client)
    assert client.stats.reconnects == 3


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_row_7_a_peer_that_went_without_a_goodbye_is_connected_to_anew(framing: Framing) -> None:
    """Power cut at the converter, or a forgotten NAT entry: the old connection is never answered again."""

    def old_ones_are_dead(ask: Ask, say: Say) -> None:
        if server.connections > 1:
            say(ask.good)

    async with FaultLine(framing, old_ones_are_dead) as server, client_of(server.line) as client:
        for _ in range(3):
            with pytest.raises(NoAnswer):
                await client.read(100, timeout_s=BRIEF_S)
        await until_read(client)
    assert client.stats.connects == 2


async def test_a_connection_that_is_lost_in_the_quiet_time_is_made_anew_before_the_next_request() -> None:
    async with FaultLine(Framing.RTU, silence) as server, client_of(replace(server.line, quiet_s=0.3)) as client:
        with pytest.raises(NoAnswer):
            await client.read(100, timeout_s=BRIEF_S)
        next_one = asyncio.create_task(client.read(200))
        server.behaviour = None
        server.hang_up()
        assert await next_one == [200, 201]
    assert client.stats.connects == 2


async def test_row_1_polling_goes_on_after_every_kind_of_outage() -> None:
    """thingsboard-gateway 2132: an error nobody caught ended the poll task for ever."""

    def babble(_: Ask, say: Say) -> None:
        say(b"\xff" * 300)

    def hang_up(_: Ask, __: Say) -> None:
        server.hang_up()

    sink = Collector()
    async with FaultLine(Framing.RTU) as server:
        (driver,) = build_drivers([device("pump", server)], site="s", sink=sink)
        async with running(driver):
            for trouble in (silence, babble, hang_up):
                await sink.until_good_after("pump", "a", len(sink.of("pump", "a")))
                seen = len(sink.of("pump", "a"))
                server.behaviour = trouble
                await until_bad_after(sink, seen)
                server.behaviour = None
            await sink.until_good_after("pump", "a", len(sink.of("pump", "a")))
            await server.vanish()
            await sink.until_quality("pump", "a", Quality.BAD_NOT_CONNECTED, times=3)
            await server.listen()
            await sink.until_good_after("pump", "a", len(sink.of("pump", "a")))
    assert driver.stats.errors == 0
    assert {reading.value for reading in sink.of("pump", "a")} == {10, None}


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_row_8_one_dead_unit_does_not_freeze_the_bus(framing: Framing) -> None:
    """home-assistant 51326, 122607, 115982."""

    def one_is_dead(ask: Ask, say: Say) -> None:
        if ask.unit != 2:
            say(ask.good)

    sink = Collector()
    async with FaultLine(framing, one_is_dead) as server:
        settings = [
            device("good", server, unit=1, timeout_ms=2000),
            device("dead", server, unit=2, timeout_ms=100, retries=1, backoff_ms_max=2000),
        ]
        (driver,) = build_drivers(settings, site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("dead", "a", Quality.BAD_TIMEOUT, times=20)
    assert set(sink.qualities("good", "a")) == {Quality.GOOD}
    assert {reading.value for reading in sink.of("good", "a")} == {10}
    longest_s = max(b.at_ns - a.at_ns for a, b in pairwise(sink.of("good", "a"))) / 1e9
    assert longest_s < 2 * (0.1 + 0.03) + 0.2, "one timeout and its quiet time, and what this machine takes"
    assert sum(ask.unit == 2 for ask in server.asks) <= 9, "growing pauses, not one request per period"


async def test_row_9_hundreds_of_timeouts_and_reconnects_leave_nothing_behind(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """home-assistant 127275: memory grew until the daily crash; ioBroker 573: timers that were never cleared."""

    caplog.set_level("CRITICAL")  # what the test framework keeps of the log would count as a leak

    async def a_round() -> None:
        server.behaviour = silence
        for _ in range(4):
            with suppress(ModbusTrouble):
                await client.read(100, timeout_s=0.005)
        server.behaviour = None
        server.hang_up()
        await until_read(client)
        for _ in range(20):
            await client.read(100)
        server.asks.clear()

    async with FaultLine(Framing.RTU) as server, client_of(replace(server.line, quiet_s=0.001)) as client:
        for _ in range(10):
            await a_round()
        gc.collect()
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(40):
            await a_round()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert client.connection._answers == {}
    assert after - before < 40_000, "1 KiB a round would be 40 KiB"


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_row_10_a_device_that_closes_idle_connections_costs_no_reading(framing: Framing) -> None:
    """home-assistant 101982."""
    async with FaultLine(framing) as server, client_of(server.line) as client:
        for address in (100, 200, 300):
            assert await client.read(address) == [address, address + 1]
            server.hang_up()
            await _until(lambda: client.stats.connected == 0)
    assert client.stats.reconnects == 2


async def test_row_10_a_read_that_meets_the_closing_of_an_idle_connection_is_asked_again() -> None:
    def hangs_up_on_the_second(ask: Ask, say: Say) -> None:
        server.hang_up() if ask.number == 1 else say(ask.good)

    async with FaultLine(Framing.TCP, hangs_up_on_the_second) as server, client_of(server.line) as client:
        await client.read(100)
        client.connection._used_at_s -= 10.0  # idle for ten seconds
        assert await client.read(200) == [200, 201]
    assert client.stats.reconnects == 1


async def test_a_write_that_meets_the_closing_of_an_idle_connection_is_not_repeated() -> None:
    def hangs_up_on_the_second(ask: Ask, say: Say) -> None:
        server.hang_up() if ask.number == 1 else say(ask.good)

    async with FaultLine(Framing.TCP, hangs_up_on_the_second) as server, client_of(server.line) as client:
        await client.read(100)
        client.connection._used_at_s -= 10.0
        with pytest.raises(NoConnection):
            await client.connection.write(WriteRegister(5, 7), unit=1, timeout_s=1.0)
    assert len(server.asks) == 2


async def test_row_10_with_close_after_poll_each_poll_has_a_connection_of_its_own() -> None:
    async with FaultLine(Framing.TCP) as server, client_of(replace(server.line, close_after_poll=True)) as client:
        for _ in range(3):
            for address in (100, 200, 300):
                assert await client.read(address) == [address, address + 1]
            await _until(lambda: client.stats.connected == 0)
    assert client.stats.connects == 3
    assert client.stats.connects_failed == 0


async def test_a_device_that_accepts_and_hangs_up_is_left_alone_for_growing_pauses() -> None:
    """Some take one client only, and say so like this."""

    def hang_up(_: Ask, __: Say) -> None:
        server.hang_up()

    async with FaultLine(Framing.TCP, hang_up) as server, client_of(server.line, backoff_max_s=60.0) as client:
        for _ in range(5):
            with pytest.raises(NoConnection):
                await client.read(100)
    assert server.connections == 1


async def test_after_stop_nothing_is_asked_and_what_is_under_way_ends() -> None:
    answering: list[tuple[Ask, Say]] = []

    def holds_back(ask: Ask, say: Say) -> None:
        answering.append((ask, say))

    async with FaultLine(Framing.RTU, holds_back) as server, client_of(server.line) as client:
        under_way, waiting = (asyncio.create_task(client.read(address)) for address in (100, 200))
        await server.until_asked(1)
        client.connection.stop()
        ask, say = answering[0]
        say(ask.good)
        assert await under_way == [100, 101]
        with pytest.raises(Stopping):
            await waiting


async def test_closing_fails_what_is_under_way_at_once() -> None:
    async with FaultLine(Framing.TCP, silence) as server, client_of(server.line) as client:
        under_way = asyncio.create_task(client.read(100, timeout_s=60.0))
        await server.until_asked(1)
        client.connection.close()
        with pytest.raises(NoConnection):
            await under_way


async def test_devices_on_a_serial_line_over_tcp_share_one_connection() -> None:
    sink = Collector()
    async with FaultLine(Framing.ASCII) as server:
        settings = [device(f"unit-{unit}", server, unit=unit) for unit in (1, 2, 3)]
        (driver,) = build_drivers(settings, site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: all(len(sink.puts[f"unit-{unit}"]) >= 3 for unit in (1, 2, 3)))
    assert server.connections == 1
    assert {reading.value for readings in sink.by_device.values() for reading in readings} == {10, 11}


async def _until(condition: Any) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while not condition():  # noqa: ASYNC110  # no event tells of it
            await asyncio.sleep(0.005)
