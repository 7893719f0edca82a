"""What the hub says on $sys/agents, and whom it lists."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from fieldline.v1 import hub_pb2
from fieldline_cloud.hub.core.outlet import Outlet
from fieldline_cloud.hub.core.registry import Joining
from fieldline_cloud.hub.core.window import Window
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc.attend import Attendance
from fieldline_cloud.hub.settings import HubSettings
from fieldline_cloud.hub.subscribers import LiveSubscriber, OpenRequest


class Broker:
    """What Attendance needs of a broker; keeps what was said."""

    def __init__(self, agents_max: int) -> None:
        self.settings = HubSettings.model_validate({"limits": {"agents_max": agents_max}})
        self.said: list[dict[str, Any]] = []
        self.subscribers: set[LiveSubscriber] = set()

    def publish_volatile(self, topic: str, content: bytes) -> None:
        assert topic == "$sys/agents"
        self.said.append(json.loads(content))

    @property
    def events(self) -> list[tuple[str, str]]:
        return [(one["event"], one["name"]) for one in self.said]


class Scene(SimpleNamespace):
    broker: Broker
    attendance: Attendance
    now_s: float


def scene(agents_max: int = 10) -> Scene:
    made = Scene(broker=Broker(agents_max), now_s=100.0)
    made.attendance = Attendance(
        made.broker,  # type: ignore[arg-type]  # as much of a broker as is needed
        now_s=lambda: made.now_s,
        unix_s=lambda: 1_700_000_000 + made.now_s,
    )
    return made


def agent(name: str, **fields: Any) -> Joining:
    given = {"kind": "k", "version": "1", "capabilities": {"c": "ü"}, "heartbeat_s": 1.0, "peer": "ipv4:h:1", **fields}
    return Joining(name, **given)


def subscriber(client: str, *filters: str) -> LiveSubscriber:
    outlet = Outlet(position=0, tail=0, lossy=True, queue_frames_max=1, queue_bytes_max=1, window=Window(1, 1))
    return LiveSubscriber(OpenRequest(client, "ipv4:h:1", filters, 1, 1), outlet)


async def test_who_comes_and_goes_is_said_with_all_that_others_need() -> None:
    at = scene()

    presence = at.attendance.join(agent("a"))
    at.now_s += 1
    at.attendance.leave(presence)

    first = {"name": "a", "kind": "k", "version": "1", "capabilities": {"c": "ü"}}
    assert at.broker.said == [
        {"event": "joined", **first, "at_ms": 1_700_000_100_000},
        {"event": "left", **first, "at_ms": 1_700_000_101_000},
    ]
    assert (at.attendance.statistics.joins, at.attendance.statistics.leaves) == (1, 1)


async def test_who_falls_silent_is_sent_away_and_its_going_is_said_once() -> None:
    at = scene()
    presence = at.attendance.join(agent("a"))
    watching = asyncio.ensure_future(at.attendance.watch())
    sent_away = asyncio.ensure_future(at.attendance.sent_away(presence))
    at.now_s += 3

    at.attendance.leave(at.attendance.join(agent("wakes-the-watch")))

    with pytest.raises(HubRefusal, match=r"agent 'a': nothing heard for 3\.0 s; send a heartbeat every 1 s") as refused:
        await sent_away
    assert refused.value.name == "timed_out"
    watching.cancel()
    at.attendance.leave(presence)
    assert [one for one in at.broker.events if one[1] == "a"] == [("joined", "a"), ("timed_out", "a")]
    assert at.attendance.statistics.timeouts == 1


async def test_a_successor_takes_the_place_and_the_former_stream_is_ended() -> None:
    at = scene()
    former = at.attendance.join(agent("a"))
    at.now_s += 2
    with pytest.raises(HubRefusal) as refused:
        at.attendance.join(agent("a", peer="ipv4:elsewhere:1"))

    at.attendance.join(agent("a", peer="ipv4:h:2"))

    assert refused.value.name == "name_in_use"
    with pytest.raises(HubRefusal):
        await at.attendance.sent_away(former)
    at.attendance.leave(former)
    assert at.broker.events == [("joined", "a"), ("timed_out", "a"), ("joined", "a")]


async def test_one_more_agent_than_may_is_refused() -> None:
    at = scene(agents_max=1)
    at.attendance.join(agent("a"))

    with pytest.raises(HubRefusal, match=r"limits\.agents_max") as refused:
        at.attendance.join(agent("b"))

    assert refused.value.name == "too_many"


async def test_the_list_has_everybody_with_the_filters_that_are_open_under_its_name() -> None:
    at = scene()
    for name in ("a", "b"):
        at.attendance.join(agent(name, identity=f"id-{name}", software="s/1"))
    at.broker.subscribers = {subscriber("b", "y", "x/#"), subscriber("b", "x/#"), subscriber("nobody", "x/#")}
    at.now_s += 1

    everybody = (await at.attendance.answer(hub_pb2.ListAgentsRequest())).agents
    serving = (await at.attendance.answer(hub_pb2.ListAgentsRequest(serving_topic="x/1"))).agents

    assert [(one.name, sorted(one.filters)) for one in everybody] == [("a", []), ("b", ["x/#", "y"])]
    assert [one.name for one in serving] == ["b"]
    assert (serving[0].identity, serving[0].peer, serving[0].software) == ("id-b", "ipv4:h:1", "s/1")
    assert serving[0].joined_at_ms == serving[0].heard_at_ms == 1_700_000_100_000


async def test_a_list_that_fits_no_response_is_refused_with_a_way_out() -> None:
    at = scene(agents_max=1000)
    capabilities = {f"{n:02}": "x" * 254 for n in range(32)}
    for number in range(600):
        at.attendance.join(agent(str(number), capabilities=capabilities))

    with pytest.raises(HubRefusal, match="ask for those that serve one topic"):
        await at.attendance.answer(hub_pb2.ListAgentsRequest())
    assert len((await at.attendance.answer(hub_pb2.ListAgentsRequest(serving_topic="t"))).agents) == 0


async def test_a_long_list_and_a_long_look_let_others_have_their_turn() -> None:
    at = scene(agents_max=2000)
    for number in range(2000):
        at.attendance.join(agent(str(number)))
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    waiting = asyncio.ensure_future(others())
    await at.attendance.answer(hub_pb2.ListAgentsRequest())
    assert turns >= 10
    turns, at.now_s = 0, at.now_s + 4
    watching = asyncio.ensure_future(at.attendance.watch())
    for _ in range(1000):
        await asyncio.sleep(0)
    assert len(at.attendance.registry) == 0
    assert turns >= 10
    assert at.attendance.statistics.timeouts == 2000
    for task in (waiting, watching):
        task.cancel()
