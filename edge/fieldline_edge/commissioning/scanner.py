"""Looks at the units of one line, politely: one read at a time, with a pause after each."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from fieldline_edge.commissioning.ranges import Ask, Range, Search, grown, readable_ranges
from fieldline_edge.commissioning.recognise import Seen
from fieldline_edge.drivers.modbus.client import DeviceRefused, ModbusTrouble, NoAnswer, NoConnection
from fieldline_edge.drivers.modbus.plan import Block
from fieldline_edge.drivers.modbus.settings import RegisterKind

__all__ = ["Line", "ScanOptions", "Scanner", "UnitFound"]

_ILLEGAL_FUNCTION = 1
_SILENCES_MAX = 3  # a device that never answers about missing addresses is not waited for address by address
_PER_REQUEST_MAX = {True: 2000, False: 125}
# Unit ids that hardly anybody gives a device. If all of them answer, the device does not look at the id.
_UNLIKELY_UNITS = (113, 201, 246)
_SILENT = -1
# A value, or a refusal that only a device can give which has understood the question (codes 1 to 3). Other codes come
# from gateways and servers that have no such unit as well.
_SIGNS_OF_LIFE = (0, 1, 2, 3)


class Line(Protocol):
    """A way to some units."""

    async def read(self, block: Block, *, unit: int, timeout_s: float) -> Sequence[int]:
        """The answer to one block. Raises a ModbusTrouble."""
        ...

    async def identify(self, *, unit: int, timeout_s: float) -> Mapping[int, bytes]:
        """The device identification, function code 43/14, basic objects. Raises a ModbusTrouble."""
        ...


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """What to look at, and how gently."""

    units: Sequence[int]
    kinds: Sequence[RegisterKind]
    windows: Sequence[tuple[int, int]]
    """First and last addresses between which is searched."""
    landmarks: Mapping[RegisterKind, Sequence[tuple[int, int]]]
    """Further (address, count) where known devices have something; what is readable around one is found too."""
    stride_max: int = 32
    timeout_s: float = 0.5
    pause_s: float = 0.02
    requests_max: int = 2000
    """Most reads for one kind of one unit; what was found until then is kept."""


@dataclass(frozen=True, slots=True)
class UnitFound:
    """One unit, and whether it answers under every id."""

    unit: int
    seen: Seen
    any_unit: bool = False
    silent: tuple[RegisterKind, ...] = ()
    """Kinds given up because the device is silent about missing addresses."""


class Scanner:
    """Scans one line. `say` gets a sentence for each step, for a person who waits."""

    def __init__(self, line: Line, options: ScanOptions, *, say: Callable[[str], None]) -> None:
        self._line = line
        self._options = options
        self._say = say
        self.requests = 0
        self._unlikely: set[int] | None = None

    async def run(self) -> AsyncIterator[UnitFound]:
        """The units that answer, one after the other. Raises NoConnection if the line cannot be reached at all."""
        for unit in self._options.units:
            answer = await self._greet(unit)
            if answer == _SILENT:
                continue
            strangers = await self._strangers()
            if answer == strangers and answer not in _SIGNS_OF_LIFE:
                continue  # this is how absent units are refused
            any_unit = strangers in _SIGNS_OF_LIFE
            self._say(f"unit {unit} answers" + (", and so does every other id" if any_unit else ""))
            yield await self._look_at(unit, any_unit)
            if any_unit:
                return

    async def _strangers(self) -> int:
        """How ids that hardly anybody uses are answered, if all in the same way; asked once."""
        if self._unlikely is None:
            self._unlikely = {await self._greet(unit) for unit in _UNLIKELY_UNITS}
        return next(iter(self._unlikely)) if len(self._unlikely) == 1 else _SILENT

    async def _greet(self, unit: int) -> int:
        """0 for a value, the exception code for a refusal, _SILENT for nobody."""
        try:
            await self._read(unit, Block(RegisterKind.HOLDING, 0, 1, ()))
        except DeviceRefused as refusal:
            return _SILENT if refusal.is_unit_gone else refusal.code
        except NoConnection:
            raise
        except ModbusTrouble:
            return _SILENT
        return 0

    async def _look_at(self, unit: int, any_unit: bool) -> UnitFound:
        identification = await self._identify(unit)
        ranges: dict[RegisterKind, Sequence[Range]] = {}
        words: dict[tuple[RegisterKind, int], int] = {}
        silent: list[RegisterKind] = []
        for kind in self._options.kinds:
            table = _Table(kind, words)
            before = self.requests
            ended = await self._search_table(unit, table)
            if ended is _Ended.SILENT:
                silent.append(kind)
            ranges[kind] = table.ranges()
            found = ", ".join(map(str, ranges[kind])) or "nothing"
            self._say(f"unit {unit} {kind.value}: {found} ({self.requests - before} requests)")
        return UnitFound(unit, Seen(ranges, words, identification), any_unit, tuple(silent))

    async def _identify(self, unit: int) -> Mapping[int, str]:
        self.requests += 1
        try:
            objects = await self._line.identify(unit=unit, timeout_s=self._options.timeout_s)
        except NoConnection:
            raise
        except ModbusTrouble:
            return {}  # most devices have none
        finally:
            await asyncio.sleep(self._options.pause_s)
        return {number: content.decode("latin-1") for number, content in objects.items()}

    async def _search_table(self, unit: int, table: "_Table") -> "_Ended":
        """Windows first, then landmarks outside of what is found."""
        options, count_max = self._options, _PER_REQUEST_MAX[table.kind.is_bits]
        until = self.requests + options.requests_max
        for first, last in options.windows:
            search = readable_ranges(first, last, count_max=count_max, stride_max=options.stride_max)
            if (ended := await self._drive(unit, table, search, until)) is not _Ended.DONE:
                return ended
            if table.covers(last, 1):  # it may go on behind the window
                search = grown(last, 1, count_max=count_max)
                if (ended := await self._drive(unit, table, search, until)) is not _Ended.DONE:
                    return ended
        for address, count in options.landmarks.get(table.kind, ()):
            if table.covers(address, count):
                continue
            try:
                if not await self._asked(unit, table, Ask(address, count)):
                    continue
            except NoAnswer:
                return _Ended.SILENT
            search = grown(address, count, count_max=count_max)
            if (ended := await self._drive(unit, table, search, until)) is not _Ended.DONE:
                return ended
        return _Ended.DONE

    async def _drive(self, unit: int, table: "_Table", search: Search, until: int) -> "_Ended":
        silences, answer = 0, None
        while True:
            try:
                ask = next(search) if answer is None else search.send(answer)
            except StopIteration:
                return _Ended.DONE
            try:
                answer = await self._asked(unit, table, ask)
                silences = 0
            except NoAnswer:
                answer, silences = False, silences + 1
                if silences >= _SILENCES_MAX:
                    return _Ended.SILENT
            except _NoSuchTable:
                return _Ended.DONE
            if self.requests >= until:
                self._say(f"unit {unit} {table.kind.value}: stopped after {self._options.requests_max} requests")
                return _Ended.DONE

    async def _asked(self, unit: int, table: "_Table", ask: Ask) -> bool:
        """Whether the device has these addresses. NoAnswer if it is silent about them."""
        if table.covers(ask.address, ask.count):
            return True
        try:
            # Twice: one answer that got lost must not make a hole.
            values = await self._read(unit, Block(table.kind, ask.address, ask.count, ()), tries=2)
        except DeviceRefused as refusal:
            if refusal.code == _ILLEGAL_FUNCTION:
                raise _NoSuchTable from None
            return False
        table.keep(ask.address, values)
        return True

    async def _read(self, unit: int, block: Block, *, tries: int = 1) -> Sequence[int]:
        while True:
            self.requests += 1
            try:
                return await self._line.read(block, unit=unit, timeout_s=self._options.timeout_s)
            except NoAnswer:
                tries -= 1
                if not tries:
                    raise
            finally:
                await asyncio.sleep(self._options.pause_s)


class _NoSuchTable(Exception):
    """The device does not know the function code."""


class _Ended(Enum):
    DONE = auto()
    SILENT = auto()


class _Table:
    """What of one table of one unit has been read so far."""

    def __init__(self, kind: RegisterKind, words: dict[tuple[RegisterKind, int], int]) -> None:
        self.kind = kind
        self._words = words

    def keep(self, address: int, values: Iterable[int]) -> None:
        self._words.update({(self.kind, address + i): int(value) for i, value in enumerate(values)})

    def covers(self, address: int, count: int) -> bool:
        return all((self.kind, each) in self._words for each in range(address, address + count))

    def ranges(self) -> tuple[Range, ...]:
        """The addresses read, joined where they touch."""
        found: list[Range] = []
        for address in sorted(address for kind, address in self._words if kind is self.kind):
            if found and found[-1].last + 1 == address:
                found[-1] = Range(found[-1].first, address)
            else:
                found.append(Range(address, address))
        return tuple(found)
