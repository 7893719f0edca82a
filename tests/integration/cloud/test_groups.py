"""Groups, nacks, ack waits and dead letters, through the SDK and a real hub."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from fieldline import Delivery, LimitError, Message, Redelivery, Refused, Runtime, Start, Subscription, partition
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import DEADLINE_S, address, running_hub, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


@pytest.fixture
async def runtime(hub: Hub) -> AsyncIterator[Runtime]:
    async with Runtime(address(hub), name="one") as runtime:
        yield runtime


async def next_of(subscription: Subscription) -> Delivery:
    async with asyncio.timeout(DEADLINE_S):
        found = await subscription.next_delivery()
        assert isinstance(found, Delivery)
        return found


def texts(delivery: Delivery) -> list[str]:
    return [message.text for message in delivery.messages()]


async def test_members_of_a_group_share_the_frames_and_a_key_stays_with_one(hub: Hub, runtime: Runtime) -> None:
    seen: dict[str, list[tuple[str, str]]] = {"one": [], "two": [], "three": []}
    async with Runtime(address(hub), name="two") as two, Runtime(address(hub), name="three") as three:
        for each in (runtime, two, three):

            async def handle(message: Message, name: str = each.name) -> None:
                seen[name].append((message.key, message.text))
                await asyncio.sleep(0)

            await each.subscribe("jobs/#", handle, group="workers")
        for n in range(300):
            await runtime.publish("jobs/x", str(n), key=f"k{n % 10}", stored=n % 30 == 29)
        await until(lambda: sum(map(len, seen.values())) == 300)
    keys = [{key for key, _ in each} for each in seen.values()]
    assert sum(map(len, keys)) == 10, "a key was with two members"
    everything = [pair for each in seen.values() for pair in each]
    for key in (f"k{n}" for n in range(10)):
        assert [int(text) for one, text in everything if one == key] == list(range(int(key[1:]), 300, 10))


async def test_what_a_member_that_leaves_had_goes_to_the_others(hub: Hub, runtime: Runtime) -> None:
    async with (
        runtime.subscribe("jobs", group="g", ack="manual") as stays,
        Runtime(address(hub), name="two") as two,
    ):
        await stays.wait_open()
        async with two.subscribe("jobs", group="g", ack="manual") as leaves:
            await leaves.wait_open()
            for n in range(10):
                await runtime.publish("jobs", str(n), stored=True)
            got = {(await next_of(leaves)).offset for _ in range(5)}
        mine = [await next_of(stays) for _ in range(10)]
        assert {one.offset for one in mine} == set(range(10))
        assert {one.offset for one in mine if one.delivery_count > 1} == got
        for one in mine:
            one.ack()
        await until(lambda: hub.broker.engine.cursors()["g"] == 10)


async def test_a_member_with_other_filters_is_refused(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("a/#", group="g") as first, Runtime(address(hub), name="two") as two:
        await first.wait_open()
        with pytest.raises(Refused, match="must ask for the same"):
            async with two.subscribe("b/#", group="g") as second:
                await second.wait_open(timeout_s=DEADLINE_S)


async def test_a_nack_brings_only_the_messages_that_failed_and_after_its_delay(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("t", durable="d") as messages:
        await messages.wait_open()
        await runtime.publish_batch("t", ["a", "b", "c", "d"], stored=True)
        first = await next_of(messages)
        assert texts(first) == ["a", "b", "c", "d"]
        for message in first.messages():
            if message.text in "bd":
                message.nack(delay_s=0.2, reason="not yet")
        first.ack()
        began = asyncio.get_running_loop().time()
        again = await next_of(messages)
        assert asyncio.get_running_loop().time() - began > 0.15
        assert (texts(again), again.delivery_count, again.only) == (["b", "d"], 2, (1, 3))
        again.messages()[0].nack()
        again.ack()
        last = await next_of(messages)
        assert (texts(last), last.delivery_count) == (["b"], 3)
        last.ack()
        await until(lambda: hub.broker.engine.cursors()["d"] == 1)


async def test_what_is_nacked_survives_a_restart_of_the_hub_with_its_count(tmp_path: Path) -> None:
    async with (
        running_hub(tmp_path) as hub,
        Runtime(address(hub), name="one") as runtime,
        runtime.subscribe("t", durable="d") as messages,
    ):
        await messages.wait_open()
        await runtime.publish_batch("t", ["a", "b"], stored=True)
        (await next_of(messages)).nack()
        again = await next_of(messages)
        again.messages()[1].nack(delay_s=60, reason="later")
        again.ack()
        await until(lambda: hub.broker.engine.durables()["d"].redeliveries)
    async with (
        running_hub(tmp_path) as hub,
        Runtime(address(hub), name="one") as runtime,
        runtime.subscribe("t", durable="d") as messages,
    ):
        third = await next_of(messages)
        assert (texts(third), third.delivery_count) == (["b"], 3)


async def test_what_is_not_settled_in_time_comes_again_unless_it_is_in_progress(hub: Hub, runtime: Runtime) -> None:
    redelivery = Redelivery(ack_wait_s=0.3)
    async with runtime.subscribe("t", durable="d", ack="manual", redelivery=redelivery, frames_max=10) as messages:
        await messages.wait_open()
        for n in range(3):
            await runtime.publish("t", str(n), stored=True)
        first = await next_of(messages)
        for _ in range(4):
            await asyncio.sleep(0.15)
            first.in_progress()
        first.ack()
        second = await next_of(messages)
        assert (texts(second), second.delivery_count) == (["1"], 1), "what waits unread has not had its turn"
        third = await next_of(messages)
        again = [await next_of(messages), await next_of(messages)]
        assert sorted((texts(one)[0], one.delivery_count) for one in again) == [("1", 2), ("2", 2)]
        for one in (second, third):
            one.ack()
        await until(lambda: hub.broker.engine.cursors()["d"] == 3)


async def test_what_fails_too_often_becomes_a_dead_letter_and_can_be_replayed(hub: Hub, runtime: Runtime) -> None:
    async with (
        runtime.subscribe("$dead/d/#") as dead,
        runtime.subscribe("t/x", durable="d", redelivery=Redelivery(deliveries_max=2)) as messages,
    ):
        await dead.wait_open()
        await messages.wait_open()
        await runtime.publish("t/x", "good", headers={"h": "v"})
        await runtime.publish("t/x", "bad", headers={"h": "v"}, stored=True)
        for _ in range(2):
            delivery = await next_of(messages)
            delivery.messages()[-1].nack(reason="cannot")
            delivery.ack()
        letter = await next_of(dead)
        assert letter.topic == "$dead/d/t/x"
        why = letter.dead_letter
        assert why is not None
        assert (why.durable, why.topic, why.deliveries, why.reason, why.offset) == ("d", "t/x", 2, "cannot", 0)
        assert why.messages == (1,)
        assert [(one.text, one.headers) for one in letter.messages()] == [("good", {"h": "v"}), ("bad", {"h": "v"})]
        await until(lambda: hub.broker.engine.cursors()["d"] >= 1)

        letters = await hub.broker.durables.dead_letters("d", 10)
        assert [one.offset for one in letters] == [letter.offset]
        assert await hub.broker.durables.replay_dead("d", []) == 1
        again = await next_of(messages)
        assert (again.topic, texts(again)) == ("t/x", ["bad"])
        again.ack()
        assert await hub.broker.durables.dead_letters("d", 10) == []
        await until(lambda: not hub.broker.engine.durables()["d"].redeliveries)


async def test_a_message_given_up_is_a_dead_letter_at_once_and_others_go_on(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("t", durable="d") as messages:
        await messages.wait_open()
        await runtime.publish("t", "poison", stored=True)
        await runtime.publish("t", "fine", stored=True)
        (await next_of(messages)).nack(give_up=True, reason="poison")
        fine = await next_of(messages)
        assert texts(fine) == ["fine"]
        fine.ack()
        await until(lambda: hub.broker.engine.cursors()["d"] >= 2)
        assert len(await hub.broker.durables.dead_letters("", 10)) == 1
        assert await hub.broker.durables.drop_dead("d", []) == 1
        assert await hub.broker.durables.dead_letters("", 10) == []


async def test_a_handler_that_fails_nacks_its_message_and_goes_on(hub: Hub, runtime: Runtime) -> None:
    seen: list[str] = []

    def handle(message: Message) -> None:
        seen.append(message.text)
        if message.text == "1" and seen.count("1") < 3:
            raise RuntimeError("again, please")

    await runtime.subscribe("t", handle, durable="d", on_error="nack")
    await runtime.publish_batch("t", ["0", "1", "2"], stored=True)
    await until(lambda: seen == ["0", "1", "2", "1", "1"])
    await until(lambda: hub.broker.engine.cursors()["d"] == 1)


async def test_a_durable_and_a_group_at_once_is_a_mistake(runtime: Runtime) -> None:
    with pytest.raises(LimitError, match="give one of the two"):
        runtime.subscribe("t", durable="d", group="g")
    with pytest.raises(LimitError, match="last values"):
        runtime.subscribe("t", durable="d", start=Start.LAST_VALUES)


async def test_two_members_work_off_a_backlog_together(hub: Hub, runtime: Runtime) -> None:
    async with runtime.subscribe("t", group="g") as first:
        await first.wait_open()
    for n in range(2_000):
        await runtime.publish("t", str(n), key=f"k{n % 50}")
    await runtime.flush()
    seen: dict[str, int] = {}
    async with Runtime(address(hub), name="two") as two:
        for each in (runtime, two):

            async def handle(message: Message, name: str = each.name) -> None:
                seen[name] = seen.get(name, 0) + 1
                await asyncio.sleep(0.0005)  # or the first has done it all before the second has come

            await each.subscribe("t", handle, group="g", frames_max=4)
        await until(lambda: sum(seen.values()) == 2_000)
        assert len(seen) == 2
        await until(lambda: hub.broker.durables.desk("g").core.pending == 0)


async def test_keys_of_one_partition_stay_together_where_hub_yaml_says_so(tmp_path: Path) -> None:
    topics = [{"filter": "lots/#", "partitions": 3}]
    seen: dict[str, set[int]] = {}
    async with running_hub(tmp_path, topics=topics) as hub, AsyncExitStack() as stack:
        members = [await stack.enter_async_context(Runtime(address(hub), name=f"m{n}")) for n in range(5)]
        for member in members:

            async def handle(message: Message, name: str = member.name) -> None:
                seen.setdefault(name, set()).add(partition("lots/x", message.key, 3))
                await asyncio.sleep(0)

            await member.subscribe("lots/#", handle, group="g")
        for n in range(300):
            await members[0].publish("lots/x", str(n), key=f"k{n % 60}")
        await members[0].flush()
        await until(lambda: hub.broker.durables.desk("g").core.next_offset == hub.broker.tail)
    lots = [lot for of_one in seen.values() for lot in of_one]
    assert sorted(lots) == [0, 1, 2], "a partition was with two members"
