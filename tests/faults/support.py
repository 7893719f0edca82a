"""What the pipeline's fault tests share: devices that count, processes that can be killed, and the hub's log read back.

Every device answers its first register pair with a counter that grows with each read. So a reading that is missing at
the hub, or there twice, is known by its number, and the moment it was taken is known to the test.
"""

import asyncio
import contextlib
import json
import math
import os
import random
import signal
import socket
import struct
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

import pytest

from fieldline import Delivery, Runtime, Start
from fieldline.model import Quality, Reading
from fieldline.observe import scrape
from fieldline.testing import HubProcess
from fieldline_cloud.demo.ledger import Ledger
from fieldline_edge.spool.policy import State
from fieldline_edge.spool.status import read_state

LONG = os.environ.get("FIELDLINE_LONG") == "1"
KILLS = 30 if LONG else 10
DEADLINE_S = 60.0
SITE = "plant"
AREA = "hall"
_READING = "reading "  # begins the line with which a gateway says that it has started


def new_random() -> random.Random:
    """The source of every random moment of a test; FIELDLINE_SEED repeats a run."""
    seed = int(os.environ.get("FIELDLINE_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"FIELDLINE_SEED={seed}")
    return random.Random(seed)


def free_port() -> int:
    """A free port below the range the kernel gives to outgoing connections.

    A client that knocks at a closed port inside that range can be given the very port as its own, and then holds it.
    """
    below = 32_768
    with contextlib.suppress(OSError, ValueError):
        below = min(below, int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0]))
    while True:
        port = random.SystemRandom().randrange(10_000, below)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


async def until(condition: Callable[[], object], what: str, *, timeout_s: float = DEADLINE_S) -> None:
    """Wait until the condition holds; it is looked at in a thread, because it may read files or the network."""
    give_up_at = time.monotonic() + timeout_s
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < give_up_at, f"not within {timeout_s:g} s: {what}"
        await asyncio.sleep(0.03)


class Devices:
    """Modbus TCP devices behind one port. Each read answers 2 counter words and then noise that does not compress."""

    def __init__(self, units: int) -> None:
        self.units = range(1, units + 1)
        self.port = free_port()
        self.answered_at_s: dict[int, list[float]] = {unit: [] for unit in self.units}
        """When each unit gave each answer (monotonic); the counter in it was the index plus 1."""
        self.exceptions: dict[int, int] = {}
        """Units that answer with an exception code."""
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._noise = random.Random(7)

    def answered(self, unit: int) -> int:
        """How often a unit has been read."""
        return len(self.answered_at_s[unit])

    @property
    def answered_in_all(self) -> int:
        return sum(map(len, self.answered_at_s.values()))

    async def __aenter__(self) -> Self:
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.vanish()

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def vanish(self) -> None:
        """Close the port and reset every connection, as a device without power does in the end."""
        server, self._server = self._server, None
        if server is None:
            return
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await server.wait_closed()
        await until(lambda: not self._writers, "the connections have ended")

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            while True:
                transaction, _, _, unit, function, _, count = struct.unpack(">HHHBBHH", await reader.readexactly(12))
                writer.write(self._answer(transaction, unit, function, count))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            self._writers.discard(writer)

    def _answer(self, transaction: int, unit: int, function: int, count: int) -> bytes:
        if unit in self.exceptions:
            return struct.pack(">HHHBBB", transaction, 0, 3, unit, function | 0x80, self.exceptions[unit])
        moments = self.answered_at_s[unit]
        moments.append(time.monotonic())
        words = struct.pack(">I", len(moments)) + self._noise.randbytes(2 * (count - 2))
        return struct.pack(">HHHBBB", transaction, 0, 3 + len(words), unit, function, len(words)) + words

    def settings(self, *, period_ms: int, noise_tags: int = 0, prefix: str = "counter") -> list[dict[str, Any]]:
        """The `devices:` of a gateway that reads them all; one device is called <prefix>-<unit>."""
        tags: list[dict[str, Any]] = [{"name": "count", "address": 0, "type": "uint32"}]
        tags += [{"name": f"noise-{index}", "address": 2 + 4 * index, "type": "int64"} for index in range(noise_tags)]
        common = {"driver": "modbus", "area": AREA, "host": "127.0.0.1", "port": self.port, "tags": tags}
        # Not asked twice: an answer that came too late would be a count nobody reads.
        common |= {"period_ms": period_ms, "timeout_ms": 5000, "retries": 0, "backoff_ms_max": 500}
        return [{**common, "name": f"{prefix}-{unit}", "unit": unit} for unit in self.units]


