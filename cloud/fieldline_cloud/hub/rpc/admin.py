"""The Admin service: what the hub holds, and putting it right.

Every answer is written piece by piece, each when the one before has gone; a caller that reads nothing for a minute is
sent away. So a slow reader costs one list in memory, or one piece of a backup, and nobody else's time.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf import text_format
from google.protobuf.message import Message

from fieldline.errors import BadName, BadTopic
from fieldline.topics import check_filter, check_name
from fieldline.v1 import admin_pb2, hub_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.overview import dead_letter_report, subscription_reports, topic_reports
from fieldline_cloud.hub.reports import DeadLetterReport, SubscriptionReport, TopicReport
from fieldline_cloud.hub.rpc.gate import Caller

__all__ = ["ADMIN_SERVICE", "AdminService"]

audit = logging.getLogger("fieldline.audit")

ADMIN_SERVICE: Final = "fieldline.v1.Admin"

_LETTERS: Final = 1_000
_LETTERS_MAX: Final = 10_000
_PIECE_BYTES_MAX: Final = 1 << 20
_STALLED_S: Final = 60.0
_INT64_MAX: Final = (1 << 63) - 1

Serve = Callable[[Callable[[Caller], Awaitable[Any]], Any], Awaitable[Any]]
"""Runs one call for whoever is admitted, and turns refusals into their status."""


@dataclass(frozen=True, slots=True)
class _Method:
    """`answers` yields the responses: any number, or exactly one where the method does not stream."""

    request: type[Message]
    answers: Callable[[Any], AsyncGenerator[Message, None]]
    streams: bool = True
    is_noted: bool = False
    """Whether a call of it leaves a line in the audit log."""


class AdminService:
    """Serves one broker's insides; `serve` lets callers in."""

    def __init__(self, broker: Broker, serve: Serve, *, stalled_s: float = _STALLED_S) -> None:
        self._broker = broker
        self._serve = serve
        self._stalled_s = stalled_s
        self._backing_up = False
        dead = admin_pb2.DeadLettersRequest
        self._methods = {
            "ListTopics": _Method(admin_pb2.ListTopicsRequest, self._topics),
            "ListSubscriptions": _Method(admin_pb2.ListSubscriptionsRequest, self._subscriptions),
            "DeleteDurable": _Method(admin_pb2.DeleteDurableRequest, self._delete, streams=False, is_noted=True),
            "ListDeadLetters": _Method(admin_pb2.ListDeadLettersRequest, self._dead_letters),
            "ReplayDeadLetters": _Method(dead, self._replay, streams=False, is_noted=True),
            "DropDeadLetters": _Method(dead, self._drop, streams=False, is_noted=True),
            "Purge": _Method(admin_pb2.PurgeRequest, self._purge, streams=False, is_noted=True),
            "Backup": _Method(admin_pb2.BackupRequest, self._backup, is_noted=True),
        }
        self.calls = dict.fromkeys(self._methods, 0)
        """Calls that were let in, by method."""

    def handler(self) -> grpc.GenericRpcHandler:
        """What the gRPC server registers. Requests come as bytes: one that cannot be read is refused by us."""
        return grpc.method_handlers_generic_handler(
            ADMIN_SERVICE,
            {
                name: grpc.unary_stream_rpc_method_handler(partial(self._stream, name))
                if method.streams
                else grpc.unary_unary_rpc_method_handler(partial(self._unary, name))
                for name, method in self._methods.items()
            },
        )

    async def _stream(self, name: str, data: bytes, context: Any) -> None:
        async def run(caller: Caller) -> None:
            async with aclosing(self._answers(name, data, caller, context)) as answers:
                async for answer in answers:
                    await self._write(answer.SerializeToString(), context)

        await self._serve(run, context)

    async def _unary(self, name: str, data: bytes, context: Any) -> bytes:
        async def run(caller: Caller) -> bytes:
            (answer,) = [one async for one in self._answers(name, data, caller, context)]
            return answer.SerializeToString()

        answer: bytes = await self._serve(run, context)
        return answer

    def _answers(self, name: str, data: bytes, caller: Caller, context: Any) -> AsyncGenerator[Message, None]:
        """What a call is answered with. Raises HubRefusal for a caller that may not, ProtobufDecodeError."""
        if caller.account is not None and (why := caller.account.why_no_admin()):
            raise HubRefusal.denied(why)
        method = self._methods[name]
        request = method.request.FromString(data)
        self.calls[name] += 1
        if method.is_noted:
            said = text_format.MessageToString(request, as_one_line=True)[:500]
            fields = {"identity": caller.name, "peer": context.peer(), "request": said}
            audit.info("admin call: %s", name, extra=fields)
        return method.answers(request)

    async def _write(self, data: bytes, context: Any) -> None:
        try:
            async with asyncio.timeout(self._stalled_s):
                await context.write(data)
        except TimeoutError:
            raise HubRefusal(
                hub_pb2.ERROR_CODE_TIMED_OUT, f"nothing was read for {self._stalled_s:g} s; ask again, and read on"
            ) from None

    async def _topics(self, request: admin_pb2.ListTopicsRequest) -> AsyncGenerator[Message, None]:
        for report in topic_reports(self._broker, _filter(request.filter) if request.filter else ""):
            yield _topic_info(report)

    async def _subscriptions(self, request: admin_pb2.ListSubscriptionsRequest) -> AsyncGenerator[Message, None]:
        for report in subscription_reports(self._broker, only_durable=request.only_durable):
            yield _subscription_info(report)

    async def _delete(self, request: admin_pb2.DeleteDurableRequest) -> AsyncGenerator[Message, None]:
        await self._broker.durables.delete(_durable(request.durable))
        yield admin_pb2.DeleteDurableResponse()

    async def _dead_letters(self, request: admin_pb2.ListDeadLettersRequest) -> AsyncGenerator[Message, None]:
        durable = _durable(request.durable) if request.durable else ""
        limit = request.limit or _LETTERS
        if limit > _LETTERS_MAX:
            raise HubRefusal.protocol(f"limit {limit} is over {_LETTERS_MAX} dead letters; replay or drop some first")
        for record in await self._broker.durables.dead_letters(durable, limit):
            yield _dead_letter_info(dead_letter_report(record))

    async def _replay(self, request: admin_pb2.DeadLettersRequest) -> AsyncGenerator[Message, None]:
        letters = await self._broker.durables.replay_dead(_durable(request.durable), _offsets(request.offsets))
        yield admin_pb2.DeadLettersResponse(letters=letters)

    async def _drop(self, request: admin_pb2.DeadLettersRequest) -> AsyncGenerator[Message, None]:
        letters = await self._broker.durables.drop_dead(_durable(request.durable), _offsets(request.offsets))
        yield admin_pb2.DeadLettersResponse(letters=letters)

    async def _purge(self, request: admin_pb2.PurgeRequest) -> AsyncGenerator[Message, None]:
        topic_filter = _filter(request.filter)
        if request.before_ms < 0:
            raise HubRefusal.protocol(f"before_ms {request.before_ms} is before 1970; give a Unix time in ms, or 0")
        (below,) = _offsets([request.below_offset])
        topics, below_offset = await self._broker.purge(topic_filter, below, request.before_ms)
        yield admin_pb2.PurgeResponse(topics=topics, below_offset=below_offset)

    async def _backup(self, _: admin_pb2.BackupRequest) -> AsyncGenerator[Message, None]:
        if self._backing_up:
            raise HubRefusal(hub_pb2.ERROR_CODE_TOO_MANY, "a backup is under way; wait for its end")
        self._backing_up = True
        try:
            async with aclosing(_in_thread(self._broker.engine.backup)) as pieces:
                async for piece in pieces:
                    for begin in range(0, len(piece), _PIECE_BYTES_MAX):
                        yield admin_pb2.BackupPiece(data=piece[begin : begin + _PIECE_BYTES_MAX])
        finally:
            self._backing_up = False


