"""Looking after a hub: what it holds, and putting it right."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any, Self, TypeVar

from google.protobuf.message import Message

from fieldline.access import Access, Tls
from fieldline.agent import AgentInfo
from fieldline.client.channel import ADMIN_SERVICE
from fieldline.client.link import Link
from fieldline.client.presence import list_agents
from fieldline.errors import HubUnavailable
from fieldline.looking_after import DeadLetterInfo, MemberInfo, Purged, SubscriptionInfo, TopicInfo
from fieldline.topics import check_filter, check_name
from fieldline.v1 import admin_pb2

__all__ = ["AdminClient"]

_M = TypeVar("_M", bound=Message)


class AdminClient:
    """A connection to the Admin service of the hub at `address`, used as an async context manager.

    Where hub.yaml has `auth`, only identities with `admin: true` may use it (and everybody `agents`). `timeout_s` is
    how long one answer may take; lists come piece by piece, at the pace they are read. Every method raises
    HubUnavailable or Refused; BadName or BadTopic for what no hub would take.
    """

    def __init__(
        self,
        address: str = "127.0.0.1:50051",
        *,
        tls: Tls | None = None,
        token: str = "",
        timeout_s: float = 30.0,
        connect_timeout_s: float | None = None,
    ) -> None:
        self.address = address
        self._access = Access(tls, token)
        self._timeout_s = timeout_s
        self._connect_timeout_s = connect_timeout_s
        self._link: Link | None = None

    async def __aenter__(self) -> Self:
        """Connect with the first call; with `connect_timeout_s`, raise HubUnavailable if no hub answers in that time.

        Raises ConfigError if a file of `tls` cannot be used.
        """
        self._link = link = Link(self.address, self._access)
        if self._connect_timeout_s is not None:
            try:
                await link.reach(self._connect_timeout_s)
            except HubUnavailable:
                await link.close()
                raise
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._link is not None:
            await self._link.close()
            self._link = None

    async def topics(self, topic_filter: str = "") -> AsyncGenerator[TopicInfo, None]:
        """The topics that match; empty: all, those under `$` too."""
        request = admin_pb2.ListTopicsRequest(filter=check_filter(topic_filter) if topic_filter else "")
        async with aclosing(self._ask_many("ListTopics", request, admin_pb2.TopicInfo)) as answers:
            async for one in answers:
                yield _topic(one)

    async def subscriptions(self, *, only_durable: bool = False) -> AsyncGenerator[SubscriptionInfo, None]:
        """Durable subscriptions, held or not, and live ones that are open."""
        request = admin_pb2.ListSubscriptionsRequest(only_durable=only_durable)
        async with aclosing(self._ask_many("ListSubscriptions", request, admin_pb2.SubscriptionInfo)) as answers:
            async for one in answers:
                yield _subscription(one)

    async def delete_durable(self, durable: str) -> None:
        """Forget a durable subscription with its cursor. Refused while somebody holds it."""
        request = admin_pb2.DeleteDurableRequest(durable=check_name(durable, "durable"))
        await self._ask("DeleteDurable", request, admin_pb2.DeleteDurableResponse)

    async def agents(self, serving: str = "") -> list[AgentInfo]:
        """The agents that are present; with `serving` only those that serve this topic."""
        return await list_agents(self._open_link(), serving, timeout_s=self._timeout_s)

    async def dead_letters(self, durable: str = "", *, limit: int = 1_000) -> AsyncGenerator[DeadLetterInfo, None]:
        """The dead letters of a durable (empty: of all), at most `limit` of 10,000."""
        name = check_name(durable, "durable") if durable else ""
        request = admin_pb2.ListDeadLettersRequest(durable=name, limit=limit)
        async with aclosing(self._ask_many("ListDeadLetters", request, admin_pb2.DeadLetterInfo)) as answers:
            async for one in answers:
                yield _dead_letter(one)

    async def replay(self, durable: str, offsets: Sequence[int] | None = None) -> int:
        """Have dead letters delivered again, to that durable alone. None: all of them. Returns how many."""
        return await self._letters("ReplayDeadLetters", durable, offsets)

    async def drop(self, durable: str, offsets: Sequence[int] | None = None) -> int:
        """Take dead letters off the list (None: all of them). The log keeps them as long as retention does."""
        return await self._letters("DropDeadLetters", durable, offsets)

    async def purge(self, topic_filter: str, *, below_offset: int = 0, before_ms: int = 0) -> Purged:
        """Forget frames: those of matching topics, below an offset (0: all), stored before a time (0: whenever).

        They are gone for every reader at once; the disk gets its space back with retention.
        """
        request = admin_pb2.PurgeRequest(
            filter=check_filter(topic_filter), below_offset=below_offset, before_ms=before_ms
        )
        answer = await self._ask("Purge", request, admin_pb2.PurgeResponse)
        return Purged(answer.topics, answer.below_offset)

    async def backup(self) -> AsyncGenerator[bytes, None]:
        """The log as of this moment: the pieces of a tar file, in order."""
        request = admin_pb2.BackupRequest()
        async with aclosing(self._ask_many("Backup", request, admin_pb2.BackupPiece)) as answers:
            async for one in answers:
                yield one.data

    async def _letters(self, method: str, durable: str, offsets: Sequence[int] | None) -> int:
        if offsets is not None and not offsets:
            return 0  # to the hub an empty list means all
        request = admin_pb2.DeadLettersRequest(durable=check_name(durable, "durable"), offsets=offsets or ())
        return (await self._ask(method, request, admin_pb2.DeadLettersResponse)).letters

    async def _ask(self, method: str, request: Message, answer: type[_M]) -> _M:
        path = f"{ADMIN_SERVICE}/{method}"
        return await self._open_link().ask(path, request, _reader(answer), timeout_s=self._timeout_s)

    def _ask_many(self, method: str, request: Message, answer: type[_M]) -> AsyncGenerator[_M, None]:
        return self._open_link().ask_many(f"{ADMIN_SERVICE}/{method}", request, _reader(answer))

    def _open_link(self) -> Link:
        assert self._link is not None, "use the client inside its 'async with'"
        return self._link


def _reader(answer: type[_M]) -> Callable[[bytes], _M]:
    read: Any = answer.FromString
    return read  # type: ignore[no-any-return]  # FromString's own type knows Message alone


def _topic(one: admin_pb2.TopicInfo) -> TopicInfo:
    return TopicInfo(
        topic=one.topic,
        last_offset=one.last_offset if one.has_last else None,
        policy=one.policy,
        frames=one.frames,
        bytes=one.bytes,
        partitions=one.partitions,
        durable=one.durable,
        subscribers=one.subscribers,
    )


def _subscription(one: admin_pb2.SubscriptionInfo) -> SubscriptionInfo:
    options = one.options
    return SubscriptionInfo(
        durable=one.durable,
        filters=tuple(one.filters),
        next_offset=one.next_offset,
        end_offset=one.end_offset,
        pending=one.pending,
        redelivered=one.redelivered,
        dead=one.dead,
        behind=one.behind,
        missed_frames=one.missed_frames,
        members=tuple(MemberInfo(m.client, m.peer, m.pending, m.queued, m.since_ms) for m in one.members),
        group=options.group,
        ack_wait_ms=options.ack_wait_ms,
        deliveries_max=options.deliveries_max,
        backoff_ms=tuple(options.backoff_ms),
        hold=options.hold,
        pending_max=options.pending_max,
    )


def _dead_letter(one: admin_pb2.DeadLetterInfo) -> DeadLetterInfo:
    what = one.dead_letter
    return DeadLetterInfo(
        offset=one.offset,
        topic=one.topic,
        durable=what.durable,
        reason=what.reason,
        deliveries=what.deliveries,
        original_offset=what.offset,
        producer=what.producer,
        epoch=what.epoch,
        sequence=what.sequence,
        messages=tuple(what.messages),
        stored_at_ms=one.stored_at_ms,
        count=one.count,
        bytes=one.bytes,
    )
