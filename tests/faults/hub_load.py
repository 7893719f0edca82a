"""Load on a hub that is killed again and again, and the recount of what its log holds.

Publishers number their messages and note which were acknowledged; a durable and a live subscriber note what they were
given. All of that is kept in the test's memory, so no fault of the hub can touch it.
"""

import asyncio
import contextlib
import itertools
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from fieldline import Coalescing, Delivery, Runtime, Start, Subscription
from fieldline.topics import matches
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import open_messages
from fieldline_cloud.hub.engines.segments import SegmentEngine
from tests.integration.cloud.harness import until

__all__ = ["WANTED", "Load", "Recount", "Stored", "opened_log", "records"]

WANTED = "t/#"
_READ_BYTES = 4 << 20
_UNWANTED_EVERY = 7


@dataclass
class Seen:
    """What one subscriber was given, in its own order."""

    messages: list[tuple[int, str]] = field(default_factory=list)  # (offset, text)
    done_to: int = -1
    """The last offset the program has finished with: nothing above it can have been acknowledged."""

    def note(self, delivery: Delivery) -> None:
        self.messages += [(delivery.offset, message.text) for message in delivery.messages()]
        self.done_to = delivery.offset

    @property
    def offsets(self) -> set[int]:
        return {offset for offset, _ in self.messages}