async def _in_thread(begin: Callable[[], Iterator[bytes]]) -> AsyncGenerator[bytes, None]:
    """What a blocking iterator yields, from a thread of its own: never more than one piece ahead of who reads it."""
    loop = asyncio.get_running_loop()
    executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="hub-backup")
    try:
        pieces = await loop.run_in_executor(executor, begin)
        try:
            while piece := await loop.run_in_executor(executor, next, pieces, b""):
                yield piece
        finally:  # in the same thread, so behind a piece that is still being read
            await loop.run_in_executor(executor, _close, pieces)
    finally:
        executor.shutdown(wait=False)


def _close(pieces: Iterator[bytes]) -> None:
    if isinstance(pieces, Generator):
        pieces.close()


def _filter(topic_filter: str) -> str:
    try:
        return check_filter(topic_filter)
    except BadTopic as error:
        raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FILTER, str(error)) from error


def _durable(name: str) -> str:
    try:
        return check_name(name, "durable")
    except BadName as error:
        raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error


def _offsets(offsets: Sequence[int]) -> list[int]:
    if len(offsets) > _LETTERS_MAX:
        raise HubRefusal.protocol(f"{len(offsets)} offsets in one call; at most {_LETTERS_MAX}, send them in parts")
    for offset in offsets:
        if offset > _INT64_MAX:
            raise HubRefusal.protocol(f"offset {offset} is over {_INT64_MAX}; no log has that many")
    return sorted(set(offsets))


def _topic_info(report: TopicReport) -> admin_pb2.TopicInfo:
    return admin_pb2.TopicInfo(
        topic=report.topic,
        last_offset=report.last_offset or 0,
        has_last=report.last_offset is not None,
        policy=report.policy,
        frames=report.frames,
        bytes=report.bytes,
        partitions=report.partitions,
        durable=report.durable,
        subscribers=report.subscribers,
    )


def _subscription_info(report: SubscriptionReport) -> admin_pb2.SubscriptionInfo:
    info = admin_pb2.SubscriptionInfo(
        durable=report.durable,
        filters=report.filters,
        next_offset=report.next_offset,
        end_offset=report.end_offset,
        pending=report.pending,
        redelivered=report.redelivered,
        dead=report.dead,
        behind=report.behind,
        missed_frames=report.missed_frames,
        members=[
            admin_pb2.MemberInfo(
                client=one.client, peer=one.peer, pending=one.pending, queued=one.queued, since_ms=one.since_ms
            )
            for one in report.members
        ],
    )
    if (options := report.options) is not None:
        info.options.CopyFrom(
            hub_pb2.DurableOptions(
                group=options.group,
                ack_wait_ms=options.ack_wait_ms,
                deliveries_max=options.deliveries_max,
                backoff_ms=options.backoff_ms,
                hold=options.hold,
                pending_max=options.pending_max,
            )
        )
    return info


def _dead_letter_info(report: DeadLetterReport) -> admin_pb2.DeadLetterInfo:
    return admin_pb2.DeadLetterInfo(
        offset=report.offset,
        topic=report.topic,
        dead_letter=hub_pb2.DeadLetter(
            durable=report.durable,
            reason=report.reason,
            deliveries=report.deliveries,
            offset=report.original_offset,
            producer=report.producer,
            epoch=report.epoch,
            sequence=report.sequence,
            messages=report.messages,
            topic=report.topic,
        ),
        stored_at_ms=report.stored_at_ms,
        count=report.count,
        bytes=report.bytes,
    )
