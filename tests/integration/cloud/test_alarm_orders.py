"""People and alarms over a real hub: an order is answered once what it changed is stored."""

import asyncio
import json
import socket
import sys
import urllib.request
from pathlib import Path
from typing import Any

from fieldline import Runtime
from fieldline.model import AlertState
from fieldline.wire.plant import decode_alert
from tests.integration.cloud.test_agents import agent, contents, gateway, hub

HIGH = "demo/hall-a/pump-2:vibration:range_hi"


async def ask(address: str, order: dict[str, Any]) -> dict[str, Any]:
    async with Runtime(address, name="console") as runtime:
        reply = await runtime.request("ask/alarms", json.dumps(order), timeout_s=10)
    return dict(json.loads(reply.text))


async def fieldline(*words: str) -> tuple[int | None, str]:
    """`fieldline alarms ...`: its exit code and all it says."""
    command = [sys.executable, "-c", "from fieldline.cli import main; main()", "alarms", *words]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    async with asyncio.timeout(20):
        said, _ = await process.communicate()
    return process.returncode, said.decode().strip()


async def test_an_acknowledgement_is_with_the_hub_when_it_is_answered_and_outlives_a_kill(tmp_path: Path) -> None:
    async with hub(tmp_path) as address, gateway(address) as pump:
        async with agent("anomaly", address, tmp_path) as anomaly:
            await pump.send(5.0, 5.0, 5.0, 5.0, 5.0, from_s=0)
            await contents(address, "alerts/#", 1)
            done = await ask(address, {"do": "acknowledge", "alarm": HIGH, "by": "anna"})
            anomaly.kill()
        alerts = [decode_alert(content) for content in await contents(address, "alerts/#", 2)]
        async with agent("anomaly", address, tmp_path):
            (shown,) = (await ask(address, {"do": "list"}))["alarms"]
    assert (done["status"], done["changed"]) == ("done", 1)
    assert [alert.state for alert in alerts] == [AlertState.RAISED, AlertState.ACKNOWLEDGED]
    assert alerts[1].by == "anna (console)"
    assert (shown["alarm"], shown["state"], shown["by"]) == (HIGH, "acknowledged", "anna (console)")


async def test_the_commands_shelve_an_alarm_and_say_what_became_of_it(tmp_path: Path) -> None:
    async with hub(tmp_path) as address, gateway(address) as pump, agent("anomaly", address, tmp_path):
        await pump.send(5.0, 5.0, 5.0, 5.0, 5.0, from_s=0)
        await contents(address, "alerts/#", 1)
        shelved = await fieldline("shelve", HIGH, "--why", "fitter comes", "--by", "anna", "--hub", address)
        code, listed = await fieldline("list", "--hub", address, "--json")
        _, figures = await fieldline("health", "--hub", address, "--json")
        refused = await fieldline("ack", HIGH, "--hub", address)
    assert shelved == (0, f"{HIGH}: shelved")
    rows = {row["alarm"]: row for row in map(json.loads, listed.splitlines())}  # on a slow machine silence is one too
    assert (code, rows[HIGH]["state"], rows[HIGH]["note"]) == (0, "shelved", "fitter comes")
    assert json.loads(figures)["by_state"]["shelved"] == 1
    assert refused[0] == 1
    assert "put_aside" in refused[1]


async def test_an_operator_has_figures_in_the_command_and_in_the_metrics(tmp_path: Path) -> None:
    config = tmp_path / "anomaly.yaml"
    operators = "\nalarms:\n  operators: {desk-1: [demo/hall-*], desk-2: [demo/yard]}\n"
    config.write_text(Path("config/demo/anomaly.yaml").read_text() + operators)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        metrics = f"127.0.0.1:{probe.getsockname()[1]}"
    async with (
        hub(tmp_path) as address,
        gateway(address) as pump,
        agent("anomaly", address, tmp_path, config, "--metrics", metrics),
    ):
        await pump.send(5.0, 5.0, 5.0, 5.0, 5.0, from_s=0)
        await contents(address, "alerts/#", 1)
        code, figures = await fieldline("health", "--hub", address, "--json")
        page = await asyncio.to_thread(lambda: urllib.request.urlopen(f"http://{metrics}/metrics", timeout=10).read())
    one, two = json.loads(figures)["operators"]
    assert code == 0
    assert (one["operator"], one["areas"]) == ("desk-1", ["demo/hall-a"])
    assert one["last_10_min"] in (1, 2)  # on a slow machine the pump is silent for long enough by then
    assert (two["operator"], two["areas"], two["last_10_min"]) == ("desk-2", [], 0)
    assert b'fieldline_anomaly_operator_alarms_10_min_peak{operator="desk-1"}' in page
    assert b'fieldline_anomaly_operator_flood_share{operator="desk-2"} 0.0' in page


async def test_the_command_says_that_no_agent_is_there(tmp_path: Path) -> None:
    async with hub(tmp_path) as address:
        code, said = await fieldline("list", "--hub", address)
    assert code == 3
    assert "no anomaly agent answers" in said
