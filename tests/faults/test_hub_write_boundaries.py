"""The hub is killed before each single write, sync, rename and removal that a small load makes; or that call fails.

The load begins on a log with a torn end, rolls segments, and lets retention remove some, so every kind of write the
log knows is among them. FIELDLINE_LONG=1 lets every call fail, not only every third.
"""

import asyncio
import contextlib
import os
import random
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path

from fieldline import Coalescing, Runtime, Start, Subscription
from tests.faults.hub_load import opened_log, records
from tests.faults.spawned import SpawnedHub
from tests.faults.strace import WRITES, Call, Strace
from tests.faults.support import LONG
from tests.integration.cloud.harness import until

MESSAGES = 13
BODY_BYTES = 90_000
BYTES_MAX = 1 << 20  # the least a hub takes: segments of 256 KiB
SEGMENT_BYTES = 1 << 18
BEFORE = -1  # the number of a message that was there before the load
TORN = b"FLC1 the beginning of a chunk"
_RARE = ("ftruncate", "rename", "unlink")
RETENTION = {"bytes_max": BYTES_MAX, "check_every_s": 0.01}


@dataclass
class Run:
    """What one load with one fault came to: numbers of messages, and how the hub's lives ended."""

    acked: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    """Exit codes of the hub's lives; the last one was stopped, and all before it had died."""


class Bench:
    """One hub, put back onto the same log for every fault."""

    def __init__(self, folder: Path, hub: SpawnedHub) -> None:
        self._hub = hub
        self._template = folder / "template"
        self._strace_log = folder / "strace.log"

    @staticmethod
    def _text(n: int) -> str:
        return f"{n}:{random.Random(n).randbytes(BODY_BYTES // 2).hex()}"

    async def prepare(self) -> None:
        """A log with two messages, a durable that has seen them, and the torn end of a commit."""
        hub = await self._hub.start()
        async with (
            Runtime(hub.address, name="before") as runtime,
            runtime.subscribe("t", durable="reader", start=Start.EARLIEST) as messages,
        ):
            await runtime.publish_batch("t", [f"{BEFORE}:"] * 2, stored=True)
            delivery = await messages.next_delivery()
            assert delivery is not None
            delivery.ack()
        assert await hub.stop() == 0
        (segment,) = (hub.data / "log").glob("*.log")
        with segment.open("ab") as file:
            file.write(TORN)
        hub.data.rename(self._template)

    async def calls(self) -> list[Call]:
        """Every write the load makes while nothing goes wrong."""
        assert not await self.survives()
        return Strace.calls(self._strace_log)

    async def survives(self, at: Call | None = None, fault: str = "") -> bool:
        """Run the load with one fault in it and check what is left. Returns whether that call was made at all."""
        shutil.copytree(self._template, self._hub.data)
        try:
            strace = Strace(self._strace_log, at=at, fault=fault)
            await self._hub.begin(before=strace.attach)
            run = Run()
            lives = asyncio.create_task(self._live(run))
            try:
                async with asyncio.timeout(15):
                    await self._load(run)
                    await self._stop(lives)
            finally:
                lives.cancel()
                await asyncio.wait([lives])
            await strace.ended()
            self._check(run)
            return strace.was_injected
        finally:
            await self._hub.kill()
            shutil.rmtree(self._hub.data)

    async def _live(self, run: Run) -> None:
        """Start the hub again whenever it has died, until it has been stopped."""
        while code := await self._hub.ended():
            run.codes.append(code)
            await self._hub.begin()
        run.codes.append(code)

    async def _stop(self, lives: asyncio.Task[None]) -> None:
        while not lives.done():  # one that has only just been started may be too young to listen
            if self._hub.is_running:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._hub.pid, signal.SIGTERM)
            await asyncio.wait([lives], timeout=0.2)
        await lives

    async def _load(self, run: Run) -> None:
        hub = self._hub
        async with (
            Runtime(hub.address, name="publisher", coalescing=Coalescing(compress_from_bytes=None)) as runtime,
            runtime.subscribe("t", durable="reader") as messages,
        ):
            reader = asyncio.create_task(self._read(messages, run))
            for n in range(MESSAGES):
                await runtime.publish("t", self._text(n), stored=True)
                run.acked.append(n)
                await until(lambda: len(run.seen) >= len(run.acked))  # before retention may take it
            await until(lambda: _log_bytes(hub.data) <= BYTES_MAX)
            await messages.close()
            await reader

    @staticmethod
    async def _read(messages: Subscription, run: Run) -> None:
        async for message in messages:
            run.seen.append(_number(message.text))

    def _check(self, run: Run) -> None:
        assert run.acked == run.seen == list(range(MESSAGES))
        with opened_log(self._hub.data) as engine:
            frames = list(records(engine))
            size = engine.statistics()
            assert engine.damaged_bytes == 0
            assert [frame.offset for frame in frames] == list(range(size.first_offset, size.next_offset))
            # The last ack has no second try if the hub dies of it while the subscription is closed.
            assert size.next_offset - 1 <= engine.cursors()["reader"] <= size.next_offset
        kept = [text for frame in frames for text in frame.texts]
        numbers = [_number(text) for text in kept]
        published = [BEFORE, BEFORE, *range(MESSAGES)]
        assert numbers == published[-len(numbers) :], "not the newest of what was published, each once"
        assert sum(map(len, kept)) > BYTES_MAX - SEGMENT_BYTES - 2 * BODY_BYTES, "retention took too much"
        sequences = [frame.sequence for frame in frames if frame.producer == "publisher"]
        assert sequences == list(range(sequences[0], MESSAGES + 1))


def _number(text: str) -> int:
    return int(text.partition(":")[0])


def _log_bytes(data: Path) -> int:
    total = 0
    for path in (data / "log").glob("*.log"):
        with contextlib.suppress(FileNotFoundError):
            total += len(path.read_bytes().rstrip(b"\0"))  # without what is reserved behind it
    return total


async def test_a_kill_at_any_write_of_the_log_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with SpawnedHub(tmp_path, retention=RETENTION) as hub:
        bench = Bench(tmp_path, hub)
        await bench.prepare()
        calls = await bench.calls()
        assert {call.name for call in calls} == set(WRITES)
        killed = [call for call in calls if await bench.survives(call, "signal=KILL")]
    print(f"killed at {len(killed)} of {len(calls)} calls: {', '.join(map(str, killed))}")
    assert len(killed) >= 0.8 * len(calls)  # timing decides on how many commits the last acks are spread


async def test_a_write_of_the_log_that_fails_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    async with SpawnedHub(tmp_path, retention=RETENTION) as hub:
        bench = Bench(tmp_path, hub)
        await bench.prepare()
        calls = [call for n, call in enumerate(await bench.calls()) if LONG or n % 3 == 0 or call.name in _RARE]
        failed = [call for call in calls if await bench.survives(call, "error=EIO")]
    print(f"failed at {len(failed)} of {len(calls)} calls: {', '.join(map(str, failed))}")
    assert len(failed) >= 0.8 * len(calls)
