"""The commands that look after a hub, against a real one: what a person or a script at a terminal meets."""

import asyncio
import json
import re
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from fieldline import Agent, Runtime, __version__
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub
from tests.integration.cloud.harness import Client, address, frame, running_hub, until
from tests.integration.command_line import at_terminal, finish, run, start

Ran = tuple[int, list[str], list[str]]


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    async with running_hub(tmp_path / "hub") as hub:
        yield hub


async def ran(hub: Hub, *words: object) -> Ran:
    return await asyncio.to_thread(run, *words, hub=address(hub))


async def shown(hub: Hub, *words: object, typed: str = "") -> tuple[int, list[str]]:
    return await asyncio.to_thread(at_terminal, *words, hub=address(hub), typed=typed)


def rows(result: Ran) -> list[dict[str, object]]:
    code, out, err = result
    assert (code, err) == (0, [])
    return [json.loads(line) for line in out]


async def publish(hub: Hub, *messages: tuple[str, str]) -> None:
    async with Runtime(address(hub), name="pub-1") as runtime:
        for topic, text in messages:
            await runtime.publish(topic, text, headers={"shift": "night"}, stored=True)


async def give_up(hub: Hub, *topics: str) -> None:
    """Have the durable `jobs` give up a frame of each topic."""
    first = hub.broker.tail
    async with Client(address(hub)) as client:
        subscriber, publisher = client.subscriber(), client.publisher()
        await subscriber.open("work/#", durable="jobs", start=hub_pb2.Start(earliest=True))
        await publisher.greet()
        await publisher.publish(*(frame(sequence, topic) for sequence, topic in enumerate(topics, 1)))
        deliveries = await subscriber.take(len(topics))
        nacks = [hub_pb2.Nack(offset=one.offset, reason="no \x1b[31mpump", give_up=True) for one in deliveries]
        await subscriber.send(hub_pb2.SubscribeRequest(settle=hub_pb2.Settle(nacks=nacks)))
        await until(lambda: hub.broker.tail == first + 2 * len(topics))
        await subscriber.half_close()
        await subscriber.status()


async def test_topics_are_a_table_at_a_terminal_and_json_otherwise(hub: Hub) -> None:
    await publish(hub, ("notes/a", "x"), ("notes/b", "y"), ("z", "z"))

    assert [row["topic"] for row in rows(await ran(hub, "topics", "notes/#"))] == ["notes/a", "notes/b"]
    code, lines = await shown(hub, "topics")
    assert code == 0
    assert re.fullmatch(r" *topic +last offset +frames +bytes +readers +durable +policy", lines[1])
    assert [line.split()[0] for line in lines[3:] if line] == ["notes/a", "notes/b", "z"]


async def test_an_empty_list_is_said_at_a_terminal_and_is_no_line_otherwise(hub: Hub) -> None:
    for words in (["topics"], ["subscriptions"], ["agents"], ["dead", "list"]):
        assert await ran(hub, *words) == (0, [], [])
        assert (await shown(hub, *words))[1] == [f"no {words[0].replace('dead', 'dead letters')}"]


async def test_subscriptions_are_listed_and_a_durable_is_deleted(hub: Hub) -> None:
    await publish(hub, ("notes/a", "x"))
    async with (
        Runtime(address(hub), name="reader") as runtime,
        runtime.subscribe("notes/#", durable="export") as held,
        runtime.subscribe("live/+") as live,
    ):
        await held.wait_open()
        await live.wait_open()
        listed = rows(await ran(hub, "subscriptions"))
        code, _, err = await ran(hub, "subscriptions", "delete", "export")
    assert [(row["durable"], row["filters"]) for row in listed] == [("export", ["notes/#"]), ("", ["live/+"])]
    assert (code, len(err)) == (3, 1)
    assert "durable 'export' is in use by client 'reader'" in err[0]
    (row,) = rows(await ran(hub, "subscriptions", "--durable"))
    assert (row["durable"], row["members"]) == ("export", [])
    assert "nobody" in " ".join((await shown(hub, "subscriptions"))[1])

    assert await ran(hub, "subscriptions", "delete", "export") == (0, ["deleted export"], [])
    assert await ran(hub, "subscriptions") == (0, [], [])
    code, _, err = await ran(hub, "subscriptions", "delete", "export")
    assert (code, err) == (
        3,
        ["error: no durable subscription is named 'export'; see 'fieldline subscriptions'"],
    )