class Load:
    """`workers` publishers, a durable subscriber "reader" and a plain live one, at one hub."""

    def __init__(self, address: str, *, workers: int, body_bytes: int = 0) -> None:
        self.address = address
        self.workers = workers
        self.acked: list[str] = []
        self.sent: list[str] = []
        self.durable, self.live = Seen(), Seen()
        self.live_missed_frames = 0
        self._padding = "." * body_bytes
        self._stop = asyncio.Event()
        self._subscriptions: dict[str, Subscription] = {}

    async def acknowledged(self, more: int) -> None:
        """Wait until so many more messages have been acknowledged."""
        enough = len(self.acked) + more
        await until(lambda: len(self.acked) >= enough, timeout_s=30)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """While the body runs. Afterwards everything sent is acknowledged, and the durable has been given all of it."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._subscribe("reader", self.durable))
            tasks.create_task(self._subscribe("", self.live))
            await until(lambda: len(self._subscriptions) == 2)
            workers = [tasks.create_task(self._publish(worker)) for worker in range(self.workers)]
            yield
            self._stop.set()
            async with asyncio.timeout(60):
                await asyncio.gather(*workers)
                wanted = sum(not text.startswith("other") for text in self.sent)
                await until(lambda: len(self.durable.messages) >= wanted, timeout_s=30)
                newest = self.durable.messages[-1]
                await until(lambda: bool(self.live.messages) and self.live.messages[-1] >= newest, timeout_s=30)
                for subscription in self._subscriptions.values():
                    await subscription.close()
        self.live_missed_frames = self._subscriptions[""].missed_frames

    async def _publish(self, worker: int) -> None:
        coalescing = Coalescing(linger_ms=worker % 3, messages_max=8)
        async with Runtime(self.address, name=f"worker-{worker}", coalescing=coalescing, close_timeout_s=30) as runtime:
            unacked: dict[str, list[str]] = defaultdict(list)  # by topic, for a topic is what orders
            for n in itertools.count():
                # One message follows the last fault, so that the readers are known to be connected at the end.
                last = self._stop.is_set()
                wanted = last or n % _UNWANTED_EVERY != 0
                topic = f"{'t' if wanted else 'other'}/{worker}"
                text = f"{topic}:{n}{self._padding}"
                self.sent.append(text)
                unacked[topic].append(text)
                stored = last or n % 5 == 4  # some wait for their ack, with others on the way before them
                await runtime.publish(topic, text, stored=stored)
                if stored:
                    self.acked += unacked.pop(topic)
                if last:
                    break

    async def _subscribe(self, durable: str, seen: Seen) -> None:
        start = Start.EARLIEST if durable else Start.LIVE
        async with (
            Runtime(self.address, name=durable or "live") as runtime,
            runtime.subscribe(WANTED, durable=durable, start=start) as messages,
        ):
            await messages.wait_open(timeout_s=30)
            self._subscriptions[durable] = messages
            async for delivery in messages.deliveries():
                seen.note(delivery)


@contextlib.contextmanager
def opened_log(data: Path) -> Iterator[SegmentEngine]:
    """The log of a hub that does not run."""
    engine = SegmentEngine(data / "log")
    try:
        yield engine
    finally:
        engine.close()


class Recount:
    """What the log holds, read further each time and checked against what was promised.

    A frame that is found once must stay, so what was read before is not read again; `whole` reads it all.
    """

    def __init__(self, load: Load) -> None:
        self._load = load
        self.stored: list[tuple[int, str]] = []  # (offset, text)
        self.cursor = 0
        self._next_offset = 0
        self._acked_checked = 0
        self._texts: Counter[str] = Counter()
        self._sequences: dict[tuple[str, int], list[int]] = defaultdict(list)

    def check(self, engine: SegmentEngine) -> None:
        """After a fault: what was acknowledged is there, nothing is there twice, the cursor is where it may be."""
        assert engine.damaged_bytes == 0
        for stored in records(engine, self._next_offset):
            assert stored.offset == self._next_offset, "the log has a hole"
            self._next_offset += 1
            self._sequences[stored.producer, stored.epoch].append(stored.sequence)
            for text in stored.texts:
                self.stored.append((stored.offset, text))
                self._texts[text] += 1
                assert self._texts[text] == 1, f"stored twice: {text[:20]}"
        acked = self._load.acked
        lost = [text[:20] for text in acked[self._acked_checked :] if text not in self._texts]
        assert lost == [], "acknowledged and lost"
        self._acked_checked = len(acked)
        self._check_cursor(engine)

    def _check_cursor(self, engine: SegmentEngine) -> None:
        cursor = engine.cursors().get("reader", 0)
        assert cursor >= self.cursor, "the cursor has moved back"
        self.cursor = cursor
        done_to = self._load.durable.done_to
        assert cursor <= next_wanted(engine, done_to + 1), "the cursor is ahead of what the subscriber has finished"

    def check_all(self, engine: SegmentEngine) -> None:
        """Once all is quiet: the log is what was sent, in order, and the subscribers have seen just that."""
        self.check(engine)
        load = self._load
        assert self._texts == Counter(load.sent), "published and not stored, although the publishers waited"
        assert len(self._sequences) == load.workers
        for sequences in self._sequences.values():
            assert sequences == list(range(1, len(sequences) + 1))
        for worker in range(load.workers):
            for kind in ("t", "other"):  # a topic orders; what is for another topic may overtake
                own = [_number(text) for _, text in self.stored if text.startswith(f"{kind}/{worker}:")]
                assert own == sorted(own), "out of order"
        wanted = [(offset, text) for offset, text in self.stored if text.startswith("t/")]
        assert load.durable.messages == wanted, "the durable subscriber has seen something else than what is stored"
        assert next_wanted(engine, self.cursor) == engine.statistics().next_offset, "the last ack is not on disk"
        self._check_live(wanted)

    def _check_live(self, wanted: list[tuple[int, str]]) -> None:
        live = self._load.live
        if live.messages:
            since = [one for one in wanted if one[0] >= live.messages[0][0]]
            given = live.offsets
            assert live.messages == [one for one in since if one[0] in given]
            missed = len({offset for offset, _ in since} - given)
            assert missed == self._load.live_missed_frames, "a live subscriber lost frames that nobody counted"


class Stored:
    """A frame as the log holds it."""

    def __init__(self, data: bytes) -> None:
        delivery = hub_pb2.Delivery.FromString(data)
        self.offset: int = delivery.offset
        self.producer: str = delivery.producer
        self.epoch: int = delivery.epoch
        self.frame: hub_pb2.Frame = delivery.frame
        self.sequence: int = delivery.frame.sequence

    @property
    def texts(self) -> list[str]:
        """The messages in it."""
        return [content.decode() for content in open_messages(self.frame)[0]]


def records(engine: SegmentEngine, start: int = 0, wanted: Callable[[str], bool] = lambda _: True) -> Iterator[Stored]:
    """The frames from `start` to the end of the log."""
    end = engine.statistics().next_offset
    while start < end:
        chunk = engine.read(start, wanted, bytes_max=_READ_BYTES)
        for record in chunk.records:
            yield Stored(record.delivery)
        assert chunk.next_offset > start or not chunk.records
        start = max(chunk.next_offset, start + 1)


def next_wanted(engine: SegmentEngine, start: int) -> int:
    """The offset of the first frame at or after `start` that the durable wants; the end of the log if there is none."""
    for stored in records(engine, start, lambda topic: matches(WANTED, topic)):
        return stored.offset
    return max(start, engine.statistics().next_offset)


def _number(text: str) -> int:
    return int(text.partition(":")[2].rstrip("."))
