"""Both agents with a real hub: from readings on the wire to a task with a name on it, through kills of everything."""

import asyncio
import contextlib
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fieldline import FrameProducer, Runtime, Start
from fieldline.model import AlertState, DeviceId, Reading, Task, TaskState
from fieldline.wire.frames import ENCODING_READINGS, build_frame
from fieldline.wire.plant import decode_alert, decode_task, decode_verdict
from fieldline.wire.readings import encode_readings
from fieldline_cloud.hub import Hub, HubSettings

PUMP = DeviceId("demo", "hall-a", "pump-2")
SECOND = 1_000_000_000
T0 = 1_760_000_000 * SECOND


class Gateway:
    """A gateway in memory: numbers its frames and keeps them until the hub has them."""

    producer = "gateway-1"
    epoch = 1

    def __init__(self) -> None:
        self._frames: list[tuple[int, bytes]] = []
        self._more = asyncio.Event()
        self._stored = asyncio.Condition()
        self._stored_to = 0

    async def send(self, *values: float, from_s: float) -> None:
        """One frame of vibration, 200 ms apart; returns when it is stored."""
        readings = [
            Reading("vibration", T0 + int((from_s + index / 5) * SECOND), value) for index, value in enumerate(values)
        ]
        sequence = len(self._frames) + 1
        frame = build_frame(
            topic=PUMP.readings_topic,
            key="",
            sequence=sequence,
            count=len(readings),
            encoding=ENCODING_READINGS,
            body=encode_readings(readings),
            published_at_ns=T0,
        )
        self._frames.append((sequence, frame))
        self._more.set()
        async with asyncio.timeout(10), self._stored:
            await self._stored.wait_for(lambda: self._stored_to >= sequence)

    async def resume(self, last_sequence: int) -> None:
        await self.acknowledged(last_sequence)

    async def read(self, after: int, *, frames_max: int, bytes_max: int) -> list[tuple[int, bytes]]:
        return self._frames[after : after + frames_max]

    async def wait(self, after: int) -> None:
        while len(self._frames) <= after:
            self._more.clear()
            await self._more.wait()

    async def acknowledged(self, sequence: int) -> None:
        async with self._stored:
            self._stored_to = max(self._stored_to, sequence)
            self._stored.notify_all()


@asynccontextmanager
async def gateway(address: str) -> AsyncIterator[Gateway]:
    source = Gateway()
    work = asyncio.create_task(FrameProducer(address, name="gateway-1", source=source).run())
    try:
        yield source
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


