"""The real spool and the hub's own rule for numberings, with random kills: each frame is stored once, or counted.

Time is the test's, nothing runs in the background, so a seed is a whole life of a gateway.
"""

import asyncio
import random
import tempfile
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fieldline.errors import HubUnavailable
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.sequences import Verdict, judge
from fieldline_edge.lane_source import LaneDone, LaneSource
from fieldline_edge.spool import Bounds, DrainOrder, Entry, Spool, WhenFull
from fieldline_edge.spool.lanes import Lane

READINGS = 3


class Hub:
    """Stores by (epoch, sequence), as the real one does; what it has is durable at once."""

    def __init__(self) -> None:
        self.last: dict[int, int] = {}
        self.stored: list[bytes] = []
        self.skipped_readings = 0

    def take(self, epoch: int, data: bytes) -> None:
        frame = hub_pb2.Frame.FromString(data)
        verdict = judge(self.last.get(epoch), frame.sequence, frame.skipped_frames)
        assert verdict is not Verdict.GAP, (
            f"{frame.sequence} after {self.last.get(epoch)}, skips {frame.skipped_frames}"
        )
        if verdict is Verdict.NEW:
            self.last[epoch] = frame.sequence
            self.stored.append(frame.body)
            self.skipped_readings += frame.skipped_count


class Stream:
    """One of the gateway's streams, moved on by hand."""

    def __init__(self, life: "Life", kind: str) -> None:
        self._life = life
        self._kind = kind
        self._source: LaneSource | None = None
        self._sent = 0

    def cut(self) -> None:
        if self._source is not None:
            self._source.lost()
        self._source = None

    def _lane(self) -> Lane | None:
        spool = self._life.spool
        if self._kind == "main":
            return spool.next_lane()
        if self._kind == "urgent":
            return spool._progress.urgent(spool.state)
        waiting = spool._progress.waiting(spool.state.lanes)
        return waiting[-1] if waiting and spool.drain is DrainOrder.NEWEST_FIRST else None

    async def step(self) -> None:
        dice, hub = self._life.dice, self._life.hub
        try:
            if self._source is None:
                lane = self._lane()
                if lane is None:
                    return
                source = LaneSource("gateway-1", self._life.spool, lane, leads=self._kind == "main")
                self._sent = hub.last.get(source.epoch, 0)
                await source.resume(self._sent)
                self._source = source
            source = self._source
            for sequence, data in await source.read(self._sent, frames_max=dice.randint(1, 20), bytes_max=4000):
                hub.take(source.epoch, data)
                self._sent = sequence
                if dice.random() < self._life.trouble:  # the hub has it, the ack is lost
                    self.cut()
                    return
            await source.acknowledged(self._sent)
        except LaneDone:
            self._source = None
        except HubUnavailable:
            self.cut()


