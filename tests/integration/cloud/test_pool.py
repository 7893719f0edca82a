"""A pool of runtimes against a real hub: order per key, idle connections closed, one broken, the others go on."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from fieldline import BadName, Closed, Coalescing, Handled, LimitError, Reading, Refused, Runtime, RuntimePool, Start
from fieldline.testing import HubProcess
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import DEADLINE_S, address, running_hub, until


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path) as hub:
        yield hub


async def read_back(where: str, count: int) -> dict[tuple[str, str], list[tuple[str, int]]]:
    """(producer, number) of everything stored, by topic and key, in log order."""
    found: dict[tuple[str, str], list[tuple[str, int]]] = {}
    async with Runtime(where, name="reader") as reader, reader.subscribe("#", start=Start.EARLIEST) as messages:
        async for message in messages:
            number = int(message.text)
            found.setdefault((message.topic, message.key), []).append((message.delivery.producer, number))
            count -= 1
            if not count:
                return found
    raise AssertionError("the subscription ended")


async def test_nothing_is_connected_before_it_is_needed_and_everything_is_stored_when_it_closes(hub: Hub) -> None:
    async with RuntimePool(address(hub), name="pool", size=3) as pool:
        assert pool.statistics().open == 0
        await pool.publish("t", "0", stored=True)
        assert pool.statistics().open == 1
        await pool.publish_batch("t", ["1", "2"])
    assert {key: [n for _, n in found] for key, found in (await read_back(address(hub), 3)).items()} == {
        ("t", ""): [0, 1, 2]
    }
    with pytest.raises(Closed):
        await pool.publish("t", "x")


async def test_a_pool_publishes_readings_as_a_runtime_does(hub: Hub) -> None:
    said = [Reading("vibration", 1_000, 2.5)]
    async with RuntimePool(address(hub), name="pool") as pool:
        await pool.publish_readings("r/a", [])
        await pool.publish_readings("r/a", said, stored=True)
    async with Runtime(address(hub), name="test") as runtime, runtime.subscribe("r/#", start=Start.EARLIEST) as frames:
        delivery = await frames.next_delivery()
    assert delivery is not None
    assert delivery.readings() == said


async def test_order_holds_for_every_topic_and_key_while_several_connections_work(hub: Hub) -> None:
    coalescing = Coalescing(messages_max=3)
    async with RuntimePool(address(hub), name="pool", size=4, coalescing=coalescing) as pool:

        async def publisher(topic: str, key: str) -> None:
            for n in range(200):
                await pool.publish(topic, str(n), key=key, stored=n % 50 == 0)
                if n % 7 == 0:
                    await asyncio.sleep(0)

        places = [(f"t/{n}", "") for n in range(6)] + [("t/0", f"k{n}") for n in range(6)]
        await asyncio.gather(*(publisher(*place) for place in places))
        await pool.flush()
        assert pool.statistics().open == 4
        assert pool.statistics().messages_waiting == 0
    found = await read_back(address(hub), 200 * len(places))
    assert {place: [n for _, n in each] for place, each in found.items()} == {
        place: list(range(200)) for place in places
    }
    assert all(len({producer for producer, _ in found[place]}) == 1 for place in places if place[1])
    assert {producer for each in found.values() for producer, _ in each} == {f"pool.{n}" for n in range(4)}


async def test_idle_connections_are_closed_and_opened_again_when_needed(hub: Hub) -> None:
    async with RuntimePool(address(hub), name="pool", size=2, max_idle_s=0.05) as pool:
        await pool.publish("t", "0", key="k", stored=True)
        await until(lambda: pool.statistics().open == 0)
        assert pool.statistics().closed_idle == 1
        await pool.publish("t", "1", key="k", stored=True)
        assert pool.statistics().opened == 2
    found = await read_back(address(hub), 2)
    assert [n for _, n in found["t", "k"]] == [0, 1]


async def test_a_connection_with_something_to_store_is_not_idle() -> None:
    async with RuntimePool("127.0.0.1:1", name="pool", max_idle_s=0.02, close_timeout_s=0) as pool:
        await pool.publish("t", "0")
        await asyncio.sleep(0.1)
        assert pool.statistics().open == 1
        assert pool.statistics().messages_waiting == 1


async def test_a_connection_the_hub_refuses_does_not_stop_the_others_and_is_told_once(hub: Hub) -> None:
    async with RuntimePool(address(hub), name="pool", size=4) as pool:
        good = next(key for key in map(str, range(100)) if pool._spread.choose("t", key, [None] * 4) == 0)
        bad = next(key for key in map(str, range(100)) if pool._spread.choose("$x", key, [None] * 4) == 1)
        again = next(key for key in map(str, range(100)) if pool._spread.choose("t", key, [None] * 4) == 1)
        await pool.publish("t", "0", key=good, stored=True)
        with pytest.raises(Refused, match="hub's own"):
            await pool.publish("$x", "x", key=bad, stored=True)
        await pool.publish("$x", "lost", key=bad)
        await until(lambda: pool.statistics().failures == 2)
        await pool.publish("t", "1", key=good, stored=True)
        with pytest.raises(Refused, match="hub's own"):
            await pool.publish("t", "2", key=again)
        await pool.publish("t", "3", key=again, stored=True)
        assert (pool.statistics().messages_lost, pool.statistics().open) == (2, 2)
    found = await read_back(address(hub), 3)
    assert sorted(n for each in found.values() for _, n in each) == [0, 1, 3]


async def test_an_error_nobody_was_told_is_raised_at_the_end(hub: Hub) -> None:
    pool = await RuntimePool(address(hub), name="pool").__aenter__()
    await pool.publish("$x", "x")
    await until(lambda: pool.statistics().failures)
    with pytest.raises(Refused, match="hub's own"):
        await pool.__aexit__(None, None, None)


async def test_links_that_break_come_back_and_nothing_is_lost_or_out_of_order(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub:
        async with RuntimePool(hub.address, name="pool", size=3, close_timeout_s=DEADLINE_S) as pool:
            for n in range(300):
                await pool.publish(f"t/{n % 5}", str(n), key="k" if n % 2 else "")
                if n == 150:
                    await hub.kill()
                    await hub.start()
        found = await read_back(hub.address, 300)
    assert sum(map(len, found.values())) == 300
    assert all([n for _, n in each] == sorted(n for _, n in each) for each in found.values())


async def test_the_pool_hears_who_has_handled_a_message(hub: Hub) -> None:
    async with (
        Runtime(address(hub), name="worker") as worker,
        RuntimePool(address(hub), name="pool", size=2) as pool,
    ):
        await worker.subscribe("jobs", lambda message: None, durable="jobs")
        assert await pool.publish_with_ack("jobs", "x", timeout_s=DEADLINE_S) == Handled("worker")


async def test_a_body_that_fails_is_not_kept_waiting_by_a_hub_that_is_away() -> None:
    pool = await RuntimePool("127.0.0.1:1", name="pool", close_timeout_s=60).__aenter__()
    await pool.publish("t", "x")
    await asyncio.wait_for(pool.__aexit__(KeyError, KeyError(), None), 5)
    assert pool.statistics().messages_lost == 1


@pytest.mark.parametrize(
    ("wrong", "error"), [({"size": 0}, LimitError), ({"size": 65}, LimitError), ({"max_idle_s": 0}, LimitError)]
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, float], error: type[Exception]) -> None:
    with pytest.raises(error):
        RuntimePool(name="pool", **wrong)  # type: ignore[arg-type]  # that is the point


def test_the_name_must_leave_room_for_the_number() -> None:
    RuntimePool(name="x" * 62, size=4)
    with pytest.raises(BadName):
        RuntimePool(name="x" * 63, size=4)