@asynccontextmanager
async def agent(
    kind: str, address: str, folder: Path, config: Path | None = None, *more: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`fieldline agent <kind>`, with the demo configuration where there is no other; killed at the end if it runs."""
    command = [sys.executable, "-c", "from fieldline.cli import main; main()", "agent", kind]
    process = await asyncio.create_subprocess_exec(
        *command,
        str(config or f"config/demo/{kind}.yaml"),
        "--hub",
        address,
        "--data",
        str(folder / kind),
        *more,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        await until_said(process, "subscribed")
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def until_said(process: asyncio.subprocess.Process, text: str) -> None:
    assert process.stderr is not None
    said = b""
    async with asyncio.timeout(15):
        while line := await process.stderr.readline():
            said += line
            if text.encode() in line:
                return
    pytest.fail(f"the agent ended without saying {text!r}: {said.decode()}")


async def ended(process: asyncio.subprocess.Process, number: signal.Signals) -> int | None:
    process.send_signal(number)
    async with asyncio.timeout(10):
        await process.communicate()
    return process.returncode


@asynccontextmanager
async def hub(folder: Path, port: int = 0) -> AsyncIterator[str]:
    async with Hub(HubSettings(listen=f"127.0.0.1:{port}", data=folder / "hub")) as running:
        yield f"127.0.0.1:{running.port}"


async def tasks_until(address: str, revisions: int) -> list[Task]:
    return [decode_task(content) for content in await contents(address, "tasks/#", revisions)]


async def contents(address: str, topic_filter: str, count: int) -> Sequence[bytes]:
    """The first `count` messages of a topic, from the beginning of the log."""
    found: list[bytes] = []
    async with (
        asyncio.timeout(15),
        Runtime(address, name="test") as runtime,
        runtime.subscribe(topic_filter, start=Start.EARLIEST) as messages,
    ):
        async for message in messages:
            found.append(message.content)
            if len(found) == count:
                break
    return found


async def everything(address: str, kind: str) -> list[bytes]:
    """All messages the log holds now under `<kind>/`."""
    found: list[bytes] = []
    async with (
        asyncio.timeout(15),
        Runtime(address, name="test") as runtime,
        runtime.subscribe("#", start=Start.EARLIEST) as subscription,
    ):
        await subscription.wait_open()
        end = subscription.end_offset
        while delivery := await subscription.next_delivery(until_offset=end):
            if delivery.topic.startswith(f"{kind}/"):
                found += [message.content for message in delivery.messages()]
    return found


async def test_a_wearing_bearing_becomes_a_task_for_somebody(tmp_path: Path) -> None:
    async with (
        hub(tmp_path) as address,
        agent("anomaly", address, tmp_path) as anomaly,
        agent("maintenance", address, tmp_path) as maintenance,
        gateway(address) as pump,
    ):
        await pump.send(2.0, 2.1, 2.0, 1.9, 2.0, from_s=0)
        await pump.send(5.0, 5.5, 6.0, 6.4, 6.8, from_s=1)
        await pump.send(7.5, 8.0, 8.5, 9.0, 9.0, from_s=2)
        opened, worse = await tasks_until(address, 2)
        codes = [await ended(anomaly, signal.SIGTERM), await ended(maintenance, signal.SIGINT)]
    assert (opened.cause, opened.state, opened.severity.name) == ("bearing_wear", TaskState.ASSIGNED, "WARNING")
    assert opened.technician
    assert (worse.id, worse.revision, worse.severity.name) == (opened.id, 2, "CRITICAL")
    assert worse.due_at_ns < opened.due_at_ns
    assert codes == [0, 0]


async def test_killed_agents_repeat_nothing_and_forget_nothing(tmp_path: Path) -> None:
    async with hub(tmp_path) as address, gateway(address) as pump:
        async with agent("anomaly", address, tmp_path) as anomaly, agent("maintenance", address, tmp_path) as planner:
            await pump.send(5.0, 5.0, 5.0, 5.0, 5.0, from_s=0)
            await tasks_until(address, 1)
            anomaly.kill()
            planner.kill()
        await pump.send(8.0, 8.0, 8.0, 8.0, 8.0, from_s=1)  # while nobody listens
        async with agent("anomaly", address, tmp_path), agent("maintenance", address, tmp_path):
            await pump.send(*[2.0] * 15, from_s=2)
            await tasks_until(address, 3)
        alerts = [decode_alert(content) for content in await everything(address, "alerts")]
        tasks = [decode_task(content) for content in await everything(address, "tasks")]
    assert [(alert.rule, alert.state) for alert in alerts] == [
        ("range_hi", AlertState.RAISED),
        ("range_hi_hi", AlertState.RAISED),
        ("range_hi", AlertState.CLEARED),
        ("range_hi_hi", AlertState.CLEARED),
    ]
    assert len({task.id for task in tasks}) == 1
    assert [(task.revision, task.condition_cleared) for task in tasks] == [(1, False), (2, False), (3, True)]


async def test_agents_go_on_after_the_hub_was_away(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    async with hub(tmp_path, port) as address:
        pass  # the log exists, nobody is there
    async with contextlib.AsyncExitStack() as stack:
        async with hub(tmp_path, port):
            for kind in ("anomaly", "maintenance"):
                await stack.enter_async_context(agent(kind, address, tmp_path))
            pump = await stack.enter_async_context(gateway(address))
            await pump.send(2.0, 2.0, from_s=0)
        async with hub(tmp_path, port):
            await pump.send(5.0, 5.0, 5.0, 5.0, 5.0, from_s=1)
            (task,) = await tasks_until(address, 1)
    assert task.technician


async def test_an_agent_without_a_hub_ends_cleanly_when_told(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from fieldline.cli import main; main()", "agent", "anomaly", "config/demo/anomaly.yaml"),
        *("--hub", "127.0.0.1:9", "--data", str(tmp_path)),
        stderr=asyncio.subprocess.PIPE,
    )
    await until_said(process, "lost")
    assert await ended(process, signal.SIGTERM) == 0


async def test_a_wrong_configuration_is_told_in_one_line(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text("kind: anomaly\nrules:\n  - range: {hi: 5, hi_hi: 4}\n")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from fieldline.cli import main; main()", "agent", "anomaly", str(wrong)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 2
    assert said.decode() == f"{wrong}:3: rules[0].range: hi 5 must be below hi_hi 4; swap or correct them\n"


async def fieldline(*words: str, address: str) -> tuple[int, str]:
    """Exit code and output of one command."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from fieldline.cli import main; main()", *words, "--hub", address),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        out, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_people_take_and_finish_tasks_from_the_command_line(tmp_path: Path) -> None:
    async with (
        hub(tmp_path) as address,
        agent("anomaly", address, tmp_path),
        agent("maintenance", address, tmp_path),
        gateway(address) as pump,
    ):
        await pump.send(8.0, 8.0, 8.0, 8.0, 8.0, from_s=0)
        _, opened = await tasks_until(address, 2)
        listed = await fieldline("tasks", "list", "--json", address=address)
        accepted = await fieldline("tasks", "accept", opened.id[:6], "--as", opened.technician, address=address)
        again = await fieldline("tasks", "accept", opened.id, "--as", "Nobody", address=address)
        done = await fieldline("tasks", "done", opened.id, "--verdict", "confirmed", "--note", "new", address=address)
        plan = await fieldline("tasks", "plan", address=address)
        shown = await fieldline("tasks", "show", opened.id, address=address)
        calendar = await fieldline("tasks", "calendar", opened.technician, address=address)
        verdicts = await contents(address, "verdicts/#", 1)
    assert json.loads(listed[1].splitlines()[0])["task"] == opened.id
    assert accepted[0] == 0
    assert " accepted, " in accepted[1]
    assert again == (1, again[1])
    assert "refused (unknown_technician): 'Nobody' is no technician here" in again[1]
    assert done[0] == plan[0] == shown[0] == calendar[0] == 0
    assert "verdict" in shown[1]
    assert "SUMMARY:" in calendar[1]
    assert decode_verdict(verdicts[0]).task_id == opened.id


