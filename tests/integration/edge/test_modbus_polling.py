"""What the Modbus driver asks for, when, and what one bad thing costs the others: over real TCP."""

import asyncio
import logging
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from fieldline.model import Quality
from fieldline_edge.drivers.modbus import refusals
from fieldline_edge.drivers.modbus.driver import ModbusDriver
from fieldline_edge.drivers.modbus.settings import ModbusDeviceSettings
from tests.integration.edge.harness import Behaviour, Collector, FaultServer, Request, holding, running, silent


def device(name: str, server: FaultServer, **options: Any) -> ModbusDeviceSettings:
    given = {"driver": "modbus", "name": name, "area": "a", "host": "127.0.0.1", "port": server.port}
    quick = {"period_ms": 100, "timeout_ms": 3000, "retries": 0}
    return ModbusDeviceSettings.model_validate({**given, **quick, **options})


def without(*missing: int, longest: int = 125) -> Behaviour:
    """A device that lacks some registers, and takes no longer requests."""

    def behave(request: Request) -> bytes:
        asked = range(request.address, request.address + request.count)
        return request.exception(2) if request.count > longest or set(asked) & set(missing) else request.good()

    return behave


def shapes(requests: list[Request]) -> Counter[tuple[int, int]]:
    return Counter((request.address, request.count) for request in requests)


async def test_one_illegal_register_costs_nothing_but_itself_from_the_first_poll_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """telegraf 14671: after a firmware change one address in a merged request killed everything gathered."""
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in range(50)]
    async with FaultServer(unit1=without(7)) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        with caplog.at_level(logging.WARNING):
            async with running(driver):
                await sink.until(lambda: len(sink.puts["pump-1"]) >= 4)
    for put in sink.puts["pump-1"]:
        assert {r.tag: r.value for r in put} == {f"t{n}": None if n == 7 else n for n in range(50)}
        assert {r.tag for r in put if r.quality is Quality.BAD_EXCEPTION} == {"t7"}
        assert len(put) == 50, "one reading for each tag"
    search = server.requests[: 1 + 2 * 6]
    assert (7, 1) in shapes(search), "found with two requests for each halving of 50"
    assert set(shapes(server.requests[len(search) :])) == {(0, 7), (8, 42)}
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.endswith("device=s/a/pump-1 unit=1 ranges=holding 7")
    assert driver.device_stats[0].ranges_refused == ("holding 7",)
    assert driver.stats.polls_failed == 0, "what does not exist is no failure, poll after poll"


async def test_a_gap_that_cannot_be_read_over_is_learnt_and_no_tag_is_ever_bad() -> None:
    """telegraf 14671: the merged request had read over registers that nobody wanted."""
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in (*range(0, 40, 4), *range(60, 100, 4))]
    async with FaultServer(unit1=without(50, 51)) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags, gap_registers_max=30)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.puts["pump-1"]) >= 3)
    assert {r.quality for r in sink.by_device["pump-1"]} == {Quality.GOOD}
    assert set(shapes(server.requests[-4:])) == {(0, 37), (60, 37)}


async def test_a_device_that_takes_short_requests_only_is_found_out() -> None:
    """telegraf 12222, 16873: batches below 125 are needed by some devices."""
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in range(120)]
    async with FaultServer(unit1=without(longest=60)) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.puts["pump-1"]) >= 4)
    assert {r.quality for r in sink.by_device["pump-1"]} == {Quality.GOOD}
    asked = shapes(server.requests[-4:])
    assert max(count for _, count in asked) == 60


async def test_a_device_that_lacks_nearly_everything_still_delivers_the_rest_at_once() -> None:
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in range(100)] + [holding("far", 5000)]
    async with FaultServer(unit1=without(*range(100))) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len({r.tag for r in sink.by_device["pump-1"]}) == 101)
            seen = len(server.requests)
            await sink.until(lambda: len(server.requests) >= seen + 3)
    assert [(r.tag, r.value) for r in sink.puts["pump-1"][0]] == [("far", 5000)], "before the search"
    assert len(sink.of("pump-1", "far")) >= 4, "and in every poll of it"
    assert set(sink.qualities("pump-1", "t50")) == {Quality.BAD_EXCEPTION}
    assert set(shapes(server.requests[-2:])) == {(5000, 1)}


