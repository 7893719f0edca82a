"""Children: started in order, watched, named when they fail, and never left behind."""

import asyncio
import os
import socket
import sys
from pathlib import Path

import pytest

from fieldline.errors import ConfigError, FieldlineError
from fieldline_cloud.demo.plan import Child
from fieldline_cloud.demo.processes import Processes
from fieldline_cloud.demo.run import run_demo

SLEEPER = (sys.executable, "-c", "import time; print('awake', flush=True); time.sleep(600)")
STUBBORN = (
    sys.executable,
    "-c",
    "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1); signal.pause()",
)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def listener_on(port: int) -> tuple[str, ...]:
    code = f"import socket; s = socket.create_server(('127.0.0.1', {port})); s.accept(); s.accept()"
    return (sys.executable, "-c", code)


def alive(processes: Processes) -> list[str]:
    return [name for name, process in processes._running.items() if process.poll() is None]


async def test_start_returns_once_the_port_answers(tmp_path: Path) -> None:
    port = free_port()
    processes = Processes({}, tmp_path)

    await processes.start(Child("listener", listener_on(port), port))

    socket.create_connection(("127.0.0.1", port)).close()
    await processes.stop()


async def test_a_child_that_ends_before_it_is_ready_is_named_with_the_end_of_its_log(tmp_path: Path) -> None:
    code = "print(*range(100), sep='\\n'); print('no such register'); raise SystemExit(3)"
    processes = Processes({}, tmp_path)

    with pytest.raises(FieldlineError) as caught:
        await processes.start(Child("plant", (sys.executable, "-c", code), free_port()))

    lines = str(caught.value).splitlines()
    assert lines[0] == "plant ended with exit code 3:"
    assert lines[-1] == "no such register"
    assert len(lines) == 16
    await processes.stop()


async def test_a_child_that_ends_later_is_noticed_and_the_others_can_still_be_stopped(tmp_path: Path) -> None:
    processes = Processes({}, tmp_path)
    await processes.start(Child("good", SLEEPER))
    await processes.start(Child("bad", (sys.executable, "-c", "pass")))
    processes._running["bad"].wait()

    with pytest.raises(FieldlineError, match=r"bad ended with exit code 0:\n\(it said nothing\)"):
        processes.check()

    assert alive(processes) == ["good"]
    assert (await processes.stop())["bad"] == 0


async def test_a_program_that_is_not_there_is_named(tmp_path: Path) -> None:
    processes = Processes({}, tmp_path)

    with pytest.raises(FieldlineError, match="mqtt-broker cannot be started: /no/such/program: No such file"):
        await processes.start(Child("mqtt-broker", ("/no/such/program",)))

    assert await processes.stop() == {}


async def test_children_are_stopped_last_started_first_and_by_name(tmp_path: Path) -> None:
    processes = Processes({}, tmp_path)
    for name in ("a", "b", "c"):
        await processes.start(Child(name, SLEEPER))

    assert list(await processes.stop(["b", "unknown"])) == ["b"]
    assert list(await processes.stop()) == ["c", "a"]


async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fieldline_cloud.demo.processes._STOP_TIMEOUT_S", 0.2)
    processes = Processes({"PYTHONUNBUFFERED": "1"}, tmp_path)
    await processes.start(Child("stubborn", STUBBORN))
    while not (tmp_path / "stubborn.log").read_text():
        processes.check()

    assert await processes.stop() == {"stubborn": -9}


async def test_children_get_their_environment_and_leave_ours_alone(tmp_path: Path) -> None:
    code = "import os; print(os.environ['FIELDLINE_TEST'], 'PATH' in os.environ)"
    processes = Processes({"FIELDLINE_TEST": "7"}, tmp_path)
    await processes.start(Child("child", (sys.executable, "-c", code)))
    processes._running["child"].wait()

    assert (tmp_path / "child.log").read_text() == "7 True\n"
    assert "FIELDLINE_TEST" not in os.environ
    await processes.stop()


async def test_a_demo_without_its_configuration_says_where_to_run_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"plant.yaml: is missing; run this from the project's folder, or give"):
        await run_demo(tmp_path, tmp_path / "data", duration_s=1, console=None, stopped=asyncio.Event())


async def test_a_data_folder_with_an_earlier_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "hub").mkdir()

    with pytest.raises(ConfigError, match="is not empty; choose another folder, or delete what an earlier run left"):
        await run_demo(Path("config/demo"), tmp_path, duration_s=1, console=None, stopped=asyncio.Event())