class Process:
    """One child process, started as often as a test likes. What it says is appended to `log`."""

    def __init__(self, log: Path, *command: str) -> None:
        self.log = log
        self._command = command
        self._process: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.returncode is None

    @property
    def said(self) -> str:
        """All it has said, in all its lives."""
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    async def start(self) -> None:
        assert self._process is None, "it runs already"
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )

    async def until_said(self, text: str, *, times: int = 1) -> None:
        def has_said() -> bool:
            found = self.said.count(text) >= times
            assert found or self.is_running, f"it ended without saying {text!r}:\n{self.said[-2000:]}"
            return found

        await until(has_said, f"{self.log.stem} says {text!r}")

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        assert self._process is not None
        self._process.terminate()
        async with asyncio.timeout(DEADLINE_S):
            return await self._ended()

    async def kill(self) -> None:
        """SIGKILL, in the middle of whatever it does."""
        if self._process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._ended()

    async def _ended(self) -> int:
        process, self._process = self._process, None
        assert process is not None
        return await process.wait()


def fieldline(log: Path, *words: str) -> Process:
    """`fieldline <words>` as a process."""
    return Process(log, sys.executable, "-m", "fieldline.cli", *words)


class Edge(Process):
    """`fieldline-edge run` with a gateway of its own, named gateway-1."""

    def __init__(self, folder: Path, hub: str, devices: Sequence[Mapping[str, Any]], **settings: Any) -> None:
        self.spool = Path(settings.pop("spool_path", folder / "spool.db"))
        self.linger_ms = int(settings.pop("linger_ms", 50))
        self.commit_ms_max = 20
        self._metrics_port = free_port()
        spool = {"path": str(self.spool), "commit_ms_max": self.commit_ms_max, **settings.pop("spool", {})}
        whole = {
            "kind": "gateway",
            "name": "gateway-1",
            "site": SITE,
            "hub": hub,
            "batch": {"linger_ms": self.linger_ms},
            "spool": spool,
            "metrics": {"listen": f"127.0.0.1:{self._metrics_port}"},
            "shutdown_drain_s": 30,
            "devices": list(devices),
            **settings,
        }
        folder.mkdir(parents=True, exist_ok=True)
        config = folder / "gateway.yaml"
        config.write_text(json.dumps(whole))  # JSON is YAML
        super().__init__(folder / "edge.log", sys.executable, "-m", "fieldline_edge.cli", "run", str(config))

    async def start(self) -> None:
        """Start it and wait until its spool is open and its devices are read."""
        lives = self.said.count(_READING)
        await self.start_only()
        await self.until_said(_READING, times=lives + 1)

    async def start_only(self) -> None:
        await super().start()

    def state(self) -> State:
        """The spool's numbers as of its last commit, read from the file."""
        return read_state(self.spool)

    def metrics(self) -> dict[str, float]:
        """What /metrics says, without the common prefix; nothing while the process is not up."""
        samples = scrape(f"http://127.0.0.1:{self._metrics_port}/metrics")
        return {name.removeprefix("fieldline_edge_"): value for name, value in samples.items()}

    async def until_polling(self) -> None:
        """Return once this life has spooled something."""
        before = self.state().readings_spooled
        await until(lambda: self.state().readings_spooled > before, "the edge spools")

    async def until_delivering(self) -> None:
        """Return once the hub has acknowledged something new."""
        before = self.state().acked_sequence
        await until(lambda: self.state().acked_sequence > before, "the hub acknowledges")

    async def status(self) -> dict[str, int]:
        """`fieldline-edge spool status --json`."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "fieldline_edge.cli", "spool", "status", str(self.spool), "--json"),
            stdout=asyncio.subprocess.PIPE,
        )
        out, _ = await process.communicate()
        assert process.returncode == 0
        status: dict[str, int] = json.loads(out)
        return status


@asynccontextmanager
async def running_hub(folder: Path, *, says: Path | None = None, **settings: Any) -> AsyncIterator[HubProcess]:
    """A hub on a port that stays its own, also while it is down. `says`: its stderr, where `folder` may be lost."""
    if says is not None:
        folder.mkdir()
        (folder / "hub.log").symlink_to(says)
    hub = HubProcess(folder, settings={"metrics": "127.0.0.1:0", **settings})
    hub.port = free_port()
    async with hub:
        yield hub


def hub_metrics(hub: HubProcess) -> dict[str, float]:
    samples = scrape(f"http://127.0.0.1:{hub.metrics_port}/metrics")
    return {name.removeprefix("fieldline_hub_"): value for name, value in samples.items()}


@dataclass
class Log:
    """The readings in a hub's log, in log order, and what the demo's ledger makes of them."""

    ledger: Ledger = field(default_factory=Ledger)
    sequences: dict[tuple[str, int], list[int]] = field(default_factory=lambda: defaultdict(list))
    readings: dict[str, list[Reading]] = field(default_factory=lambda: defaultdict(list))
    """By the device's name."""

    def note(self, delivery: Delivery) -> None:
        producer = (delivery.producer, delivery.epoch)
        device, readings = delivery.topic.rpartition("/")[2], delivery.readings()
        self.sequences[producer].append(delivery.sequence)
        self.readings[device] += readings
        self.ledger.note_frame(
            producer,
            delivery.sequence,
            readings,
            device=device,
            frame_bytes=delivery.frame_bytes,
            skipped_frames=delivery.skipped_frames,
            skipped_count=delivery.skipped_count,
            now_ns=0,
            now_s=0.0,
        )

    def counts(self, device: str) -> list[int]:
        """The counters of a device, in log order."""
        return [
            reading.value
            for reading in self.readings[device]
            if reading.tag == "count" and isinstance(reading.value, int)
        ]

    def qualities(self, device: str) -> list[Quality]:
        """The quality of each reading of its counter, in log order."""
        return [reading.quality for reading in self.readings[device] if reading.tag == "count"]

    @property
    def declared(self) -> int:
        """Readings the gateway itself said it had to drop."""
        return sum(one.declared_readings for one in self.ledger.producers.values())

    def check_once_and_in_order(self) -> None:
        """Every (producer, epoch, sequence) once, growing in log order, with no hole but those declared."""
        assert self.ledger.duplicated == 0
        assert self.ledger.missing_frames == 0
        for sequences in self.sequences.values():
            assert sequences == sorted(set(sequences))
        for device in self.readings:
            counts = self.counts(device)
            assert counts == sorted(set(counts)), f"{device} is out of order, or has something twice"