class Life:
    """A gateway and its hub."""

    def __init__(self, folder: Path, seed: int, *, drain: DrainOrder, bounds: Bounds) -> None:
        self.dice = random.Random(seed)
        self.trouble = 0.03
        self.hub = Hub()
        self.safe: list[bytes] = []
        self._unsafe: list[bytes] = []
        self._folder = folder
        self._drain = drain
        self._bounds = bounds
        self._now_s = 0.0
        self._number = 0

    async def start(self) -> None:
        self.spool = Spool(
            self._folder / "spool.db", bounds=self._bounds, drain=self._drain, clock_s=lambda: self._now_s
        )
        await self.spool.open()
        self.streams = [Stream(self, kind) for kind in ("urgent", "main", "backlog")]

    async def kill(self) -> None:
        """What was not committed is gone."""
        self._unsafe.clear()
        self.spool._hold.take()
        self.spool._hold.done()
        self.spool._ack_since_s = None
        await self.spool.close()
        await self.start()

    def put(self) -> None:
        self._number += 1
        urgent = self.dice.random() < 0.1
        body = b"%d%s" % (self._number, b" urgent" if urgent else b"")
        body += b" " * self.dice.choice((0, 200, 2000))
        topic = "readings/" + self.dice.choice("abc")
        frame = hub_pb2.Frame(topic=topic, count=READINGS, body=body)
        self.spool.put(Entry(frame.SerializeToString(), READINGS, 1, urgent))
        self._unsafe.append(body)

    async def commit(self) -> None:
        assert await self.spool.flush(trim=self.dice.random() < 0.5)
        self.note_commit()

    def note_commit(self) -> None:
        if not len(self.spool.held):
            self.safe += self._unsafe
            self._unsafe.clear()

    async def step(self) -> None:
        match self.dice.choices(("put", "commit", "stream", "away", "kill"), (40, 25, 60, 3, 1))[0]:
            case "put":
                for _ in range(self.dice.randint(1, 8)):
                    self.put()
            case "commit":
                await self.commit()
            case "stream":
                await self.dice.choice(self.streams).step()
                self.note_commit()  # a hub that comes back may have been reason for one
            case "away":
                for stream in self.streams:
                    stream.cut()
                self._now_s += self.dice.choice((1.0, 30.0))
                for _ in range(self.dice.randint(0, 30)):
                    self.put()
                    await self.commit()
            case "kill":
                await self.kill()

    async def drain(self) -> None:
        self.trouble = 0.0
        await self.commit()
        for _ in range(500):
            await self.spool.flush()
            for stream in self.streams:
                await stream.step()
            if self.spool._progress.is_drained(self.spool.state):
                break
        assert self.spool._progress.is_drained(self.spool.state), "it never ends"
        await self.spool.flush()


async def live(folder: Path, seed: int, steps: int, drain: DrainOrder, bounds: Bounds) -> Life:
    life = Life(folder, seed, drain=drain, bounds=bounds)
    await life.start()
    for _ in range(steps):
        await life.step()
    await life.drain()
    return life


def check(life: Life) -> None:
    stored = Counter(life.hub.stored)
    assert max(stored.values(), default=1) == 1, "nothing is stored twice"
    assert set(stored) <= set(life.safe), "nothing is sent that is not safe"
    state = life.spool.state
    missing = len(life.safe) - len(stored)
    assert state.frames == 0
    assert state.readings_acked + state.readings_dropped == state.readings_spooled == READINGS * len(life.safe)
    # What was dropped may have reached the hub before, so more may be declared than is missing, never less.
    assert READINGS * missing <= state.readings_dropped
    assert READINGS * missing <= life.hub.skipped_readings + gap_at_the_end(life.spool)


def gap_at_the_end(spool: Spool) -> int:
    """Readings in gaps that no frame has followed yet, which could tell of them."""
    assert spool._store is not None
    (readings,) = spool._store._connection.execute("SELECT coalesce(sum(readings), 0) FROM gaps").fetchone()
    return int(readings)


@pytest.mark.parametrize("drain", DrainOrder)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=10, deadline=None)
def test_without_a_bound_each_frame_is_stored_once_and_none_is_missing(drain: DrainOrder, seed: int) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            life = await live(Path(folder), seed, 150, drain, Bounds(1 << 26))
            assert Counter(life.hub.stored) == Counter(life.safe)
            assert life.hub.skipped_readings == 0
            await life.spool.close()

    asyncio.run(run())


@pytest.mark.parametrize("when_full", [WhenFull.DROP_OLDEST, WhenFull.THIN_OUT])
@pytest.mark.parametrize("drain", DrainOrder)
@given(seed=st.integers(0, 1 << 32))
@settings(max_examples=6, deadline=None)
def test_at_the_bound_what_is_missing_is_counted_and_told(drain: DrainOrder, when_full: WhenFull, seed: int) -> None:
    async def run() -> None:
        with tempfile.TemporaryDirectory() as folder:
            life = await live(Path(folder), seed, 150, drain, Bounds(100_000, when_full=when_full))
            check(life)
            await life.spool.close()

    asyncio.run(run())