async def test_agents_are_listed_and_found_by_what_they_serve(hub: Hub) -> None:
    agent = Agent("watch", "1.2", {"serves": "jobs/#", "note": "\x1b[2J"})
    async with Runtime(address(hub), name="a-1", agent=agent), Runtime(address(hub), name="b-1", agent=Agent("other")):
        await until(lambda: len(hub.attendance.registry) == 2)
        everybody = rows(await ran(hub, "agents"))
        serving = rows(await ran(hub, "agents", "--serving", "jobs/7"))
        _, lines = await shown(hub, "agents")

    assert sorted(str(row["name"]) for row in everybody) == ["a-1", "b-1"]
    assert [(row["name"], row["capabilities"]) for row in serving] == [("a-1", agent.capabilities)]
    assert any("a-1" in line and "watch" in line and "1.2" in line for line in lines)
    assert not any("\x1b[2J" in line for line in lines)


async def test_our_own_agents_are_present_with_their_kind_and_version(hub: Hub, tmp_path: Path) -> None:
    agent = start("agent", "maintenance", "config/demo/maintenance.yaml", "--hub", address(hub), "--data", tmp_path)
    await until(lambda: len(hub.attendance.registry) == 1 and len(hub.broker.subscribers) == 3)
    (row,) = rows(await ran(hub, "agents", "--serving", "alerts/demo/hall-a/pump-1"))
    assert (row["kind"], row["version"]) == ("maintenance", __version__)
    assert isinstance(row["filters"], list)
    assert sorted(row["filters"]) == ["alerts/demo/#", "ask/tasks", "prognoses/#", "verdicts/#"]

    agent.terminate()

    assert (await asyncio.to_thread(finish, agent))[0] == 0
    await until(lambda: len(hub.attendance.registry) == 0)
    assert hub.attendance.statistics.leaves == 1


async def test_dead_letters_are_listed_shown_replayed_and_dropped(hub: Hub) -> None:
    await give_up(hub, "work/a", "work/b", "work/c")

    listed = rows(await ran(hub, "dead", "list", "jobs"))
    assert [(row["offset"], row["topic"]) for row in listed] == [(3, "work/a"), (4, "work/b"), (5, "work/c")]
    _, lines = await shown(hub, "dead", "list")
    assert any("work/a" in line and r"no \x1b[31mpump" in line for line in lines)

    what, content = rows(await ran(hub, "dead", "show", "jobs", 3))
    assert (what["reason"], what["original_offset"], content["text"]) == ("no \x1b[31mpump", 0, "x")
    assert (await ran(hub, "dead", "show", "jobs", 99))[0] == 1

    assert await ran(hub, "dead", "replay", "jobs", 3) == (0, ["replayed 1 dead letter of jobs"], [])
    assert await ran(hub, "dead", "drop", "jobs", 4) == (0, ["dropped 1 dead letter of jobs"], [])
    assert (await ran(hub, "dead", "drop", "jobs", 4))[0] == 3
    assert await ran(hub, "dead", "replay", "jobs", "--all") == (0, ["replayed 1 dead letter of jobs"], [])
    assert await ran(hub, "dead", "list") == (0, [], [])
    code, _, err = await ran(hub, "dead", "replay", "jobs", "--all")
    assert (code, err) == (1, ["error: no such dead letter; 'fieldline dead list jobs' shows them"])


async def test_tail_shows_the_newest_frames_wherever_they_stand(hub: Hub) -> None:
    await publish(hub, ("rare/a", "one"), ("rare/a", "two"), ("rare/b", "three"))
    async with Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet()
        await publisher.publish(*(frame(number, "much") for number in range(1, 3001)))
        await publisher.acked(3000)

    code, lines, err = await ran(hub, "tail", "rare/#", "-n", 2)

    assert (code, err) == (0, [])
    moment = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
    assert re.fullmatch(rf" +1  {moment}  pub-1  rare/a  two  shift=night", lines[0])
    assert re.fullmatch(rf" +2  {moment}  pub-1  rare/b  three  shift=night", lines[1])
    assert [row["offset"] for row in rows(await ran(hub, "tail", "much", "--json", "-n", 3))] == [3000, 3001, 3002]
    assert await ran(hub, "tail", "nothing/#") == (0, [], [])
    assert len((await ran(hub, "tail", "rare/#"))[1]) == 3


async def test_tail_goes_on_with_what_comes_until_it_is_stopped(hub: Hub) -> None:
    await publish(hub, ("rare/a", "old"))
    process = start("tail", "rare/#", "--follow", hub=address(hub))
    assert process.stdout is not None
    assert (await asyncio.to_thread(process.stdout.readline)).endswith("rare/a  old  shift=night\n")
    await publish(hub, ("rare/a", "new"))
    assert (await asyncio.to_thread(process.stdout.readline)).endswith("rare/a  new  shift=night\n")

    process.send_signal(signal.SIGINT)

    assert (await asyncio.to_thread(finish, process)) == (0, "", "")