async def read_log(address: str) -> Log:
    """All readings the hub holds now."""
    log = Log()
    async with asyncio.timeout(DEADLINE_S), deliveries(address, "readings/#") as found:
        async for delivery in found:
            log.note(delivery)
    return log


@asynccontextmanager
async def deliveries(address: str, topic_filter: str) -> AsyncIterator[AsyncIterator[Delivery]]:
    """The frames a hub holds now, from the oldest to the one that is the newest at this moment."""
    async with (
        Runtime(address, name="reader") as runtime,
        runtime.subscribe(topic_filter, start=Start.EARLIEST) as subscription,
    ):
        await subscription.wait_open(timeout_s=DEADLINE_S)

        async def history() -> AsyncIterator[Delivery]:
            while delivery := await subscription.next_delivery(until_offset=subscription.end_offset):
                yield delivery

        yield history()


async def stop_and_account(edge: Edge, hub: HubProcess) -> tuple[dict[str, int], Log]:
    """Stop the edge once the hub has its whole backlog, and read what both say. The edge must not have ended before."""
    assert edge.is_running, edge.said[-2000:]
    await until(lambda: edge.metrics().get("uplink_connected") == 1, "the edge is connected")
    assert await edge.stop() == 0, edge.said[-2000:]
    return await edge.status(), await read_log(hub.address)


def check_nothing_lost(status: Mapping[str, int], log: Log, devices: Devices, *, prefix: str = "counter") -> None:
    """Everything polled is in the log once: by the spool's counters, and by every single count the devices gave."""
    log.check_once_and_in_order()
    assert status["readings_dropped"] == log.declared == 0
    assert status["readings_polled"] == status["readings_spooled"] == status["readings_acked"]
    assert log.ledger.readings == status["readings_polled"]
    for unit in devices.units:
        assert log.counts(f"{prefix}-{unit}") == list(range(1, devices.answered(unit) + 1))


def check_what_kills_cost(
    edge: Edge, log: Log, devices: Devices, unit: int, kills: Sequence[float], *, period_ms: int, lost_s: float = 0
) -> None:
    """What is missing was answered just before a kill, and is no more than lingered, was being written or in hand.

    `lost_s`: how long before each kill the disk was lost.
    """
    waits_s = (edge.linger_ms + edge.commit_ms_max) / 1000 + lost_s
    have = set(log.counts(f"counter-{unit}"))
    moments = devices.answered_at_s[unit]
    missing = [count for count in range(1, len(moments) + 1) if count not in have]
    lost = [0] * len(kills)
    for count in missing:
        at_s = moments[count - 1]
        kill = next(index for index, kill_s in enumerate(kills) if at_s <= kill_s + 0.3)
        lost[kill] += 1
        assert kills[kill] - at_s <= waits_s + 0.5, f"unit {unit}: count {count} was old enough to be safe"
    print(f"unit {unit}: lost per kill {lost}")
    per_kill = math.ceil(waits_s * 1000 / period_ms) + 1
    assert len(missing) <= len(kills) * per_kill
    for before, following in pairwise(missing):
        if following != before + 1:  # what came after a missing one in the same life is missing as well
            between = moments[before - 1], moments[following - 1]
            assert any(between[0] <= kill_s + 0.3 and kill_s <= between[1] for kill_s in kills)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.contextmanager
def ballast(folder: Path) -> Iterator[None]:
    """A file that takes all the space `folder`'s file system has left."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size):
                    pass
    try:
        yield
    finally:
        path.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, *, kib: int) -> Iterator[Path]:
    """A file system of its own in memory, so small that it can be filled; skips the test where that is not allowed."""
    folder.mkdir()
    mount_or_skip("-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def mount_or_skip(*words: str) -> None:
    """`mount`; skips the test with the reason where it cannot be done."""
    if os.geteuid() != 0:
        pytest.skip("needs root: mounts a file system")
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"cannot mount a file system here: {done.stderr.strip()}")
