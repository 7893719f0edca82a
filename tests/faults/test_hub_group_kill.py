"""Members of a group are killed, and the hub as well: every frame is handled or becomes a dead letter, once settled.

Members are processes of their own and keep a journal of what they do. First only members die: then no key may be with
two of them at the same time. Then the hub dies too. It does not know afterwards who had what, so for a moment a key
can be with the member that still has it and with the one that is given it now; all else must hold.

FIELDLINE_KILLS raises the number of kills, FIELDLINE_SEED repeats a run; both are printed.
"""

import asyncio
import contextlib
import itertools
import os
import random
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from fieldline import AdminClient, Coalescing, Runtime, Start
from fieldline_cloud.hub.core.marks import DurableMark, SettledOffsets
from fieldline_cloud.hub.engines.segments import SegmentEngine
from tests.faults.hub_load import Stored, opened_log, records
from tests.faults.member_lives import GROUP, WINDOW_FRAMES
from tests.faults.spawned import Spawned, SpawnedHub
from tests.faults.support import new_random, until

KILLS = max(4, int(os.environ.get("FIELDLINE_KILLS", "100")) // 8)  # of members; and then as many of the hub
MEMBERS = 3
KEYS = 8
PAUSE_S = 0.004  # between two messages


class Entry(NamedTuple):
    """A line of a journal."""

    what: str
    at_ns: int
    offset: int
    key: str
    text: str


class Member(Spawned):
    """One member; it may be killed and comes back under its name."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        super().__init__("tests.faults.member_lives")
        self.killed_at_ns: list[int] = []
        self._line = f"{address} {name} {folder / name}"
        self._journal = folder / name

    async def start(self) -> None:
        await self.begin_with(self._line)
        assert await self.line() == "working"

    async def kill(self) -> None:
        if self.is_running:
            self.killed_at_ns.append(time.monotonic_ns())
        await super().kill()

    def journal(self) -> list[Entry]:
        """All it has done so far; a line that the kill has cut short does not count."""
        lines = self._journal.read_text().split("\n")[:-1] if self._journal.exists() else []
        return [_entry(line) for line in lines]

    def lives_of(self) -> Iterator[list[Entry]]:
        """Its journal, life by life."""
        life: list[Entry] = []
        for entry in self.journal():
            if entry.what == "life" and life:
                yield life
                life = []
            life.append(entry)
        yield life


def _entry(line: str) -> Entry:
    what, at_ns, offset, key, text = line.split(" ")
    return Entry(what, int(at_ns), int(offset), key, text)


class Looks:
    """What the disk says about the group each time the hub is dead, and what must have been true of it then."""

    def __init__(self, members: list[Member]) -> None:
        self._members = members
        self._cursor = 0
        self.settled: dict[int, int] = {}
        """By offset: when it was first seen settled on the disk (monotonic, ns)."""

    def look(self, engine: SegmentEngine) -> None:
        mark = engine.durables().get(GROUP)
        if mark is None:
            return
        assert mark.next_offset >= self._cursor, "the cursor has moved back"
        self._cursor = mark.next_offset
        stored = list(records(engine))
        jobs = [frame.offset for frame in stored if frame.frame.topic.startswith("jobs/")]
        settled = {offset for offset in jobs if offset in SettledOffsets.of(mark.next_offset, mark.done)}
        acked = {entry.offset for member in self._members for entry in member.journal() if entry.what == "ack"}
        assert settled <= acked | buried(stored).keys(), "settled, and nobody has said so"
        assert self.settled.keys() <= settled, "what was settled is open again"
        for offset in settled:
            self.settled.setdefault(offset, time.monotonic_ns())

    def check_not_again(self) -> None:
        """What was settled on the disk was given to nobody afterwards.

        What waited unread at a member when the hub died, and was settled by another meanwhile, may still be handled:
        that is at most a window before the loss and one after it.
        """
        for member in self._members:
            for life in member.lives_of():
                started = [entry for entry in life if entry.what == "start"]
                for place, entry in enumerate(started):
                    settled_ns = self.settled.get(entry.offset)
                    if settled_ns is None or entry.at_ns < settled_ns:
                        continue
                    since = sum(one.at_ns > settled_ns for one in started[:place])
                    born_before = life[0].at_ns < settled_ns
                    assert born_before, f"{entry} was settled before that member was started"
                    assert since < 2 * WINDOW_FRAMES, f"{entry} was given out after it was settled"


def buried(stored: list[Stored]) -> dict[int, Stored]:
    """Dead letters by the offset of what was given up; each once."""
    found: dict[int, Stored] = {}
    for frame in stored:
        if frame.frame.HasField("dead_letter"):
            letter = frame.frame.dead_letter
            assert letter.durable == GROUP
            assert letter.offset not in found, f"offset {letter.offset} has two dead letters"
            found[letter.offset] = frame
    return found


def check_keys(members: list[Member], until_ns: int) -> int:
    """No key with two living members at the same time, before `until_ns`. Returns how many handlings were compared."""
    handled: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # by key: begin, end, member
    for number, member in enumerate(members):
        for life, killed_ns in itertools.zip_longest(member.lives_of(), member.killed_at_ns, fillvalue=None):
            assert life is not None
            open_entry: Entry | None = None
            for entry in life:
                if entry.what == "start":
                    open_entry = entry
                elif entry.what == "end":
                    assert open_entry is not None
                    handled[entry.key].append((open_entry.at_ns, entry.at_ns, number))
                    open_entry = None
            if open_entry is not None and killed_ns is not None:
                handled[open_entry.key].append((open_entry.at_ns, killed_ns, number))
    compared = 0
    for key, times in handled.items():
        times.sort()
        for before, after in pairwise(one for one in times if one[0] < until_ns):
            compared += 1
            assert after[2] == before[2] or after[0] >= before[1], f"key {key} is with two members at once"
    return compared


class Jobs:
    """Publishes one frame for each message, with one of a few keys, and goes on through everything."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._stop = asyncio.Event()
        self.published: list[str] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._publish())
            yield
            self._stop.set()

    async def _publish(self) -> None:
        coalescing = Coalescing(messages_max=1)
        async with Runtime(self._address, name="publisher", coalescing=coalescing, close_timeout_s=30) as runtime:
            for n in itertools.count():
                await runtime.publish("jobs/x", str(n), key=f"k{n % KEYS}", stored=n % 20 == 19)
                self.published.append(str(n))
                if self._stop.is_set():
                    return
                await asyncio.sleep(PAUSE_S)