async def test_spare_parts_are_counted_once_through_a_kill_of_the_agent(tmp_path: Path) -> None:
    config = tmp_path / "parts.yaml"
    config.write_text(
        "kind: maintenance\n"
        "technicians: [{name: Alex, skills: [mechanical], shift: {start: '00:00', end: '00:00'}}]\n"
        "templates: {bearing_wear: {title: Seal, skill: mechanical, parts: [{name: seal, count: 2}]}}\n"
        "parts: [{name: seal, stock: 3, lead_days: 2}]\n"
    )
    async with hub(tmp_path) as address, agent("anomaly", address, tmp_path), gateway(address) as pump:
        async with agent("maintenance", address, tmp_path, config) as process:
            await pump.send(8.0, 8.0, 8.0, 8.0, 8.0, from_s=0)
            _, task = await tasks_until(address, 2)  # the second alert does not open again what is done
            reserved = await fieldline("tasks", "parts", "--json", address=address)
            done = await fieldline("tasks", "done", task.id, "--id", "d1", address=address)
            process.kill()
        async with agent("maintenance", address, tmp_path, config):
            again = await fieldline("tasks", "done", task.id, "--id", "d1", address=address)
            used = await fieldline("tasks", "parts", "--json", address=address)
            came = await fieldline("tasks", "receive", "seal", "4", "--note", "delivery 8812", address=address)
            counted = await fieldline("tasks", "stocktake", "seal", "6", address=address)
            unknown = await fieldline("tasks", "receive", "bolt", "1", address=address)
            shown = await fieldline("tasks", "history", address=address)
    assert json.loads(reserved[1]) | {"waiting": []} == {
        "part": "seal",
        "on_hand": 3,
        "reserved": 2,
        "free": 1,
        "lead_days": 2.0,
        "waiting": [],
    }
    assert done[0] == again[0] == 0
    assert "(this id was done before)" in again[1]
    assert (json.loads(used[1])["on_hand"], json.loads(used[1])["reserved"]) == (1, 0)
    assert came == (0, "seal: 5 in the store, 0 reserved\n")
    assert counted == (0, "seal: 6 in the store, 0 reserved\n")
    assert unknown[0] == 1
    assert "refused (unknown_part): 'bolt' is no part that is counted" in unknown[1]
    assert "seal: 2 used, 1 in the store" in shown[1]
    assert "seal: 4 booked in (delivery 8812), 5 in the store" in shown[1]


async def test_without_an_agent_nobody_answers(tmp_path: Path) -> None:
    async with hub(tmp_path) as address:
        code, said = await fieldline("tasks", "list", address=address)
    assert code == 3
    assert "nobody answers on 'ask/tasks'; is 'fieldline agent maintenance' running?" in said
