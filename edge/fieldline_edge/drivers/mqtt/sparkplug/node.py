"""What a host knows of one edge node: births, aliases, sequence numbers, deaths. Pure: the time is handed in.

Rules from the Eclipse Sparkplug Specification 3.0.0, chapter 5 (operational behaviour) and section 6.4:

- a birth names all metrics of a node or device; data may then use their aliases alone;
- every message of a node but its death carries a number that grows by one, modulo 256;
- a death counts only if its bdSeq is that of the birth: a broker may tell of an older connection's end late. Some nodes
  say goodbye with a wrong one; so the node is asked, and is dead if nothing comes of it;
- after a node's birth each of its devices has to be born again.

Where messages are missing, a birth may be among them, and an alias may mean another metric than before: nothing
that has only an alias is taken until the node is born again, which is asked of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum

from fieldline_edge.drivers.mqtt.sparkplug.payload import Message, Metric

__all__ = ["Death", "Found", "Kind", "Known", "Node", "NodeNews"]

_SEQ_COUNT = 256
_BORN_AGAIN_WITHIN_S = 10.0
_DOUBLINGS_MAX = 5
_ALIASES_MAX = 100_000


class Kind(Enum):
    """The message types a host reads."""

    NBIRTH = "NBIRTH"
    NDATA = "NDATA"
    NDEATH = "NDEATH"
    DBIRTH = "DBIRTH"
    DDATA = "DDATA"
    DDEATH = "DDEATH"


@dataclass(frozen=True, slots=True)
class Known:
    """A metric as its birth has it."""

    device: str  # empty: of the node itself
    name: str
    datatype: int
    unit: str


@dataclass(frozen=True, slots=True)
class Found:
    """A metric in a message, and what its birth says of it."""

    known: Known
    metric: Metric


@dataclass(frozen=True, slots=True)
class Death:
    """A node ("" as device) or one of its devices is away: its values are stale."""

    device: str


@dataclass(slots=True)
class NodeNews:
    """What came of a message."""

    found: list[Found] = field(default_factory=list)
    deaths: list[Death] = field(default_factory=list)
    wants_rebirth: bool = False
    gap: bool = False
    repeated: bool = False
    skipped: int = 0  # metrics that nobody has introduced
    why: str = ""


@dataclass(slots=True)
class _Device:
    metrics: dict[str, Known] = field(default_factory=dict)
    alive: bool = False
    due_s: float | None = None  # when it must be born again after its node


class Node:
    """One edge node."""

    def __init__(self, *, rebirth_s_min: float) -> None:
        self.alive = False
        self._sure = False  # since its birth no message is missing
        self._is_dead = False  # it said so: nothing to ask it for
        self._life_due_s: float | None = None  # when it must have said something, after a doubtful death
        self._bd_seq: int | None = None
        self._seq: int | None = None
        self._last: Message | None = None
        self._devices: dict[str, _Device] = {}
        self._aliases: dict[int, Known] = {}
        self._rebirth_s_min = rebirth_s_min
        self._asked = 0
        self._ask_at_s = float("-inf")

    def knows(self, device: str) -> bool:
        """Whether the node itself (empty) or a device of it was ever born."""
        return device in self._devices

    def doubt(self) -> None:
        """Messages may have been missed (the link was away)."""
        self._sure = self._is_dead = False

    def ask(self, now_s: float) -> bool:
        """Whether to send a rebirth request now; if so, it counts as sent.

        The pause between two doubles while they do not help, up to 32 times.
        """
        if self._sure or self._is_dead or now_s < self._ask_at_s:
            return False
        self._ask_at_s = now_s + self._rebirth_s_min * 2 ** min(self._asked, _DOUBLINGS_MAX)
        self._asked += 1
        return True

    def receive(self, kind: Kind, device: str, message: Message, now_s: float) -> NodeNews:
        """Take one message; `device` is empty for the node's own."""
        news = NodeNews()
        if kind is Kind.NDEATH:
            self._node_died(message, news, now_s)
            news.wants_rebirth = self.alive and not self._sure
            return news
        self._is_dead = False
        self._life_due_s = None
        if kind is Kind.NBIRTH:
            self._node_born(message, news, now_s)
        elif self._follows(message, news):
            self._of_device_or_data(kind, device, message, news)
        news.wants_rebirth = not self._sure
        return news

    def tick(self, now_s: float) -> list[Death]:
        """Devices that were not born again in time after their node, or all, if the node shows no life."""
        late: list[Death] = []
        if self._life_due_s is not None and now_s >= self._life_due_s:
            late.extend(self._end())
        for name, device in self._devices.items():
            if device.due_s is not None and now_s >= device.due_s:
                device.due_s, device.alive = None, False
                late.append(Death(name))
        return late

    def _node_born(self, message: Message, news: NodeNews, now_s: float) -> None:
        if message.seq is None:
            news.why = "NBIRTH without seq"
            self._sure = False
            return
        self.alive = self._sure = True
        self._asked, self._ask_at_s = 0, now_s + self._rebirth_s_min
        self._bd_seq, self._seq, self._last = message.bd_seq, message.seq, message
        self._aliases.clear()
        for name, device in self._devices.items():
            if name and device.alive:
                device.alive, device.due_s = False, now_s + _BORN_AGAIN_WITHIN_S
        self._introduce("", message, news)

    def _follows(self, message: Message, news: NodeNews) -> bool:
        """Whether to read on: checks the sequence number."""
        if not self.alive or self._seq is None:
            self._sure = False
            news.why = "the node's birth was not seen"
            return True  # metrics with names of devices known from before may be told; nobody is known: all skipped
        if message == self._last:
            news.repeated = True
            return False
        if message.seq != (self._seq + 1) % _SEQ_COUNT:
            news.gap = self._sure
            news.why = f"seq {message.seq} follows {self._seq}"
            self._sure = False
        self._seq = self._seq if message.seq is None else message.seq % _SEQ_COUNT
        self._last = message
        return True

    def _of_device_or_data(self, kind: Kind, device: str, message: Message, news: NodeNews) -> None:
        if kind is Kind.DBIRTH:
            if self._sure:
                self._introduce(device, message, news)
            else:
                news.skipped += len(message.metrics)
        elif kind is Kind.DDEATH:
            if device in self._devices:
                self._devices[device].alive = False
                self._devices[device].due_s = None
                news.deaths.append(Death(device))
        else:
            self._data(device, message, news)

    def _introduce(self, device: str, message: Message, news: NodeNews) -> None:
        mine = _Device(alive=True)
        self._devices[device] = mine
        for metric in message.metrics:
            if not metric.name:
                news.skipped += 1
                continue
            known = Known(device, metric.name, metric.datatype, metric.unit)
            mine.metrics[metric.name] = known
            if metric.alias is not None and len(self._aliases) < _ALIASES_MAX:
                self._aliases[metric.alias] = known
            news.found.append(Found(known, metric))

    def _data(self, device: str, message: Message, news: NodeNews) -> None:
        mine = self._devices.get(device)
        if mine is None or not mine.alive:
            self._sure = False
            news.why = news.why or "data before birth"
            news.skipped += len(message.metrics)
            return
        for metric in message.metrics:
            known = self._known(device, mine, metric)
            if known is None:
                self._sure = False
                news.why = news.why or f"metric {metric.name or metric.alias!r:.80} was not in the birth"
                news.skipped += 1
            else:
                news.found.append(Found(known, metric))

    def _known(self, device: str, mine: _Device, metric: Metric) -> Known | None:
        if metric.name:
            return mine.metrics.get(metric.name)
        if metric.alias is None or not self._sure:
            return None
        known = self._aliases.get(metric.alias)
        return known if known is not None and known.device == device else None

    def _node_died(self, message: Message, news: NodeNews, now_s: float) -> None:
        if not self.alive:
            return
        if message.bd_seq == self._bd_seq:
            news.deaths.extend(self._end())
            return
        self._sure = False
        self._life_due_s = now_s + _BORN_AGAIN_WITHIN_S
        news.why = f"death with bdSeq {message.bd_seq}, born with {self._bd_seq}"

    def _end(self) -> Iterator[Death]:
        self.alive = self._sure = False
        self._is_dead = True
        self._seq = self._last = self._life_due_s = None
        yield from self._all_die()

    def _all_die(self) -> Iterator[Death]:
        for name, device in self._devices.items():
            if device.alive or device.due_s is not None:
                device.alive, device.due_s = False, None
                yield Death(name)
