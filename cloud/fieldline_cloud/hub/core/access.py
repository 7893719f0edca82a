"""Who may do what at a hub, and how much of it. Pure: the time is handed in.

An identity may do what it was granted and nothing else. Every question is answered with a sentence: empty if it may,
else why not and what would help. That sentence goes to the client and into the audit log.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fieldline.topics import INBOX, matches

__all__ = ["Account", "Accounts", "Claims", "Identity", "TokenBucket", "covers", "owns"]

# Answers about topics are remembered per identity; a publisher of ever new topics must not fill the memory.
_REMEMBERED_MAX = 8192


@dataclass(frozen=True, slots=True)
class Identity:
    """One client's name and grants. `producers` and `durables` are names beyond its own; `*` at the end: any ending.

    Rates are per second; None: no bound.
    """

    name: str
    publish: tuple[str, ...] = ()
    subscribe: tuple[str, ...] = ()
    producers: tuple[str, ...] = ()
    durables: tuple[str, ...] = ()
    admin: bool = False
    streams_max: int | None = None
    bytes_s_max: int | None = None
    frames_s_max: int | None = None


@dataclass(frozen=True, slots=True)
class Claims:
    """What a stream asked for when it was opened, and uses as long as it is open. Empty: not asked for."""

    client: str = ""
    producer: str = ""
    durable: str = ""
    filters: tuple[str, ...] = ()


class TokenBucket:
    """A rate with a burst of one second.

    Something passes while there is anything left, however big it is, and what it took too much is missing afterwards:
    so even a frame larger than the burst gets through, and the mean holds.
    """

    def __init__(self, per_s: float, *, now_s: float) -> None:
        assert per_s > 0, per_s
        self._per_s = per_s
        self._level = per_s
        self._at_s = now_s

    def take(self, amount: float, now_s: float) -> float:
        """0 if it may pass; otherwise the seconds until the bucket is half full, and nothing was taken."""
        if wait_s := self.wait_s(now_s):
            return wait_s
        self._level -= amount
        return 0.0

    def wait_s(self, now_s: float) -> float:
        """0 if anything may pass; otherwise the seconds until the bucket is half full."""
        self._level = min(self._per_s, self._level + max(0.0, now_s - self._at_s) * self._per_s)
        self._at_s = now_s
        return (self._per_s / 2 - self._level) / self._per_s if self._level <= 0 else 0.0


def covers(granted: str, wanted: str) -> bool:
    """Whether every topic that the filter `wanted` matches is matched by `granted` too. Both must have been checked."""
    grant, want = granted.split("/"), wanted.split("/")
    if want[0].startswith("$") and grant[0] in ("+", "#"):
        return False
    for position, level in enumerate(grant):
        if level == "#":
            return True
        if position >= len(want) or want[position] == "#":
            return False
        if level not in ("+", want[position]):  # a wildcard in `wanted` asks for more than one level
            return False
    return len(grant) == len(want)


def owns(identity: str, name: str, granted: Iterable[str] = ()) -> bool:
    """Whether `name` is the identity's: its own name, that name with `.more` behind it, or a granted one."""
    if name == identity or name.startswith(f"{identity}."):
        return True
    return any(name.startswith(one[:-1]) if one.endswith("*") else name == one for one in granted)