@pytest.mark.parametrize("others", [[], [holding("far", 500)]], ids=["its only request", "beside another request"])
async def test_a_device_that_is_silent_about_a_gap_is_read_around_it(
    monkeypatch: pytest.MonkeyPatch, others: list[dict[str, Any]]
) -> None:
    """Some devices do not answer "illegal address" but nothing at all."""
    monkeypatch.setattr(refusals, "_RECHECK_FIRST_S", 0.2)
    sink = Collector()

    def deaf_at_5(request: Request) -> bytes | None:
        return None if request.address <= 5 < request.address + request.count else request.good()

    tags = [holding("a", 0), holding("b", 3), holding("c", 9), *others]
    async with FaultServer(unit1=deaf_at_5) as server:
        settings = device("pump-1", server, tags=tags, timeout_ms=100, backoff_ms_max=200)
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "c", Quality.GOOD)
            seen, asked = len(sink.puts["pump-1"]), len(server.requests)
            await sink.until(lambda: (3, 7) in shapes(server.requests[asked:]))
            await sink.until(lambda: len(sink.puts["pump-1"]) >= seen + 8)
    assert {r.quality for put in sink.puts["pump-1"][seen:] for r in put} == {Quality.GOOD}, "nor does the new try hurt"
    assert "holding 3-9" in driver.device_stats[0].ranges_refused


async def test_a_firmware_that_brings_a_register_back_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusals, "_RECHECK_FIRST_S", 0.3)
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in range(20)]
    async with FaultServer(unit1=without(3, 4, 5, 6, 15)) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "t15", Quality.BAD_EXCEPTION, times=2)
            server.behaviours[1] = without()
            await sink.until(lambda: all(r.quality.is_good for r in sink.puts["pump-1"][-1]))
            known = len(server.requests)
            await sink.until(lambda: len(server.requests) >= known + 3)
    assert set(shapes(server.requests[-2:])) == {(0, 20)}, "one request again"
    assert driver.device_stats[0].ranges_refused == ()


async def test_a_device_that_refuses_everything_while_it_starts_is_whole_soon_after(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refusals, "_RECHECK_FIRST_S", 0.3)
    sink = Collector()
    tags = [holding(f"t{address}", address) for address in range(50)]
    async with FaultServer(unit1=without(*range(50))) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: sink.puts["pump-1"])
            server.behaviours[1] = without()
            seen = len(sink.puts["pump-1"])
            await sink.until(lambda: all(r.quality.is_good for r in sink.puts["pump-1"][-1]))
    assert len(sink.puts["pump-1"]) - seen <= 15, "not one register in each poll"


@pytest.mark.parametrize("dead", [1, 2, 3])
async def test_dead_units_leave_the_good_ones_their_polls(dead: int) -> None:
    """home-assistant 51326, 122607, 115982: one dead slave froze the whole bus. telegraf 11782: and lost all data."""
    sink = Collector()
    units = 4
    async with FaultServer(**{f"unit{n}": silent for n in range(1, dead + 1)}) as server:
        devices = [
            device(
                f"u{n}",
                server,
                unit=n,
                period_ms=200,
                timeout_ms=40 if n <= dead else 3000,
                retries=1,
                tags=[holding("a", 10)],
            )
            for n in range(1, units + 1)
        ]
        driver = ModbusDriver(devices, site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of(f"u{units}", "a")) >= 20)
    for stats in driver.device_stats[dead:]:
        assert set(sink.qualities(stats.device.device, "a")) == {Quality.GOOD}
        counts = stats.groups[""]
        assert counts.polls_missed <= 0.05 * (counts.polls + counts.polls_missed)
        assert counts.polls_skipped == 0
    for stats in driver.device_stats[:dead]:
        assert stats.quality is Quality.BAD_TIMEOUT
        assert stats.answered_at_ns == 0
        assert stats.groups[""].polls_skipped > stats.groups[""].polls
    if dead < 3:  # three silent requests in a row count as a dead connection
        assert driver.stats.connects == 1, "neuron 1602: and the shared connection is not reset for it"


