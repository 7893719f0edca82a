"""The Attend stream: join, then heartbeats, for as long as an agent is present; and who is present."""

import asyncio
import json
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote

import grpc.aio

from fieldline.agent import check_capabilities, check_version
from fieldline.client.tasks import run_together
from fieldline.errors import BadName, BadTopic, LimitError
from fieldline.limits import GRPC_MESSAGE_BYTES_MAX, PROTOCOL_VERSION
from fieldline.topics import check_name, check_topic
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.broker import Broker
from fieldline_cloud.hub.core.access import TokenBucket
from fieldline_cloud.hub.core.registry import Joining, NameInUse, Presence, Registry, RegistryFull, heartbeat_s
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.gate import Caller
from fieldline_cloud.hub.rpc.publish import check_hello

__all__ = ["AGENTS_TOPIC", "AttendStream", "Attendance", "AttendanceStatistics"]

log = logging.getLogger(__name__)

AGENTS_TOPIC: Final = "$sys/agents"
# The shortest interval is half a second; whoever sends ten times as many heartbeats keeps the hub busy for nothing.
_HEARTBEATS_S_MAX: Final = 20.0
# How many agents are looked at before others have their turn: about a millisecond.
_AT_ONCE: Final = 200
# Beside the agents themselves a response holds little else.
_RESPONSE_BYTES_MAX: Final = GRPC_MESSAGE_BYTES_MAX - 1024


@dataclass(slots=True)
class AttendanceStatistics:
    """Counters since the start."""

    joins: int = 0
    leaves: int = 0
    timeouts: int = 0
    """Agents that fell silent, and those whose successor took their place."""


class Attendance:
    """Who is present at a hub: keeps the registry, and says on `$sys/agents` who comes and goes."""

    def __init__(
        self, broker: Broker, *, now_s: Callable[[], float] = time.monotonic, unix_s: Callable[[], float] = time.time
    ) -> None:
        self.registry = Registry(broker.settings.limits.agents_max)
        self.statistics = AttendanceStatistics()
        self.now_s = now_s
        self._unix_s = unix_s
        self._broker = broker
        self._sent_away: dict[Presence, asyncio.Future[HubRefusal]] = {}
        self._changed = asyncio.Event()

    def join(self, agent: Joining) -> Presence:
        """Let it in. Raises HubRefusal."""
        try:
            presence, former = self.registry.join(agent, self.now_s())
        except NameInUse as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_NAME_IN_USE, str(error)) from error
        except RegistryFull as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_TOO_MANY, str(error)) from error
        if former is not None:
            self._time_out(former)
        self._sent_away[presence] = asyncio.get_running_loop().create_future()
        self.statistics.joins += 1
        self._tell("joined", agent)
        self._changed.set()
        return presence

    def leave(self, presence: Presence) -> None:
        """Its stream has ended, however that came."""
        del self._sent_away[presence]
        if self.registry.leave(presence):
            self.statistics.leaves += 1
            self._tell("left", presence.agent)

    async def sent_away(self, presence: Presence) -> None:
        """Raise the HubRefusal with which this agent has to go, once it has to."""
        raise await self._sent_away[presence]

    async def watch(self) -> None:
        """Send away who has fallen silent, until cancelled."""
        while True:
            for presence in self.registry.overdue(self.now_s(), looks_max=_AT_ONCE):
                self._time_out(presence)
            await asyncio.sleep(0)
            deadline_s = self.registry.next_deadline_s
            self._changed.clear()
            try:
                async with asyncio.timeout(None if deadline_s is None else max(0.0, deadline_s - self.now_s())):
                    await self._changed.wait()
            except TimeoutError:
                pass  # somebody may be overdue

    async def answer(self, request: hub_pb2.ListAgentsRequest) -> hub_pb2.ListAgentsResponse:
        """Who is present, or who serves a topic. Raises HubRefusal for no topic, and where it fits no response.

        Others have their turn meanwhile, so who comes or goes while it is made may be in it or not.
        """
        serving_topic = _topic(request.serving_topic) if request.serving_topic else ""
        filters = self._filters()
        answer = hub_pb2.ListAgentsResponse()
        size = 0
        for number, presence in enumerate(self.registry.present):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            own = filters.get(presence.agent.name, {})
            if serving_topic and not presence.serves(serving_topic, own):
                continue
            size += answer.agents.add(**self._info(presence, own)).ByteSize() + 8
            if size > _RESPONSE_BYTES_MAX:
                raise HubRefusal(
                    hub_pb2.ERROR_CODE_FRAME_TOO_LARGE,
                    f"what {len(self.registry)} agents say of themselves is over {_RESPONSE_BYTES_MAX} bytes; ask for "
                    "those that serve one topic",
                )
        return answer

    def _time_out(self, presence: Presence) -> None:
        agent = presence.agent
        self.statistics.timeouts += 1
        self._tell("timed_out", agent)
        silent_s = self.now_s() - presence.heard_s
        refusal = HubRefusal(
            hub_pb2.ERROR_CODE_TIMED_OUT,
            f"agent {agent.name!r}: nothing heard for {silent_s:.1f} s; send a heartbeat every {agent.heartbeat_s:g} s",
        )
        sent_away = self._sent_away.get(presence)
        if sent_away is not None and not sent_away.done():
            sent_away.set_result(refusal)

    def _tell(self, event: str, agent: Joining) -> None:
        word = {
            "event": event,
            "name": agent.name,
            "kind": agent.kind,
            "version": agent.version,
            "capabilities": dict(agent.capabilities),
            "at_ms": round(self._unix_s() * 1000),
        }
        self._broker.publish_volatile(AGENTS_TOPIC, json.dumps(word, ensure_ascii=False).encode())

    def _filters(self) -> Mapping[str, dict[str, None]]:
        """The filters that are open under each client's name."""
        found: dict[str, dict[str, None]] = defaultdict(dict)
        for subscriber in self._broker.subscribers:
            found[subscriber.client].update(dict.fromkeys(subscriber.filters))
        return found

    def _info(self, presence: Presence, filters: Iterable[str]) -> dict[str, Any]:
        agent = presence.agent
        ahead_s = self._unix_s() - self.now_s()
        return {
            "name": agent.name,
            "kind": agent.kind,
            "version": agent.version,
            "capabilities": agent.capabilities,
            "joined_at_ms": round((presence.joined_s + ahead_s) * 1000),
            "heard_at_ms": round((presence.heard_s + ahead_s) * 1000),
            "filters": list(filters),
            "peer": agent.peer,
            "identity": agent.identity,
            "software": agent.software,
        }