async def test_a_group_survives_kills_of_its_members_and_of_the_hub(tmp_path: Path) -> None:
    chance = new_random()
    print(f"FIELDLINE_KILLS: {KILLS} of members, then {KILLS} of the hub")
    async with SpawnedHub(tmp_path) as hub, contextlib.AsyncExitStack() as stack:
        await hub.start()
        members = [Member(tmp_path, f"member-{n}", hub.address) for n in range(MEMBERS)]
        for member in members:
            await stack.enter_async_context(member)
            await member.start()
        looks, jobs = Looks(members), Jobs(hub.address)
        async with jobs.running():
            for _ in range(KILLS):
                await kill_a_member(members, chance)
            quiet_until_ns = time.monotonic_ns()
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(0, 0.3))
                await hub.kill()
                if chance.random() < 0.3:
                    await kill_a_member(members, chance)
                with opened_log(hub.data) as engine:
                    looks.look(engine)
                await hub.start()
        await until_all_settled(hub.address, members, jobs)
        for member in members:
            assert await member.stop() == 0
        assert await hub.stop() == 0

        with opened_log(hub.data) as engine:
            looks.look(engine)
            stored, mark = list(records(engine)), engine.durables()[GROUP]
        check_the_end(stored, mark, members, jobs)
        looks.check_not_again()
        compared = check_keys(members, quiet_until_ns)
        lives = sum(member.lives for member in members)
        print(f"{lives} lives of members, {hub.lives} of the hub, {len(jobs.published)} messages, {compared} compared, "
              f"{len(buried(stored))} dead letters, {len(looks.settled)} seen settled")  # fmt: skip
        assert compared > 10 * KILLS


async def kill_a_member(members: list[Member], chance: random.Random) -> None:
    """One of them dies at a random moment and comes back after another."""
    await asyncio.sleep(chance.uniform(0, 0.15))
    member = chance.choice(members)
    await member.kill()
    await asyncio.sleep(chance.uniform(0, 0.15))
    await member.start()


async def until_all_settled(address: str, members: list[Member], jobs: Jobs) -> None:
    """Every message was acknowledged by a member, or is a dead letter."""
    dead: set[str] = set()

    async def watch() -> None:
        async with (
            Runtime(address, name="mourner") as runtime,
            runtime.subscribe("$dead/#", start=Start.EARLIEST) as found,
        ):
            async for message in found:
                dead.add(message.text)

    def all_settled() -> bool:
        acked = {entry.text for member in members for entry in member.journal() if entry.what == "ack"}
        return set(jobs.published) <= acked | dead

    async with asyncio.TaskGroup() as tasks:
        watcher = tasks.create_task(watch())
        await until(all_settled, "all is handled or given up", timeout_s=30)
        watcher.cancel()
    # A member that was killed may have noted an ack that never reached the hub: then the message is on its way again.
    async with AdminClient(address) as admin:
        await until_nothing_is_left(admin)


async def until_nothing_is_left(admin: AdminClient) -> None:
    """Nothing is with a member or waits for another try, several looks in a row: a hub may have just been started."""
    quiet = 0
    async with asyncio.timeout(30):
        while quiet < 10:
            (group,) = [one async for one in admin.subscriptions(only_durable=True) if one.durable == GROUP]
            quiet = 0 if group.pending else quiet + 1
            await asyncio.sleep(0.05)


def check_the_end(stored: list[Stored], mark: DurableMark, members: list[Member], jobs: Jobs) -> None:
    by_offset = {frame.offset: frame for frame in stored if frame.frame.topic.startswith("jobs/")}
    assert [text for frame in by_offset.values() for text in frame.texts] == jobs.published, "each once, in order"
    settled = SettledOffsets.of(mark.next_offset, mark.done)
    assert [offset for offset in by_offset if offset not in settled] == [], "never settled"
    assert mark.redeliveries == ()
    entries = [entry for member in members for entry in member.journal()]
    gave_up = {entry.offset for entry in entries if entry.what in ("nack", "give_up")}
    for offset, letter in buried(stored).items():
        assert letter.texts == by_offset[offset].texts
        assert letter.frame.dead_letter.sequence == by_offset[offset].sequence
        assert offset in gave_up, "a dead letter nobody has given up"