async def test_units_that_are_always_due_take_turns() -> None:
    """Units slower than their period all together: nobody gets more than its share."""
    sink = Collector()
    async with FaultServer() as server:
        loop = asyncio.get_running_loop()

        def slow(request: Request) -> None:
            writer = next(iter(server._writers))
            loop.call_later(0.02, writer.write, request.good())

        server.behaviours = dict.fromkeys((1, 2, 3), slow)
        tags = [holding("a", 0), holding("b", 500), holding("c", 1000)]
        devices = [device(f"u{n}", server, unit=n, period_ms=20, tags=tags[:n]) for n in (1, 2, 3)]
        driver = ModbusDriver(devices, site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.puts["u3"]) >= 10)
    shares = Counter(request.unit for request in server.requests)
    assert max(shares.values()) <= 1.5 * min(shares.values()), shares


async def test_a_slow_group_holds_a_fast_one_up_by_one_request_at_most() -> None:
    sink = Collector()
    async with FaultServer() as server:
        loop = asyncio.get_running_loop()

        def slow(request: Request) -> None:
            writer = next(iter(server._writers))
            loop.call_later(0.03, writer.write, request.good())

        server.behaviours[1] = slow
        tags = [holding("fast", 0, group="fast")] + [holding(f"t{n}", 1000 * n) for n in range(1, 16)]
        settings = device("pump-1", server, period_ms=600, tags=tags, groups={"fast": {"period_ms": 100}})
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of("pump-1", "t15")) >= 3)
    between = [b - a - 1 for a, b in pairwise(n for n, request in enumerate(server.requests) if request.address == 0)]
    assert max(between) <= 6, "15 requests of the slow group take 450 ms, the fast one is due every 100"
    groups = driver.device_stats[0].groups
    assert groups["fast"].polls > 2 * groups[""].polls


