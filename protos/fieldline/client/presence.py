"""An agent's presence at a hub: joins, says that it lives, joins again after every loss."""

import asyncio
import logging
from typing import Any

import grpc.aio

from fieldline.agent import Agent, AgentInfo
from fieldline.client.backoff import Backoff
from fieldline.client.channel import ATTEND_METHOD, LIST_AGENTS_METHOD, hello
from fieldline.client.link import Link
from fieldline.client.status import ConnectionAged
from fieldline.client.tasks import run_together, stream_error
from fieldline.errors import HubUnavailable, Refused
from fieldline.topics import check_topic
from fieldline.v1 import hub_pb2

__all__ = ["Presence", "list_agents"]

log = logging.getLogger(__name__)

_HEARTBEAT_S_MIN = 0.1


class Presence:
    """Keeps `agent` present at the hub under `name` for as long as `run` does."""

    def __init__(self, link: Link, name: str, agent: Agent, *, backoff: Backoff | None = None) -> None:
        self.joined = False
        """Whether the hub knows of us at this moment."""
        self.joins = 0
        self._link = link
        self._name = name
        self._agent = agent
        self._backoff = backoff or Backoff()
        self._said = False

    async def run(self) -> None:
        """Until cancelled. Raises Refused if the hub will never take this agent.

        A hub that knows no agents is no reason to stop: it is said once, and nobody is told of this one.
        """
        while True:
            try:
                await self._stay()
            except ConnectionAged:
                self._backoff.reset()
            except HubUnavailable as error:
                if self.joined or not self._said:  # once per outage, not once per try
                    log.warning("agent %s is not present at the hub: %s", self._name, error)
                self._said = True
            except Refused as error:
                if error.code != grpc.StatusCode.UNIMPLEMENTED.name:
                    raise
                log.warning("the hub at %s keeps no list of agents; going on without", self._link.address)
                return
            finally:
                self.joined = False
            await asyncio.sleep(self._backoff.next_pause_s())

    async def _stay(self) -> None:
        """From one join to its end; raises HubUnavailable or Refused, never a gRPC error."""
        call = await self._link.open(
            ATTEND_METHOD, hub_pb2.AttendRequest.SerializeToString, hub_pb2.AttendResponse.FromString
        )
        try:
            await call.write(hub_pb2.AttendRequest(join=self._join()))
            answer = await call.read()
            if answer is grpc.aio.EOF:
                raise await stream_error(call)
            self._is_joined()
            interval_s = answer.joined.heartbeat_ms / 1000 or self._agent.heartbeat_s
            await run_together(_until_ended(call), _beat(call, max(interval_s, _HEARTBEAT_S_MIN)))
            raise await stream_error(call)
        except asyncio.InvalidStateError:  # a write met a stream that had just ended
            raise self._link.explain(await stream_error(call)) from None
        except grpc.aio.AioRpcError as error:
            raise self._link.explain(error) from error
        finally:
            call.cancel()

    def _join(self) -> hub_pb2.Join:
        agent = self._agent
        return hub_pb2.Join(
            hello=hello(self._name),
            kind=agent.kind,
            version=agent.version,
            capabilities=agent.capabilities,
            heartbeat_ms=round(agent.heartbeat_s * 1000),
        )

    def _is_joined(self) -> None:
        self.joined = True
        self.joins += 1
        self._backoff.reset()
        if self._said:
            log.info("agent %s is present at the hub", self._name)
            self._said = False


async def _until_ended(call: Any) -> None:
    while await call.read() is not grpc.aio.EOF:
        pass  # a newer hub may have something to say


async def _beat(call: Any, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        await call.write(hub_pb2.AttendRequest(heartbeat=hub_pb2.Heartbeat()))


async def list_agents(link: Link, serving: str, *, timeout_s: float) -> list[AgentInfo]:
    """Who is present at the hub; with `serving` only those that serve this topic."""
    if serving:
        check_topic(serving)
    request = hub_pb2.ListAgentsRequest(serving_topic=serving)
    answer = await link.ask(LIST_AGENTS_METHOD, request, hub_pb2.ListAgentsResponse.FromString, timeout_s=timeout_s)
    return [
        AgentInfo(
            name=one.name,
            kind=one.kind,
            version=one.version,
            capabilities=dict(one.capabilities),
            joined_at_ms=one.joined_at_ms,
            heard_at_ms=one.heard_at_ms,
            filters=tuple(one.filters),
            peer=one.peer,
            identity=one.identity,
            software=one.software,
        )
        for one in answer.agents
    ]
