"""Exports a backlog into a file, and publishes such a file to a hub under the numbering it had in the spool.

The hub knows a frame by producer, epoch and sequence. So whatever comes first, the file or the gateway, is stored, and
the other one's is dropped as a duplicate; importing a file twice stores nothing twice.
"""

import asyncio
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from fieldline.access import Access
from fieldline.client.producer import FrameProducer
from fieldline.errors import ConfigError, FieldlineError, HubUnavailable
from fieldline.v1 import hub_pb2
from fieldline_edge.spool.backlog_file import BacklogHeader, BacklogReader, BacklogWriter, CarriedFrame, LaneRange
from fieldline_edge.spool.chunks import parts
from fieldline_edge.spool.lanes import Lane, lane_of
from fieldline_edge.spool.policy import Stored, with_gap
from fieldline_edge.spool.salvage import Salvage
from fieldline_edge.spool.status import is_spool_file

__all__ = ["Carried", "export_backlog", "import_backlog"]

_CONNECT_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Carried:
    """What was exported or imported. `damaged` places could not be read; `had` frames the hub had before."""

    frames: int
    readings: int
    damaged: int
    had: int = 0
    whole: bool = True


def export_backlog(spool: Path, target: Path, *, gateway: str, now_ns: int) -> Carried:
    """Write everything that waits in a spool into a new file; the gateway may be running, the spool may be damaged.

    ConfigError if there is no spool, or the target exists; FieldlineError if nothing can be read.
    """
    if not spool.exists() or not is_spool_file(spool):
        raise ConfigError(f"{spool} is no spool; name the gateway's file, or its spool.path")
    how = "mode=ro" if os.access(spool.parent, os.W_OK) else "immutable=1"
    with Salvage(spool, how=how) as salvage, salvage.snapshot():
        lanes = [lane for lane in salvage.lanes() if lane.last is not None and lane.last >= lane.first]
        if not salvage.lanes():
            raise FieldlineError(f"nothing can be read of spool {spool}")
        if target.exists():
            raise ConfigError(f"{target} exists already; choose another name, or remove it")
        part = target.with_name(target.name + ".part")
        try:
            carried = _export(salvage, lanes, part, gateway, now_ns)
            part.rename(target)
        except OSError as error:
            raise FieldlineError(f"backlog cannot be written to {target}: {error}") from error
        finally:
            part.unlink(missing_ok=True)
    return carried


def _export(salvage: Salvage, lanes: list[Lane], target: Path, gateway: str, now_ns: int) -> Carried:
    counts = {lane.number: [0, 0] for lane in lanes}
    for lane, _, readings in _waiting(salvage, lanes):
        counts[lane.number][0] += 1
        counts[lane.number][1] += readings
    ranges = [
        LaneRange(lane.epoch, lane.first - lane.base, (lane.last or 0) - lane.base, *counts[lane.number])
        for lane in lanes
    ]
    gaps, numbers = salvage.gaps(), {lane.number: index for index, lane in enumerate(lanes)}
    salvage.holes = 0
    with target.open("wb") as file:
        writer = BacklogWriter(file, BacklogHeader(gateway, now_ns, tuple(ranges)))
        for lane, stored, readings in _waiting(salvage, lanes):
            missing = stored.readings_missing + sum(
                lost for first, last, lost in gaps if last > stored.before and first < stored.sequence
            )
            sequence, before = stored.sequence - lane.base, stored.before - lane.base
            writer.add(CarriedFrame(numbers[lane.number], sequence, before, missing, stored.frame), readings)
        writer.end()
        file.flush()
        os.fsync(file.fileno())
    frames, readings = (sum(column) for column in zip(*counts.values(), strict=True))
    return Carried(frames, readings, salvage.holes)


def _waiting(salvage: Salvage, lanes: list[Lane]) -> Iterator[tuple[Lane, Stored, int]]:
    """(lane, frame, its readings) of all frames the hub has not acknowledged, by id."""
    before: dict[int, int] = {}
    for chunk in salvage.chunks():
        lane = lane_of(lanes, chunk.last)
        if lane is None:
            continue
        for part in parts(chunk.blob, chunk.last, chunk.span):
            if part.id <= lane.acked:
                continue
            follows = before.get(lane.number, lane.acked)
            before[lane.number] = part.id
            readings = hub_pb2.Frame.FromString(part.frame).count
            yield lane, Stored(part.id, follows, part.frame, part.missing), readings


class _Lane:
    """One numbering of a backlog file as a FrameSource."""

    def __init__(self, file: IO[bytes], index: int, gateway: str, lane: LaneRange, tell: Callable[[int], None]) -> None:
        self.producer = gateway
        self.epoch = lane.epoch
        self._reader = BacklogReader(file)
        self._index = index
        self._tell = tell
        self._at = 0  # from where to read on, which follows `_read`
        self._read = 0
        self._end = False
        self._last = 0
        self.had = 0
        self.damaged = 0
        self.done = asyncio.Event()

    async def resume(self, last_sequence: int) -> None:
        self._at, self._read, self._end = 0, 0, False
        self.had = 0
        self._acked = last_sequence

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        found: list[tuple[int, bytes]] = []
        size, previous = 0, after
        for at, carried in self._reader.frames_at(self._at):
            if carried.lane != self._index:
                continue
            if carried.sequence <= after:
                self.had += carried.sequence <= self._acked
                continue
            size += len(carried.frame)
            if found and (size > bytes_max or len(found) >= frames_max):
                self._at = at
                return found
            missing = carried.readings_missing if carried.sequence > previous + 1 else 0
            found.append((carried.sequence, with_gap(Stored(carried.sequence, previous, carried.frame, missing))))
            self._last = previous = carried.sequence
        self._end = True
        if not found and self._acked >= self._last:
            self.done.set()
        return found

    async def wait(self, after: int) -> None:
        await asyncio.Event().wait()

    async def acknowledged(self, sequence: int) -> None:
        self._acked = sequence
        self._tell(sequence)
        if self._end and sequence >= self._last:
            self.done.set()


async def import_backlog(
    path: Path,
    hub: str,
    *,
    access: Access | None = None,
    name: str | None = None,
    tell: Callable[[int], None] = lambda _: None,
) -> Carried:
    """Publish a backlog file; returns once the hub has stored all of it.

    DecodeError if it is no backlog; HubUnavailable if there is no hub; Refused if the hub does not take it. A link that
    breaks in between is made again.
    """
    with path.open("rb") as file:
        reader = BacklogReader(file)
        frames = readings = 0
        for carried in reader.frames():
            frames += 1
            readings += hub_pb2.Frame.FromString(carried.frame).count
        whole, damaged = reader.whole, reader.damaged
        header, had = reader.header, 0
        for index, lane in enumerate(header.lanes):
            source = _Lane(file, index, header.gateway, lane, tell)
            if lane.frames:
                await _publish(source, hub, name or header.gateway, access)
            had += source.had
    return Carried(frames, readings, damaged, had, whole)


async def _publish(source: _Lane, hub: str, name: str, access: Access | None) -> None:
    producer = FrameProducer(hub, name=name, source=source, access=access)
    sending = asyncio.ensure_future(producer.run())
    done = asyncio.ensure_future(source.done.wait())
    try:
        await asyncio.wait((sending, done), timeout=_CONNECT_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if not producer.connects and not sending.done():
            raise HubUnavailable(f"no hub at {hub}: {producer.last_error or 'it does not answer'}")
        await asyncio.wait((sending, done), return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            sending.result()
    finally:
        for task in (sending, done):
            task.cancel()
        await asyncio.wait((sending, done))
