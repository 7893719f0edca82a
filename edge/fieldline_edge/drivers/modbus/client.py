"""One connection to a Modbus line, shared by the units on it.

The protocol (`protocol/`) knows which answer belongs to which question, the transport (`transport/`) carries bytes;
here is what lies between: when a connection is made, whose turn it is, how long an answer is waited for, and what must
happen before a line that has been silent is used again.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, TypeVar

from fieldline_edge.drivers.backoff import Backoff
from fieldline_edge.drivers.base import Clock, DriverStats
from fieldline_edge.drivers.modbus.line import Framing, Line, Network
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.protocol import (
    AsciiFramer,
    Debts,
    DeviceRefused,
    Identify,
    LostTrack,
    ModbusTrouble,
    NoAnswer,
    NoConnection,
    ReadBits,
    ReadWords,
    Request,
    RtuFramer,
    Stopping,
    TcpFramer,
    Write,
    WrongAnswer,
    check,
)
from fieldline_edge.drivers.modbus.settings import RegisterKind
from fieldline_edge.drivers.modbus.transport import Wire, open_wire

__all__ = [
    "Connection",
    "DeviceRefused",
    "ModbusTrouble",
    "NoAnswer",
    "NoConnection",
    "Stopping",
    "WrongAnswer",
]

_log = logging.getLogger(__name__)

T = TypeVar("T")

# Each kind's function code, by the Modbus application protocol, section 6.
_FUNCTION_CODES = {
    RegisterKind.COIL: 1,
    RegisterKind.DISCRETE: 2,
    RegisterKind.HOLDING: 3,
    RegisterKind.INPUT: 4,
}
# Three requests nobody answers: the peer has gone without a goodbye (power cut, NAT table), TCP would notice
# in minutes.
_SILENT_REQUESTS_MAX = 3
_BACKOFF_BASE_S = 0.5
# A connect has a name to look up and hands to shake; it may take longer than an answer.
_CONNECT_S_MIN = 1.0
# A connection that breaks under the first request after so long was probably closed for idleness: ask again.
_STALE_S = 1.0
# With close_after_poll: a poll's requests follow each other without such a gap.
_POLL_GAP_S = 0.1
# Nobody answers a broadcast; the slowest device has understood it after this (serial line guide, 2.4.1).
_TURNAROUND_S = 0.1
# A line on which somebody talks without end is not waited for longer than this beyond the quiet time.
_BABBLE_S = 1.0
_BROADCAST = 0
_FRAME_OVERHEAD_BYTES = 3  # of RTU: unit and CRC


@lru_cache(maxsize=8192)
def _read_request(kind: RegisterKind, address: int, count: int) -> Request[Sequence[int]]:
    """The request that reads a range; a poller asks for the same few again and again."""
    function = _FUNCTION_CODES[kind]
    if kind.is_bits:
        return ReadBits(function, address, count)
    return ReadWords(function, address, count)


class Connection:
    """Requests to the units on one line, first come first served, at most `line.in_flight_max` under way.

    Connects when a request needs it. After a failed connect or a lost connection, requests fail with NoConnection at
    once until the backoff has passed. A request may be cancelled at any time.

    On a line without transaction ids (RTU, ASCII) a request without an answer is followed by quiet time; and as the
    answer may come even later, the unit's next request is one it cannot be taken for (see protocol/debts.py).
    """

    def __init__(
        self, line: Line, *, backoff_max_s: float, clock: Clock, stats: DriverStats, source: random.Random
    ) -> None:
        self._line = line
        self._clock = clock
        self._stats = stats
        self._backoff = Backoff(base_s=_BACKOFF_BASE_S, max_s=backoff_max_s, source=source)
        self._turns = asyncio.Semaphore(line.in_flight_max)
        self._connecting = asyncio.Lock()
        self._is_bus = line.framing is not Framing.TCP
        self._framer = _framer(line)
        self._debts = Debts()
        self._wire: Wire | None = None
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._free_at_s = 0.0  # when the line may be used again; 0: at once
        self._used_at_s = clock.monotonic()
        self._silent_requests = 0
        self._stopping = False
        self._told = False
        self._closing: asyncio.TimerHandle | None = None

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block: `block.count` words or bits. Raises a ModbusTrouble.

        May take `timeout_s` for each request that waits before it, and three times that if it has to connect, or if
        the unit owes an answer.
        """
        return await self.ask(_read_request(block.kind, block.address, block.count), unit=unit, timeout_s=timeout_s)

    async def write(self, write: Write, *, unit: int, timeout_s: float) -> None:
        """Write, and return when the unit has confirmed exactly that. Raises a ModbusTrouble; after a NoAnswer or
        NoConnection the write may have been done or not. Unit 0 of a serial line is everybody, and nobody confirms.
        """
        if self._framer.is_echoing:
            raise WrongAnswer(
                f"the adapter of {self._line} hands back what it sends, which would pass for a confirmation: "
                "write local_echo: true"
            )
        await self.ask(write, unit=unit, timeout_s=timeout_s)

    async def identify(self, *, unit: int, timeout_s: float, code: int = 1) -> Mapping[int, bytes]:
        """What the unit says it is (function 43/14): 0 maker, 1 product code, 2 revision. Raises a ModbusTrouble."""
        return await self.ask(Identify(code), unit=unit, timeout_s=timeout_s)

    async def ask(self, request: Request[T], *, unit: int, timeout_s: float) -> T:
        """The answer to any request. Raises a ModbusTrouble. A read that meets a connection which was closed for
        idleness is asked once more; a write never is."""
        async with self._turns:
            is_stale = self._wire is not None and self._clock.monotonic() - self._used_at_s > _STALE_S
            try:
                return await self._ask_once(request, unit, timeout_s)
            except NoConnection:
                if not is_stale or self._wire is not None or self._stopping or isinstance(request, Write):
                    raise
                self._backoff.hurry()
                return await self._ask_once(request, unit, timeout_s)

    def stop(self) -> None:
        """Refuse further requests; those under way may finish."""
        self._stopping = True

    def close(self) -> None:
        """Close the connection. Requests under way fail with NoConnection."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.close()
        if self._closing is not None:
            self._closing.cancel()
            self._closing = None
        self._stats.connected = 0
        self._fail_all(NoConnection(f"{self._line} was closed"))

    async def _ask_once(self, request: Request[T], unit: int, timeout_s: float) -> T:
        if not self._is_bus:
            return await self._exchange(request, unit, timeout_s)
        if unit == _BROADCAST:
            await self._broadcast(request, timeout_s)
            return check(request, request.pdu[:5])  # as everybody would confirm it
        exceptions_owed = self._debts.count(unit, self._clock.monotonic())
        while True:
            await self._wait_for_debts(request, unit, timeout_s)
            try:
                return await self._exchange(request, unit, timeout_s)
            except DeviceRefused:
                if not exceptions_owed:
                    raise
                exceptions_owed -= 1  # it may be the answer to an older question: exceptions look alike

    async def _exchange(self, request: Request[T], unit: int, timeout_s: float) -> T:
        """Send one request and wait for its answer."""
        wire = await self._ready(timeout_s)
        owing = self._is_bus and self._debts.owes(unit, self._clock.monotonic())
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[bytes] = loop.create_future()
        ticket, frame = self._framer.ask(unit, request, owing=owing)
        self._answers[ticket] = answer
        self._stats.requests += 1
        alarm = loop.call_later(timeout_s + self._transmission_s(request), self._give_up, ticket)
        try:
            wire.send(frame)
            pdu = await answer
            result = check(request, pdu)
        except ModbusTrouble as trouble:
            self._failed(trouble, request, unit)
            raise
        except asyncio.CancelledError:
            self._left_alone(request, unit)
            raise
        finally:
            alarm.cancel()
            self._framer.forget(ticket)
            del self._answers[ticket]
            self._after()
        self._answered()
        if self._is_bus:
            self._debts.settle(unit)
        return result

    async def _broadcast(self, request: Request[Any], timeout_s: float) -> None:
        if not isinstance(request, Write):
            raise ValueError("unit 0 is everybody on a serial line: it can be written to, but nobody answers")
        wire = await self._ready(timeout_s)
        self._stats.requests += 1
        ticket, frame = self._framer.ask(_BROADCAST, request)
        self._framer.forget(ticket)
        wire.send(frame)
        self._free_at_s = self._clock.monotonic() + self._transmission_s(request) + _TURNAROUND_S

    async def _wait_for_debts(self, request: Request[Any], unit: int, timeout_s: float) -> None:
        """Make sure that no older answer can be taken for the answer to this request."""
        while detour := self._debts.detour(unit, request, self._clock.monotonic()):
            with suppress(DeviceRefused):  # an answer all the same, though not to be sure whose: see _failed
                await self._exchange(detour, unit, timeout_s)

    async def _ready(self, timeout_s: float) -> Wire:
        """A connection on which it is time to send; the caller sends before it waits for anything else."""
        if self._free_at_s:
            await self._wait_for_silence()
        if self._stopping:
            raise Stopping
        return self._wire or await self._connect(timeout_s)

    async def _wait_for_silence(self) -> None:
        """Wait until the pause or the quiet time is over, and nobody talks."""
        now_s = self._clock.monotonic()
        until_s = now_s + self._line.quiet_s + self._line.pause_s + _BABBLE_S
        while now_s < self._free_at_s and now_s < until_s:
            await asyncio.sleep(min(self._free_at_s, until_s) - now_s)
            now_s = self._clock.monotonic()
        if self._free_at_s <= now_s:
            self._free_at_s = 0.0

    def _transmission_s(self, request: Request[Any]) -> float:
        """How long question and answer take on the wire: a slow line is not a slow device."""
        if isinstance(self._line.way, Network):
            return 0.0
        octets = len(request.pdu) + request.answer_bytes + 2 * _FRAME_OVERHEAD_BYTES
        return self._line.transmission_s(2 * octets + 6 if self._line.framing is Framing.ASCII else octets)

    # What has become of a request.

    def _answered(self) -> None:
        self._backoff.succeeded()
        self._silent_requests = 0

    def _failed(self, trouble: ModbusTrouble, request: Request[Any], unit: int) -> None:
        if isinstance(trouble, DeviceRefused):
            self._stats.requests_refused += 1
            self._answered()
            if self._is_bus and self._debts.owes(unit, self._clock.monotonic()):
                self._debts.settle_oldest(unit)
                self._debts.owe(unit, request, self._clock.monotonic())
        elif isinstance(trouble, WrongAnswer):
            self._stats.requests_garbled += 1
            self._left_alone(request, unit)
        elif isinstance(trouble, NoAnswer):
            self._stats.requests_timed_out += 1
            self._left_alone(request, unit)
            self._silent_requests += 1
            is_dead = self._silent_requests >= _SILENT_REQUESTS_MAX and isinstance(self._line.way, Network)
            if is_dead or self._framer.is_amid:
                self.close()
        else:
            self._left_alone(request, unit)  # a converter may have the answer for our next connection

    def _left_alone(self, request: Request[Any], unit: int) -> None:
        """The right answer may still come."""
        if self._is_bus:
            now_s = self._clock.monotonic()
            self._debts.owe(unit, request, now_s)
            self._free_at_s = now_s + max(self._line.quiet_s, self._line.pause_s)

    def _after(self) -> None:
        now_s = self._used_at_s = self._clock.monotonic()
        framer, stats = self._framer, self._stats
        if framer.answers_skipped or framer.octets_skipped:
            stats.answers_skipped += framer.answers_skipped
            stats.octets_skipped += framer.octets_skipped
            framer.answers_skipped = framer.octets_skipped = 0
        if self._line.pause_s:
            self._free_at_s = max(self._free_at_s, now_s + self._line.pause_s)
        if self._line.close_after_poll:
            if self._closing is not None:
                self._closing.cancel()
            self._closing = asyncio.get_running_loop().call_later(_POLL_GAP_S, self._close_if_idle)

    def _close_if_idle(self) -> None:
        self._closing = None
        if not self._answers:
            self.close()

    def _give_up(self, ticket: int) -> None:
        answer = self._answers.get(ticket)
        if answer is not None and not answer.done():
            answer.set_exception(NoAnswer("no answer in time"))

    # What the transport says.

    def _received(self, data: bytes) -> None:
        try:
            answers = self._framer.receive(data)
        except LostTrack as error:
            self._fail_all(error)
            self.close()
            return
        for ticket, pdu in answers:
            answer = self._answers.get(ticket)
            if answer is None or answer.done():
                continue
            if isinstance(pdu, bytes):
                answer.set_result(pdu)
            else:
                answer.set_exception(pdu)
        if self._is_bus and not self._answers:  # somebody talks in the quiet time
            self._free_at_s = max(self._free_at_s, self._clock.monotonic() + self._line.pause_s)

    def _lost(self, why: str) -> None:
        self._wire = None
        self._stats.connected = 0
        if self._answers:
            self._backoff.failed(self._clock.monotonic())
        self._fail_all(NoConnection(f"the connection to {self._line} broke: {why}"))

    def _fail_all(self, trouble: ModbusTrouble) -> None:
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(trouble)

    # Making a connection.

    async def _connect(self, timeout_s: float) -> Wire:
        async with self._connecting:
            if self._wire is not None:
                return self._wire
            if not self._backoff.ready(self._clock.monotonic()):
                raise NoConnection(f"{self._line} is being left alone for a moment")
            self._framer.reset()
            try:
                async with asyncio.timeout(max(timeout_s, _CONNECT_S_MIN)):
                    wire = await open_wire(self._line.way, received=self._received, lost=self._lost)
            except TimeoutError as error:
                raise self._not_made("no answer in time") from error
            except (OSError, UnicodeError, ValueError) as error:  # names that resolve to nothing useful, too
                raise self._not_made(str(error)) from error
            if not wire.is_open:
                raise self._not_made("it was closed at once")
            if self._stopping:
                wire.close()
                raise Stopping
            self._made(wire)
            return wire

    def _made(self, wire: Wire) -> None:
        self._wire = wire
        self._silent_requests = 0
        self._stats.reconnects += 1 if self._stats.connects else 0
        self._stats.connects += 1
        self._stats.connected = 1
        if self._told:
            _log.info("modbus connection is back: line=%s", self._line)
        self._told = False

    def _not_made(self, why: str) -> NoConnection:
        self._stats.connects_failed += 1
        self._backoff.failed(self._clock.monotonic())
        if not self._told:
            _log.warning("modbus line cannot be reached, trying on: line=%s why=%s", self._line, why)
        self._told = True
        return NoConnection(f"{self._line}: {why}")


def _framer(line: Line) -> TcpFramer | RtuFramer | AsciiFramer:
    if line.framing is Framing.TCP:
        return TcpFramer()
    kind = RtuFramer if line.framing is Framing.RTU else AsciiFramer
    return kind(local_echo=line.local_echo)