class AttendStream:
    """One agent, from its join to its end. `caller` is who opened the stream."""

    def __init__(self, attendance: Attendance, context: Any, caller: Caller) -> None:
        self._attendance = attendance
        self._context = context
        self._caller = caller

    async def run(self, first: Any) -> None:
        """With its first request, until the agent leaves or is refused (HubRefusal)."""
        if first.WhichOneof("kind") != "join":
            raise HubRefusal.protocol("the first message of an attend stream must be its join")
        attendance = self._attendance
        agent = self._check(first.join)
        presence = attendance.join(agent)
        try:
            joined = hub_pb2.Joined(protocol=PROTOCOL_VERSION, heartbeat_ms=round(agent.heartbeat_s * 1000))
            await self._context.write(hub_pb2.AttendResponse(joined=joined))
            await run_together(attendance.sent_away(presence), self._receive(presence))
        finally:
            attendance.leave(presence)

    def _check(self, join: hub_pb2.Join) -> Joining:
        check_hello(join.hello, self._caller.account)
        try:
            check_name(join.kind, "agent kind")
            check_version(join.version)
            check_capabilities(join.capabilities)
        except BadName as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_NAME, str(error)) from error
        except BadTopic as error:
            raise HubRefusal(hub_pb2.ERROR_CODE_BAD_FILTER, f"capability 'serves': {error}") from error
        except LimitError as error:
            raise HubRefusal.protocol(str(error)) from error
        return Joining(
            name=join.hello.name,
            kind=join.kind,
            version=join.version,
            capabilities=dict(join.capabilities),
            heartbeat_s=heartbeat_s(join.heartbeat_ms),
            peer=unquote(self._context.peer()),
            identity=self._caller.name,
            software=join.hello.software[:128],
        )

    async def _receive(self, presence: Presence) -> None:
        attendance = self._attendance
        rate = TokenBucket(_HEARTBEATS_S_MAX, now_s=attendance.now_s())
        while (request := await self._context.read()) is not grpc.aio.EOF:
            if request.WhichOneof("kind") != "heartbeat":
                raise HubRefusal.protocol("an agent joins once; after it only heartbeats may follow")
            now_s = attendance.now_s()
            if wait_s := rate.take(1, now_s):
                raise HubRefusal.rate_limited(
                    f"more than {_HEARTBEATS_S_MAX:g} heartbeats a second; one every {presence.agent.heartbeat_s:g} s "
                    "is enough",
                    wait_s,
                )
            attendance.registry.heard(presence, now_s)


def _topic(topic: str) -> str:
    try:
        return check_topic(topic)
    except BadTopic as error:
        raise HubRefusal(hub_pb2.ERROR_CODE_BAD_TOPIC, str(error)) from error