async def test_a_purge_asks_first_where_somebody_can_be_asked(hub: Hub) -> None:
    await publish(hub, ("notes/a", "1"), ("notes/b", "2"), ("other", "3"), ("notes/a", "4"))

    code, lines = await shown(hub, "purge", "notes/#", typed="n\n")
    assert code == 2
    assert any(line.startswith("Forget the frames of notes/# that are stored now? [y/N]:") for line in lines)
    assert (await ran(hub, "purge", "notes/#"))[0] == 2
    assert len((await ran(hub, "tail", "#"))[1]) == 4

    code, lines = await shown(hub, "purge", "notes/#", "--below", 3, typed="y\n")
    assert code == 0
    assert lines[-1].endswith("purged 2 topics below offset 3")
    assert [row["text"] for row in rows(await ran(hub, "tail", "#", "--json"))] == ["3", "4"]


async def test_a_purge_by_time_takes_what_is_older(hub: Hub) -> None:
    await publish(hub, ("notes/a", "1"))

    assert await ran(hub, "purge", "#", "--yes", "--before", "2023-11-14") == (
        0,
        ["purged 0 topics below offset 0"],
        [],
    )
    assert await ran(hub, "purge", "#", "--yes", "--before", "0s") == (0, ["purged 1 topic below offset 1"], [])
    assert await ran(hub, "tail", "#") == (0, [], [])


async def test_what_was_backed_up_is_a_hub_again(hub: Hub, tmp_path: Path) -> None:
    await publish(hub, ("notes/a", "kept"), ("notes/b", "too"))
    file = tmp_path / "b.tar"
    file.write_text("an older backup")

    code, out, err = await ran(hub, "backup", file)

    assert (code, err) == (0, [])
    assert out == [f"wrote {file}, {file.stat().st_size:,} bytes"]
    assert not file.with_name("b.tar.partial").exists()
    await publish(hub, ("notes/c", "later"))
    code, out, _ = await ran(hub, "restore", file, "--data", tmp_path / "again")
    assert code == 0
    assert out[0].startswith(f"restored {tmp_path}/again/log, ")
    async with running_hub(tmp_path / "again") as again:
        assert [row["text"] for row in rows(await ran(again, "tail", "#", "--json"))] == ["kept", "too"]
    code, _, err = await ran(hub, "restore", file, "--data", tmp_path / "again")
    assert (code, len(err)) == (2, 1)
    assert f"{tmp_path}/again/log is not empty; restore into a new folder" in err[0]


async def test_a_backup_that_breaks_off_leaves_the_older_one(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fieldline_cloud.hub.engines.base import StorageError

    def broken() -> Iterator[bytes]:
        yield b"x" * 100
        raise StorageError("segment 3 cannot be read: Input/output error")

    monkeypatch.setattr(hub.broker.engine, "backup", broken)
    file = tmp_path / "b.tar"
    file.write_text("an older backup")

    code, out, err = await ran(hub, "backup", file)

    assert (code, out, len(err)) == (3, [], 1)
    assert "segment 3 cannot be read" in err[0]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["b.tar"]
    assert file.read_text() == "an older backup"


async def test_a_backup_goes_to_a_pipe_and_not_to_a_terminal(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.broker.engine, "backup", lambda: iter([b"one", b"two"]))

    assert await ran(hub, "backup", "-") == (0, ["onetwo"], [])
    assert await shown(hub, "backup", "-") == (
        2,
        ["-: a tar file is nothing for a terminal; send it to a file or a pipe"],
    )


@pytest.mark.parametrize("content", [b"", b"no tar at all" * 100, b"\0" * 10240])
def test_a_file_that_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "b.tar"
    file.write_bytes(content)

    code, out, err = run("restore", file, "--data", tmp_path / "data")

    assert (code, out, len(err)) == (1, [], 1)
    assert list((tmp_path / "data").iterdir()) == []


def test_every_command_names_a_hub_that_is_not_there() -> None:
    commands: list[tuple[object, ...]] = [
        ("topics",),
        ("subscriptions",),
        ("subscriptions", "delete", "d"),
        ("agents",),
        ("dead", "list"),
        ("dead", "show", "d", 1),
        ("dead", "replay", "d", "--all"),
        ("dead", "drop", "d", 1),
        ("tail", "a"),
        ("purge", "a", "--yes"),
        ("backup", "-"),
    ]
    processes = [start(*words, "--hub", "127.0.0.1:1") for words in commands]

    ended = [finish(process) for process in processes]

    sentence = "error: no hub answers at 127.0.0.1:1 within 5 s; start one with 'fieldline hub', or check the address\n"
    assert ended == [(3, "", sentence)] * len(commands)
