"""A connection to a device that answers in the order it was asked, late, or never, in virtual time: no schedule of
delays, losses and cancellations makes it give one question the answer of another."""

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline_edge.drivers.base import DriverStats
from fieldline_edge.drivers.modbus import client
from fieldline_edge.drivers.modbus.client import Connection
from fieldline_edge.drivers.modbus.line import Framing, Line, SerialPort
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.protocol import DeviceRefused, NoAnswer, ascii_frame, rtu_frame
from fieldline_edge.drivers.modbus.settings import RegisterKind

TIMEOUT_S = 1.0
QUIET_S = 0.5
ILLEGAL = 5000  # addresses from here on are refused, and no others are


class _Selector(selectors.SelectSelector):
    """Waits for nothing: time jumps to the next timer."""

    now_s = 0.0

    def select(self, timeout: float | None = None) -> Any:
        self.now_s += timeout or 0.0
        return super().select(0)


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop in which a second takes no time. Also a clock for drivers."""

    def __init__(self) -> None:
        self._jumping = _Selector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now_s

    def monotonic(self) -> float:
        return self.time()

    def time_ns(self) -> int:
        return int(self.time() * 1e9)


def run(main: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    loop = VirtualLoop()
    try:
        loop.run_until_complete(main(loop))
    finally:
        loop.close()


@dataclass
class Device:
    """The far end of the wire. Each question takes so long, and is answered or lost, by turns of `moods`."""

    framing: Framing
    loop: VirtualLoop
    received: Callable[[bytes], None]
    moods: list[tuple[float, bool]]
    is_open: bool = True
    ready_at_s: float = 0.0
    asked: int = 0

    def send(self, frame: bytes) -> None:
        octets = frame[:-2] if self.framing is Framing.RTU else bytes.fromhex(frame[1:-4].decode())
        unit, pdu = octets[0], octets[1:]
        takes_s, answered = self.moods[self.asked] if self.asked < len(self.moods) else (0.01, True)
        self.asked += 1
        self.ready_at_s = max(self.ready_at_s, self.loop.time()) + takes_s
        if answered:
            pack = rtu_frame if self.framing is Framing.RTU else ascii_frame
            self.loop.call_at(self.ready_at_s, self._say, pack(unit, answer(pdu)))

    def _say(self, frame: bytes) -> None:
        if self.is_open:
            self.received(frame)

    def close(self) -> None:
        self.is_open = False


def answer(pdu: bytes) -> bytes:
    address, count = int.from_bytes(pdu[1:3], "big"), int.from_bytes(pdu[3:5], "big")
    if address >= ILLEGAL:
        return bytes([pdu[0] | 0x80, 2])
    return bytes([pdu[0], 2 * count]) + b"".join(n.to_bytes(2, "big") for n in range(address, address + count))


# As slow as this, and asked sixteen times in a row, a device is less than a minute behind: later ones are forgotten.
MOODS = st.lists(st.tuples(st.sampled_from([0.01, 0.3, 0.9, 1.1, 1.6, 3.0]), st.booleans()), max_size=25)
# Address (some illegal), how many, and whether it is cancelled half way.
READS = st.lists(
    st.tuples(st.sampled_from([0, 10, 20, ILLEGAL, ILLEGAL + 10]), st.integers(1, 3), st.booleans()),
    min_size=1,
    max_size=25,
)


@settings(deadline=None)
@given(framing=st.sampled_from([Framing.RTU, Framing.ASCII]), moods=MOODS, reads=READS)
def test_row_16_no_schedule_of_late_answers_gives_a_question_anothers(
    framing: Framing, moods: list[tuple[float, bool]], reads: list[tuple[int, int, bool]]
) -> None:
    async def main(loop: VirtualLoop) -> None:
        schedule = list(moods)
        line = Line(SerialPort("/dev/null", 115_200), framing, pause_s=0.002, quiet_s=QUIET_S)
        connection = Connection(line, backoff_max_s=1.0, clock=loop, stats=DriverStats(), source=random.Random(1))

        async def open_device(_: Any, *, received: Callable[[bytes], None], lost: Any) -> Device:
            return Device(framing, loop, received, schedule)

        async def read(address: int, count: int) -> None:
            block = Block(RegisterKind.HOLDING, address, count, ())
            with suppress(NoAnswer):
                try:
                    words = await connection.read(block, unit=1, timeout_s=TIMEOUT_S)
                except DeviceRefused:
                    assert address >= ILLEGAL
                    return
                assert list(words) == list(range(address, address + count))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(client, "open_wire", open_device)
            for address, count, cancelled in reads:
                task = asyncio.create_task(read(address, count))
                if cancelled:
                    await asyncio.sleep(TIMEOUT_S / 4)
                    task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()
            await asyncio.sleep(120.0)
            schedule.clear()  # the device is well again, and is read at once
            assert list(await connection.read(Block(RegisterKind.HOLDING, 0, 2, ()), unit=1, timeout_s=TIMEOUT_S)) == [
                0,
                1,
            ]
        connection.close()

    run(main)