async def test_groups_have_periods_and_phases_of_their_own() -> None:
    sink = Collector()
    tags = [holding("slow", 0), holding("fast", 1, group="fast")]
    async with FaultServer() as server:
        groups = {"fast": {"period_ms": 100, "phase_ms": 40}}
        settings = device("pump-1", server, period_ms=400, phase_ms=0, tags=tags, groups=groups)
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of("pump-1", "slow")) >= 4)
    assert set(shapes(server.requests)) == {(0, 1), (1, 1)}, "groups share no request"
    assert len(sink.of("pump-1", "fast")) >= 2 * len(sink.of("pump-1", "slow"))
    early_ms = [(reading.at_ns // 1_000_000 - 40) % 100 for reading in sink.of("pump-1", "fast")]
    assert sorted(early_ms)[len(early_ms) // 2] < 50, "most come soon after their moment"


async def test_a_group_that_is_read_once_is_read_again_when_the_device_was_lost() -> None:
    sink = Collector()
    tags = [holding("serial", 500, group="nameplate"), holding("flow", 0)]
    async with FaultServer() as server:
        settings = device(
            "pump-1", server, tags=tags, groups={"nameplate": {"period_ms": 0}}, timeout_ms=200, backoff_ms_max=200
        )
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.of("pump-1", "flow")) >= 5)
            assert sink.qualities("pump-1", "serial") == [Quality.GOOD]
            server.behaviours[1] = silent
            await sink.until_quality("pump-1", "flow", Quality.BAD_TIMEOUT)
            server.behaviours[1] = Request.good
            await sink.until_quality("pump-1", "serial", Quality.GOOD, times=2)


async def test_a_silent_group_does_not_hide_the_others() -> None:
    sink = Collector()

    def deaf_at_10(request: Request) -> bytes | None:
        return None if request.address == 10 else request.good()

    tags = [holding("deaf", 10, group="fast"), holding("fine", 500)]
    async with FaultServer(unit1=deaf_at_10) as server:
        groups = {"fast": {"period_ms": 50}}
        settings = device("pump-1", server, tags=tags, groups=groups, timeout_ms=100, backoff_ms_max=500)
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until_quality("pump-1", "fine", Quality.GOOD)
            await sink.until_quality("pump-1", "deaf", Quality.BAD_TIMEOUT, times=3)
            seen = len(sink.of("pump-1", "fine"))
            await sink.until(lambda: len(sink.of("pump-1", "fine")) >= seen + 10)
    assert set(sink.qualities("pump-1", "fine")[seen:]) == {Quality.GOOD}


async def test_requests_of_one_device_are_under_way_together_where_the_line_allows_it() -> None:
    sink = Collector()
    async with FaultServer() as server:
        waiting: list[Request] = []

        def answers_in_fours(request: Request) -> bytes:
            waiting.append(request)
            if len(waiting) < 4:
                return b""
            answers = b"".join(each.good() for each in reversed(waiting))
            waiting.clear()
            return answers

        server.behaviours[1] = answers_in_fours
        tags = [holding(f"t{n}", 1000 * n) for n in range(8)]
        settings = device("pump-1", server, tags=tags, in_flight_max=4, period_ms=200)
        driver = ModbusDriver([settings], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: len(sink.puts["pump-1"]) >= 3)
    assert {(r.tag, r.value) for r in sink.by_device["pump-1"]} == {(f"t{n}", 1000 * n) for n in range(8)}


@pytest.mark.parametrize(
    ("tags", "requests"),
    [
        pytest.param([holding(f"t{n}", n * 4) for n in range(200)], 7, id="telegraf 12222: 200 requests, or gaps read"),
        pytest.param([holding(f"t{n}", 7) for n in range(40)], 1, id="many tags of one address"),
    ],
)
async def test_requests_are_merged(tags: list[dict[str, Any]], requests: int) -> None:
    sink = Collector()
    async with FaultServer() as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: sink.puts["pump-1"])
    assert len(set(shapes(server.requests))) == requests
    assert len(sink.puts["pump-1"][0]) == len(tags)


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("ABCD", [0x42F6, 0xE979, 0x1234, 0x5678, 0x4142, 0x4300]),
        ("CDAB", [0xE979, 0x42F6, 0x5678, 0x1234, 0x4142, 0x4300]),
        ("BADC", [0xF642, 0x79E9, 0x3412, 0x7856, 0x4241, 0x0043]),
        ("DCBA", [0x79E9, 0xF642, 0x7856, 0x3412, 0x4241, 0x0043]),
    ],
)
async def test_an_order_means_the_same_for_floats_integers_and_texts(order: str, words: list[int]) -> None:
    """device-modbus-go 151, home-assistant 44553, ioBroker.modbus 508: swaps that were ignored for floats, or reversed
    everything."""
    sink = Collector()
    tags = [
        {"name": "float", "address": 0, "type": "float32"},
        {"name": "integer", "address": 2, "type": "uint32"},
        {"name": "text", "address": 4, "type": "string", "length_registers": 2},
    ]
    async with FaultServer(unit1=lambda request: request.words(*words)) as server:
        driver = ModbusDriver([device("pump-1", server, tags=tags, order=order)], site="s", sink=sink)
        async with running(driver):
            await sink.until(lambda: sink.puts["pump-1"])
    values = {r.tag: r.value for r in sink.puts["pump-1"][0]}
    assert values == {"float": pytest.approx(123.456, rel=1e-6), "integer": 0x12345678, "text": "ABC"}