@dataclass(slots=True)
class Account:
    """An identity while the hub runs: its open streams and what is left of its rates, shared by all its streams."""

    identity: Identity
    streams: int = 0
    known: bool = True
    """Whether hub.yaml still has it; open streams of one that is gone hold on to its account until they are ended."""
    _may_publish: dict[str, bool] = field(default_factory=dict)
    _bytes: TokenBucket | None = None
    _frames: TokenBucket | None = None

    def why_no_stream(self) -> str:
        """Why it may not open one more stream."""
        limit = self.identity.streams_max
        if limit is None or self.streams < limit:
            return ""
        return f"identity {self.identity.name!r} already has {limit} open streams; raise its limits.streams in hub.yaml"

    def why_no_client(self, name: str) -> str:
        """Why it may not call itself that."""
        return self._why_not_own("client", name, self.identity.producers, "producers")

    def why_no_producer(self, name: str) -> str:
        """Why it may not number frames under that name."""
        return self._why_not_own("producer", name, self.identity.producers, "producers")

    def why_no_durable(self, name: str) -> str:
        """Why it may not use that cursor."""
        return self._why_not_own("durable", name, self.identity.durables, "durables")

    def why_no_publish(self, topic: str) -> str:
        """Why it may not publish there. Asked for every frame."""
        allowed = self._may_publish.get(topic)
        if allowed is None:
            allowed = any(matches(one, topic) for one in self.identity.publish)
            if len(self._may_publish) >= _REMEMBERED_MAX:
                self._may_publish.clear()
            self._may_publish[topic] = allowed
        return "" if allowed else self._not_granted("publish to", topic, "publish", self.identity.publish)

    def why_no_subscribe(self, topic_filter: str) -> str:
        """Why it may not subscribe to that filter: a grant must cover all of it. Its own inbox it may always."""
        if topic_filter.startswith(INBOX) and owns(self.identity.name, topic_filter.split("/")[1]):
            return ""
        if any(covers(one, topic_filter) for one in self.identity.subscribe):
            return ""
        return self._not_granted("subscribe to", topic_filter, "subscribe", self.identity.subscribe)

    def why_no_admin(self) -> str:
        """Why it may not look after the hub."""
        if self.identity.admin:
            return ""
        return f"identity {self.identity.name!r} may not look after this hub; give it admin: true in hub.yaml"

    def why_not(self, claims: Claims) -> str:
        """Why a stream that was opened so may not go on: something of it has been taken from the identity."""
        if not self.known:
            return f"identity {self.identity.name!r} was taken out of hub.yaml"
        reasons = [self.why_no_subscribe(one) for one in claims.filters]
        reasons += [self.why_no_client(claims.client)] if claims.client else []
        reasons += [self.why_no_producer(claims.producer)] if claims.producer else []
        reasons += [self.why_no_durable(claims.durable)] if claims.durable else []
        return next(filter(None, reasons), "")

    def become(self, identity: Identity) -> None:
        """Take new grants and rates; from now on they hold for the open streams too."""
        if identity == self.identity:
            return
        self.identity = identity
        self._may_publish.clear()
        self._bytes = self._frames = None  # new rates begin with a full bucket

    @property
    def has_rate(self) -> bool:
        """Whether what it publishes is counted at all."""
        return self.identity.frames_s_max is not None or self.identity.bytes_s_max is not None

    def wait_s(self, nbytes: int, now_s: float) -> float:
        """0 if a frame of so many bytes may pass now; otherwise the seconds after which to try again."""
        identity = self.identity
        if identity.frames_s_max is not None:
            self._frames = self._frames or TokenBucket(identity.frames_s_max, now_s=now_s)
            if wait_s := self._frames.take(1, now_s):
                return wait_s
        if identity.bytes_s_max is not None:
            self._bytes = self._bytes or TokenBucket(identity.bytes_s_max, now_s=now_s)
            return self._bytes.take(nbytes, now_s)
        return 0.0

    def debt_s(self, now_s: float) -> float:
        """0 if anything may pass now; otherwise as `wait_s`. Takes nothing: for one who comes back too early."""
        buckets = (self._frames, self._bytes)
        return max((bucket.wait_s(now_s) for bucket in buckets if bucket is not None), default=0.0)

    def over_rate(self) -> str:
        """The sentence for a publisher that must wait."""
        identity = self.identity
        rates = [
            f"{limit} {unit}/s"
            for limit, unit in ((identity.frames_s_max, "frames"), (identity.bytes_s_max, "bytes"))
            if limit is not None
        ]
        return f"identity {identity.name!r} brings more than its {' and '.join(rates)}; see its limits in hub.yaml"

    def _why_not_own(self, what: str, name: str, granted: tuple[str, ...], setting: str) -> str:
        identity = self.identity.name
        if owns(identity, name, granted):
            return ""
        return (
            f"identity {identity!r} may not use the {what} name {name!r}; use {identity!r} or one that begins with "
            f"'{identity}.', or add it to the identity's {setting} in hub.yaml"
        )

    def _not_granted(self, verb: str, topic: str, setting: str, granted: tuple[str, ...]) -> str:
        has = f"it has {', '.join(granted)}" if granted else "it has none"
        return f"identity {self.identity.name!r} may not {verb} {topic!r}; add it to its {setting} in hub.yaml ({has})"


class Accounts:
    """All identities of a hub."""

    def __init__(self, identities: Iterable[Identity]) -> None:
        self._accounts = {one.name: Account(one) for one in identities}

    def get(self, name: str) -> Account | None:
        """The account of an identity, if the hub knows it."""
        return self._accounts.get(name)

    def become(self, identities: Iterable[Identity]) -> None:
        """Take a new list: accounts of those that stay keep their count of streams, those that are gone lose all."""
        new = {one.name: one for one in identities}
        for name in self._accounts.keys() - new.keys():
            gone = self._accounts.pop(name)
            gone.known = False
            gone.become(Identity(name))
        for name, identity in new.items():
            if name in self._accounts:
                self._accounts[name].become(identity)
            else:
                self._accounts[name] = Account(identity)
