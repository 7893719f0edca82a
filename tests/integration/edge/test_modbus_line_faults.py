"""One connection against a device that misbehaves, in each framing over TCP: no wrong value, and then right ones."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from fieldline_edge.drivers.modbus.client import DeviceRefused, ModbusTrouble, NoAnswer, WrongAnswer
from fieldline_edge.drivers.modbus.line import Framing
from fieldline_edge.drivers.modbus.protocol import WriteRegister, rtu_frame
from tests.integration.edge.lines import (
    BRIEF_S,
    BUSES,
    FRAMINGS,
    PATIENT_S,
    Ask,
    Behaviour,
    Client,
    FaultLine,
    Say,
    client_of,
    silence,
)

_DRIBBLE_S = 0.0005


def first_only(fault: Behaviour) -> Behaviour:
    """The fault once, then right answers."""

    def behave(ask: Ask, say: Say) -> Coroutine[Any, Any, None] | None:
        if ask.number == 0:
            return fault(ask, say)
        say(ask.good)
        return None

    return behave


NoWonder = (NoAnswer, WrongAnswer)


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize(
    ("fault", "trouble"),
    [
        pytest.param(lambda ask, say: say(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 9), NoWonder, id="garbage"),
        pytest.param(lambda ask, say: say(random.Random(7).randbytes(300)), NoWonder, id="noise"),
        pytest.param(lambda ask, say: say(ask.pack(ask.right, unit=9)), NoWonder, id="another unit"),
        pytest.param(lambda ask, say: say(ask.pack(ask.words(1))), WrongAnswer, id="fewer registers"),
        pytest.param(lambda ask, say: say(ask.pack(ask.words(1, 2, 3))), WrongAnswer, id="more registers"),
        pytest.param(lambda ask, say: say(ask.pack(b"\x03\x02\0\1\0\2")), NoWonder, id="wrong byte count"),
        pytest.param(lambda ask, say: say(ask.pack(b"\x04\x04\0\1\0\2")), WrongAnswer, id="another function"),
        pytest.param(lambda ask, say: say(ask.pack(b"\x84\x02")), WrongAnswer, id="exception to another function"),
        pytest.param(lambda ask, say: say(ask.pack(b"\x83\x02")), DeviceRefused, id="illegal address"),
        pytest.param(lambda ask, say: say(ask.pack(b"\x83\x06")), DeviceRefused, id="busy"),
        pytest.param(lambda ask, say: say(ask.good[: len(ask.good) // 2]), NoAnswer, id="half a frame"),
        pytest.param(silence, NoAnswer, id="silence"),
    ],
)
async def test_after_a_bad_answer_the_next_one_is_right(
    framing: Framing, fault: Behaviour, trouble: type[ModbusTrouble]
) -> None:
    async with FaultLine(framing, first_only(fault)) as device, client_of(device.line) as client:
        with pytest.raises(trouble):
            await client.read(100, timeout_s=BRIEF_S)
        assert await client.read(200) == [200, 201]
        assert await client.read(100) == [100, 101]


async def test_another_transactions_answer_is_nobodys() -> None:
    def other(ask: Ask, say: Say) -> None:
        say(ask.pack(ask.words(7, 7), transaction=ask.transaction + 1))

    async with FaultLine(Framing.TCP, first_only(other)) as device, client_of(device.line) as client:
        with pytest.raises(NoAnswer):
            await client.read(100, timeout_s=BRIEF_S)
        assert await client.read(200) == [200, 201]
    assert client.stats.answers_skipped == 1


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_answer_that_dribbles_in_byte_by_byte_is_taken(framing: Framing) -> None:
    async def dribble(ask: Ask, say: Say) -> None:
        for octet in ask.good:
            say(bytes([octet]))
            await asyncio.sleep(_DRIBBLE_S)

    async with FaultLine(framing, dribble) as device, client_of(device.line) as client:
        assert await client.read(100) == [100, 101]
        assert await client.read(200) == [200, 201]


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_of_frames_glued_together_the_right_one_is_taken(framing: Framing) -> None:
    def glued(ask: Ask, say: Say) -> None:
        foreign = ask.pack(ask.words(7, 7), unit=9, transaction=ask.transaction + 9)
        say(foreign + ask.good + foreign)

    async with FaultLine(framing, glued) as device, client_of(device.line) as client:
        assert await client.read(100) == [100, 101]
        assert await client.read(200) == [200, 201]
    assert client.stats.answers_skipped + client.stats.octets_skipped >= 2


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_an_answer_that_comes_twice_is_taken_once(framing: Framing) -> None:
    async with (
        FaultLine(framing, lambda ask, say: say(ask.good * 2)) as device,
        client_of(device.line) as client,
    ):
        assert [await client.read(address) for address in range(100, 120)] == [[a, a + 1] for a in range(100, 120)]


def late_by(seconds: float) -> Behaviour:
    """Answers in order, as a serial device does, each so much too late."""
    turn = asyncio.Lock()

    async def behave(ask: Ask, say: Say) -> None:
        async with turn:
            await asyncio.sleep(seconds)
            say(ask.good)

    return behave


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("late_s", [0.07, 0.1, 0.15, 0.3], ids=lambda s: f"{s * 1000:g} ms")
async def test_row_16_a_late_answer_is_never_taken_for_anothers(framing: Framing, late_s: float) -> None:
    """pymodbus 538, 1509, 2777; goburrow/modbus 64. Timeouts of 60 ms and 30 ms of quiet: some answers come within
    the quiet time, some while the next question of the same length waits, some after several."""
    answers: list[tuple[int, list[int]]] = []
    async with FaultLine(framing, late_by(late_s)) as device, client_of(device.line) as client:
        for address in range(100, 220, 10):
            with suppress(NoAnswer):
                answers.append((address, await client.read(address, timeout_s=BRIEF_S)))
        device.behaviour = None
        answers.append((500, await _until_read(client, 500)))
    assert [(a, words) for a, words in answers if words != [a, a + 1]] == []


@pytest.mark.parametrize("framing", BUSES)
async def test_row_16_answers_and_exceptions_late_or_lost_at_random_are_never_mixed_up(framing: Framing) -> None:
    """Addresses from 5000 on are always refused as illegal, and no others are."""
    chance = random.Random(16)
    turn = asyncio.Lock()

    async def moody(ask: Ask, say: Say) -> None:
        async with turn:
            await asyncio.sleep(chance.choice([0.0, 0.0, 0.0, 0.02, 0.05, 0.12]))
            if chance.random() < 0.8:
                say(ask.pack(b"\x83\x02") if ask.address >= 5000 else ask.good)

    right = 0
    async with FaultLine(framing) as device, client_of(device.line) as client:
        await client.read(0)
        device.behaviour = moody
        for number in range(120):
            address = 10 * number if number % 3 else 5000 + number
            try:
                assert await client.read(address, timeout_s=0.04) == [address, address + 1]
            except DeviceRefused:
                assert address >= 5000
            except NoAnswer:
                continue
            right += 1
    assert right > 10


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_row_16_after_a_cancelled_read_the_next_one_gets_its_own_answer(framing: Framing) -> None:
    async with FaultLine(framing, late_by(0.1)) as device, client_of(device.line) as client:
        given_up = asyncio.create_task(client.read(100))
        await device.until_asked(1)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        assert await client.read(200) == [200, 201]


@pytest.mark.parametrize("framing", BUSES)
async def test_a_write_is_not_confirmed_by_the_late_answer_to_an_earlier_one(framing: Framing) -> None:
    def first_is_late(ask: Ask, say: Say) -> None:
        if ask.number == 0:
            kept.append(ask.good)
        elif ask.pdu[0] == 3:
            say(b"".join(kept) + ask.good)
        # the second write is never done

    kept: list[bytes] = []
    async with FaultLine(framing, first_is_late) as device, client_of(device.line) as client:
        for _ in range(2):
            with pytest.raises(NoAnswer):
                await client.connection.write(WriteRegister(5, 7), unit=1, timeout_s=BRIEF_S)
    assert [ask.pdu[0] for ask in device.asks] == [6, 3, 6]


@pytest.mark.parametrize("framing", BUSES)
async def test_over_an_adapter_that_echoes_nothing_is_written_before_it_is_set_so(framing: Framing) -> None:
    """The echo of a write looks like its confirmation."""

    def echoes(ask: Ask, say: Say) -> None:
        say(ask.pack(ask.pdu))
        if ask.pdu[0] == 3:
            say(ask.good)

    async with FaultLine(framing, echoes) as device:
        async with client_of(device.line) as client:
            assert await client.read(100) == [100, 101]
            with pytest.raises(WrongAnswer, match="write local_echo: true"):
                await client.connection.write(WriteRegister(5, 7), unit=1, timeout_s=BRIEF_S)
        async with client_of(replace(device.line, local_echo=True)) as client:
            assert await client.read(100) == [100, 101]
            with pytest.raises(NoAnswer):
                await client.connection.write(WriteRegister(5, 7), unit=1, timeout_s=BRIEF_S)


@pytest.mark.parametrize("framing", BUSES)
async def test_the_line_is_left_alone_for_the_quiet_time_after_a_request_without_an_answer(framing: Framing) -> None:
    async with FaultLine(framing, first_only(silence)) as device:
        loop = asyncio.get_running_loop()
        async with client_of(device.line) as client:
            with pytest.raises(NoAnswer):
                await client.read(100, timeout_s=BRIEF_S)
            silent_s = loop.time()
            assert await client.read(200, unit=2) == [200, 201]
            assert loop.time() - silent_s >= device.line.quiet_s


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_requests_of_one_line_keep_their_pause(framing: Framing) -> None:
    times: list[float] = []

    def stamp(ask: Ask, say: Say) -> None:
        times.append(asyncio.get_running_loop().time())
        say(ask.good)

    async with FaultLine(framing, stamp) as device, client_of(replace(device.line, pause_s=0.02)) as client:
        await asyncio.gather(*(client.read(100 + number) for number in range(4)))
    assert min(b - a for a, b in pairwise(times)) >= 0.019


async def test_row_18_a_broadcast_on_the_bus_breaks_nobodys_framing() -> None:
    """neuron 2148: a frame of another master dropped every device."""
    broadcast = rtu_frame(0, WriteRegister(1, 1).pdu)

    def behind_a_broadcast(ask: Ask, say: Say) -> None:
        say(broadcast + ask.good)

    async with FaultLine(Framing.RTU, behind_a_broadcast) as device, client_of(device.line) as client:
        for unit in (1, 2, 3):
            assert await client.read(100, unit=unit) == [100, 101]
        device.say(broadcast[:5])  # and half of one while nobody asks
        assert await client.read(200) == [200, 201]
    assert client.stats.octets_skipped >= 4 * len(broadcast) - 3
    assert client.stats.connects == 1


async def test_row_18_a_silent_device_does_not_cost_its_neighbours_their_connection() -> None:
    """neuron 1602: one silent device reset the connection all shared."""

    def one_is_silent(ask: Ask, say: Say) -> None:
        if ask.unit != 7:
            say(ask.good)

    async with FaultLine(Framing.RTU, one_is_silent) as device, client_of(device.line) as client:
        for _ in range(4):
            with pytest.raises(NoAnswer):
                await client.read(100, unit=7, timeout_s=BRIEF_S)
            assert await client.read(100, unit=1) == [100, 101]
    assert client.stats.connects == 1


@pytest.mark.parametrize("framing", BUSES)
async def test_on_a_bus_one_request_is_under_way_at_a_time(framing: Framing) -> None:
    busy = 0
    most = 0

    async def slow(ask: Ask, say: Say) -> None:
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.01)
        busy -= 1
        say(ask.good)

    async with FaultLine(framing, slow) as device, client_of(device.line) as client:
        answers = await asyncio.gather(*(client.read(10 * n, unit=1 + n % 3) for n in range(9)))
    assert answers == [[10 * n, 10 * n + 1] for n in range(9)]
    assert most == 1


@pytest.mark.parametrize("limit", [1, 4])
async def test_on_tcp_requests_are_pipelined_up_to_the_limit_and_answered_in_any_order(limit: int) -> None:
    waiting: list[tuple[Ask, Say]] = []
    most = 0

    def backwards(ask: Ask, say: Say) -> None:
        nonlocal most
        waiting.append((ask, say))
        most = max(most, len(waiting))
        if len(waiting) == limit:
            while waiting:
                held, answer = waiting.pop()
                answer(held.good)

    async with (
        FaultLine(Framing.TCP, backwards) as device,
        client_of(replace(device.line, in_flight_max=limit)) as client,
    ):
        answers = await asyncio.gather(*(client.read(10 * n) for n in range(12)))
    assert answers == [[10 * n, 10 * n + 1] for n in range(12)]
    assert most == limit
    assert client.stats.connects == 1


async def _until_read(client: Client, address: int) -> list[int]:
    """The first answer; late ones of before may cost a few tries."""
    async with asyncio.timeout(2 * PATIENT_S):
        while True:
            try:
                return await client.read(address)
            except NoAnswer:
                continue
