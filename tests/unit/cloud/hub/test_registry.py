"""Who is present: joining, heartbeats, silence, succession."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fieldline_cloud.hub.core.registry import Joining, NameInUse, Registry, RegistryFull, heartbeat_s


def agent(name: str = "a", **fields: Any) -> Joining:
    given = {"kind": "k", "version": "1", "capabilities": {}, "heartbeat_s": 1.0, "peer": "ipv4:10.0.0.1:5", **fields}
    return Joining(name, **given)


def names(registry: Registry) -> list[str]:
    return [one.agent.name for one in registry.present]


def test_an_agent_is_present_from_joining_to_leaving() -> None:
    registry = Registry(10)

    presence, former = registry.join(agent("a"), 0.0)
    assert (names(registry), former) == (["a"], None)

    assert registry.leave(presence)
    assert names(registry) == []
    assert not registry.leave(presence)


def test_a_name_that_is_present_is_in_use() -> None:
    registry = Registry(10)
    registry.join(agent("a"), 0.0)

    with pytest.raises(
        NameInUse, match=r"agent 'a' is present already, from ipv4:10\.0\.0\.1:5; give this one another"
    ):
        registry.join(agent("a"), 1.4)


@pytest.mark.parametrize(
    ("former", "latter", "takes_over"),
    [
        ({}, {"peer": "ipv4:10.0.0.1:9"}, True),
        ({}, {"peer": "ipv4:10.0.0.2:5"}, False),
        ({"identity": "x"}, {"identity": "x", "peer": "ipv4:10.0.0.2:5"}, True),
        ({"identity": "x"}, {"identity": "y"}, False),
        ({"identity": "x"}, {"identity": ""}, False),
    ],
)
def test_only_its_own_successor_takes_the_place_of_a_stale_agent(
    former: dict[str, str], latter: dict[str, str], takes_over: bool
) -> None:
    registry = Registry(1)
    first, _ = registry.join(agent("a", **former), 0.0)

    if not takes_over:
        with pytest.raises(NameInUse):
            registry.join(agent("a", **latter), 1.6)
        return
    second, replaced = registry.join(agent("a", **latter), 1.6)
    assert replaced is first
    assert first.ended
    assert not registry.leave(first)  # its stream ends later, and takes nobody else along
    assert registry.present == (second,)


def test_no_more_agents_join_than_may() -> None:
    registry = Registry(2)
    registry.join(agent("a"), 0.0)
    second, _ = registry.join(agent("b"), 0.0)

    with pytest.raises(RegistryFull, match=r"already has 2 agents; raise limits\.agents_max in hub\.yaml"):
        registry.join(agent("c"), 0.0)

    registry.leave(second)
    registry.join(agent("c"), 0.0)
    assert names(registry) == ["a", "c"]


def test_three_missed_intervals_are_too_many() -> None:
    registry = Registry(10)
    quick, _ = registry.join(agent("quick", heartbeat_s=1.0), 0.0)
    slow, _ = registry.join(agent("slow", heartbeat_s=10.0), 0.0)
    assert registry.next_deadline_s == 3.0

    registry.heard(quick, 2.9)
    assert registry.overdue(3.0) == []
    assert registry.next_deadline_s == pytest.approx(5.9)

    assert registry.overdue(5.9) == [quick]
    assert names(registry) == ["slow"]
    assert registry.overdue(29.9) == []
    assert registry.overdue(30.0) == [slow]
    assert registry.next_deadline_s is None


def test_a_look_may_be_cut_short_and_is_gone_on_with() -> None:
    registry = Registry(10)
    for name in "abc":
        registry.join(agent(name), 0.0)

    assert [one.agent.name for one in registry.overdue(3.0, looks_max=2)] == ["a", "b"]
    assert registry.next_deadline_s == 3.0
    assert [one.agent.name for one in registry.overdue(3.0, looks_max=2)] == ["c"]


def test_who_serves_a_topic_is_known_from_subscriptions_or_from_what_the_agent_says() -> None:
    registry = Registry(10)
    says, _ = registry.join(agent("says", capabilities={"serves": "jobs/+"}), 0.0)
    reads, _ = registry.join(agent("reads"), 0.0)

    assert says.serves("jobs/a", [])
    assert not says.serves("jobs/a/b", [])
    assert reads.serves("jobs/a/b", ["x", "jobs/#"])
    assert not reads.serves("jobs/a", [])


@pytest.mark.parametrize(("asked_ms", "given_s"), [(0, 5.0), (1, 0.5), (500, 0.5), (7000, 7.0), (1 << 31, 60.0)])
def test_the_heartbeat_is_kept_within_its_bounds(asked_ms: int, given_s: float) -> None:
    assert heartbeat_s(asked_ms) == given_s


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["join", "heard", "leave", "wait"]), st.integers(0, 4), st.floats(0, 4, allow_nan=False)
        ),
        max_size=80,
    )
)
def test_whatever_happens_nobody_is_forgotten_and_nobody_silent_stays(steps: list[tuple[str, int, float]]) -> None:
    registry, now_s = Registry(4), 0.0
    heard: dict[str, float] = {}
    for what, number, seconds in steps:
        name = str(number)
        now_s += seconds
        for one in registry.overdue(now_s):
            assert now_s - heard.pop(one.agent.name) >= 3.0 - 1e-6  # sums of floats
        at = {one.agent.name: one for one in registry.present}
        assert set(at) == set(heard)
        assert all(now_s - heard_s < 3.0 for heard_s in heard.values())
        if what == "join" and name not in heard and len(heard) < 4:
            registry.join(agent(name), now_s)
            heard[name] = now_s
        elif what == "heard" and name in heard:
            registry.heard(at[name], now_s)
            heard[name] = now_s
        elif what == "leave" and name in heard:
            registry.leave(at[name])
            del heard[name]


def test_agents_that_come_and_go_leave_nothing_behind() -> None:
    registry = Registry(10)
    for index in range(10_000):
        presence, _ = registry.join(agent("a", heartbeat_s=60.0), float(index))
        registry.leave(presence)

    assert len(registry._deadlines) < 200
