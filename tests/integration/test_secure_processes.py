"""From the authority to the reading: the commands of docs/how-to/secure-the-hub.md, each in a process of its own."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from fieldline.config import loads
from fieldline.testing import HubProcess
from fieldline_edge.drivers.simulator.runner import PlantRunner
from fieldline_edge.drivers.simulator.settings import PlantSettings

BIN = Path(sys.executable).parent
DEADLINE_S = 30.0
PLANT = """
kind: plant
seed: 1
modbus: {listen: "127.0.0.1:0"}
machines: [{name: pump-1, model: registers50, serve: modbus, unit: 1}]
"""


def clean_environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    ours = {key: value for key, value in os.environ.items() if not key.startswith("FIELDLINE_")}
    return {**ours, "COLUMNS": "200", "NO_COLOR": "1", **(more or {})}


def command(*words: object, cwd: Path, code: int = 0, environment: Mapping[str, str] | None = None) -> tuple[str, str]:
    """(stdout, stderr) of `fieldline words...`, which must end with `code`."""
    done = subprocess.run(
        [BIN / "fieldline", *map(str, words)],
        cwd=cwd,
        env=clean_environment(environment),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == code, (done.stdout, done.stderr)
    return done.stdout, done.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    command("certs", "init", cwd=tmp_path)
    command("certs", "issue", "hub", "hub", "--address", "127.0.0.1", "--address", "hub.plant", cwd=tmp_path)
    for name in ("gateway-1", "anomaly"):
        command("certs", "issue", "identity", name, "--days", "30", cwd=tmp_path)
    return tmp_path


def hub_settings(folder: Path, tokens: Path) -> dict[str, object]:
    certs = folder / "certs"
    return {
        "drain_s": 0.5,
        "tls": {
            "certificate": str(certs / "hub/hub/hub.crt"),
            "key": str(certs / "hub/hub/hub.key"),
            "client_ca": str(certs / "ca.crt"),
            "revoked": str(certs / "crl.pem"),
        },
        "auth": {
            "tokens_file": str(tokens),
            "token_listen": "127.0.0.1:0",
            "check_every_s": 0.2,
            "identities": [
                {"name": "gateway-1", "publish": ["readings/demo/#"]},
                {"name": "anomaly", "subscribe": ["readings/#"], "publish": ["alerts/#"]},
                {"name": "reporting", "subscribe": ["readings/demo/#"]},
            ],
        },
    }


def shows(folder: Path, name: str) -> dict[str, str]:
    own = folder / "certs/identity" / name
    return {
        "FIELDLINE_TLS_CA": str(folder / "certs/ca.crt"),
        "FIELDLINE_TLS_CERT": str(own / f"{name}.crt"),
        "FIELDLINE_TLS_KEY": str(own / f"{name}.key"),
    }


@contextlib.asynccontextmanager
async def gateway(folder: Path, hub: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway process that reads a simulated pump; its log goes to gateway.log."""
    access = shows(folder, "gateway-1")
    async with PlantRunner(loads(PLANT, PlantSettings, name="plant.yaml")) as runner:
        settings = {
            "kind": "gateway",
            "name": "gateway-1",
            "site": "demo",
            "hub": hub,
            "hub_tls": {
                "ca": access["FIELDLINE_TLS_CA"],
                "certificate": access["FIELDLINE_TLS_CERT"],
                "key": access["FIELDLINE_TLS_KEY"],
            },
            "spool": {"path": str(folder / "spool.db")},
            "batch": {"linger_ms": 50},
            "devices": [
                {
                    "driver": "modbus",
                    "name": "pump-1",
                    "area": "hall-a",
                    "host": "127.0.0.1",
                    "port": runner.listeners[0].port,
                    "unit": 1,
                    "period_ms": 50,
                    "tags": [{"name": "r0", "address": 0, "type": "uint16"}],
                }
            ],
        }
        (folder / "gateway.yaml").write_text(json.dumps(settings))
        with (folder / "gateway.log").open("ab") as log:
            process = await asyncio.create_subprocess_exec(
                BIN / "fieldline-edge", "run", str(folder / "gateway.yaml"), stdout=log, stderr=log
            )
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            async with asyncio.timeout(DEADLINE_S):
                await process.wait()


async def follow(hub: str, count: int, folder: Path, environment: Mapping[str, str], name: str) -> list[str]:
    words = ("sub", "readings/#", "--hub", hub, "--name", name, "--count", count, "--from", "start")
    out, _ = await asyncio.to_thread(command, *words, cwd=folder, environment=environment)
    return out.splitlines()


async def until_said(path: Path, words: str) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while words not in path.read_text():  # noqa: ASYNC110  # a file tells nobody that it has grown
            await asyncio.sleep(0.05)


async def test_a_gateway_delivers_over_mtls_until_its_certificate_is_revoked(folder: Path) -> None:
    tokens = folder / "tokens.json"
    token, said = command("tokens", "issue", "reporting", "--file", tokens, cwd=folder)
    token = token.strip()
    assert token not in said
    async with HubProcess(folder / "run", settings=hub_settings(folder, tokens)) as hub:
        async with gateway(folder, hub.address) as process:
            lines = await follow(hub.address, 20, folder, shows(folder, "anomaly"), "anomaly")
            assert all("pump-1" in line for line in lines)

            out, _ = await asyncio.to_thread(command, "certs", "revoke", "gateway-1", cwd=folder)
            assert "crl.pem" in out
            await until_said(folder / "gateway.log", "was revoked")
            assert process.returncode is None, "it keeps reading and spooling"
            await asyncio.to_thread(command, "certs", "issue", "identity", "gateway-1", cwd=folder)

            for words, says in (
                (("pub", "readings/demo/x", "x", "--name", "anomaly"), "may not publish"),
                (("sub", "alerts/#", "--name", "anomaly"), "may not subscribe"),
                (("sub", "readings/#", "--name", "gateway-1"), "may not use the client name"),
            ):
                _, error = await asyncio.to_thread(
                    command, *words, "--hub", hub.address, cwd=folder, code=3, environment=shows(folder, "anomaly")
                )
                assert says in error
                assert len(error.splitlines()) == 1
        errors = hub.errors
    audit = [json.loads(line) for line in errors.splitlines() if '"fieldline.audit"' in line]
    assert {(one["identity"], one["code"]) for one in audit} >= {
        ("gateway-1", "unauthenticated"),
        ("anomaly", "permission_denied"),
    }
    log = (folder / "gateway.log").read_text()
    assert log.count("was revoked") == 1, "said once, however often it tries"
    private = [line for key in folder.rglob("*.key") for line in key.read_text().splitlines() if "-----" not in line]
    for secret in (token, *private):
        assert secret not in errors + log


async def test_an_agent_reads_over_mtls(folder: Path) -> None:
    settings = {**hub_settings(folder, folder / "tokens.json"), "metrics": "127.0.0.1:0"}
    await asyncio.to_thread(command, "tokens", "issue", "reporting", cwd=folder)
    access = shows(folder, "anomaly")
    tls = {"ca": access["FIELDLINE_TLS_CA"], "certificate": access["FIELDLINE_TLS_CERT"]}
    agent = {
        "kind": "anomaly",
        "data": str(folder / "anomaly"),
        "hub_tls": {**tls, "key": access["FIELDLINE_TLS_KEY"]},
        "rules": [{"stale": {"after_s": 5}}],
    }
    async with HubProcess(folder / "run", settings=settings) as hub:
        (folder / "anomaly.yaml").write_text(json.dumps({**agent, "hub": hub.address}))
        process = await asyncio.create_subprocess_exec(
            BIN / "fieldline", "agent", "anomaly", folder / "anomaly.yaml", env=clean_environment(), stderr=-1
        )
        try:
            async with asyncio.timeout(DEADLINE_S):
                while 'durable="anomaly"' not in await asyncio.to_thread(scrape, hub.metrics_port):  # noqa: ASYNC110  # it tells nobody
                    await asyncio.sleep(0.1)
        finally:
            process.terminate()
            _, said = await process.communicate()
        assert process.returncode == 0, said


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as page:
        return str(page.read().decode())


async def test_a_token_gets_in_by_its_own_door_from_the_environment(folder: Path) -> None:
    tokens = folder / "tokens.json"
    token, _ = command("tokens", "issue", "reporting", "--file", tokens, cwd=folder)
    access = {"FIELDLINE_TLS_CA": str(folder / "certs/ca.crt"), "FIELDLINE_TOKEN": token.strip()}
    settings = hub_settings(folder, tokens)
    door = free_port()
    settings["auth"] = {**settings["auth"], "token_listen": f"127.0.0.1:{door}"}  # type: ignore[dict-item]  # a mapping
    async with HubProcess(folder / "run", settings=settings) as hub:
        words = ("pub", "readings/demo/a", "x", "--name", "gateway-1", "--hub", hub.address)
        await asyncio.to_thread(command, *words, cwd=folder, environment=shows(folder, "gateway-1"))

        read = ("sub", "readings/demo/#", "--from", "start", "--until-end", "--hub", f"127.0.0.1:{door}")
        named = {**access, "FIELDLINE_NAME": "reporting"}
        out, _ = await asyncio.to_thread(command, *read, cwd=folder, environment=named)
        without = {**named, "FIELDLINE_TOKEN": ""}
        _, error = await asyncio.to_thread(command, *read, cwd=folder, code=3, environment=without)

        assert out == "readings/demo/a  x\n"
        assert "needs a token" in error
        assert token.strip() not in hub.errors


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def test_plaintext_beyond_loopback_ends_with_2_unless_it_is_meant(tmp_path: Path) -> None:
    _, error = command("hub", "--listen", "0.0.0.0:0", "--data", tmp_path / "d", cwd=tmp_path, code=2)
    assert "--insecure" in error

    process = subprocess.Popen(
        [BIN / "fieldline", "hub", "--listen", "0.0.0.0:0", "--data", tmp_path / "d", "--insecure"],
        env=clean_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert "listening on" in process.stdout.readline()
    finally:
        process.terminate()
        _, error = process.communicate(timeout=DEADLINE_S)
    assert "INSECURE" in error
    assert process.returncode == 0


def test_a_token_is_not_sent_in_plaintext_to_another_machine(tmp_path: Path) -> None:
    _, error = command(
        "pub", "a", "x", "--hub", "hub.plant:1", cwd=tmp_path, code=2, environment={"FIELDLINE_TOKEN": "flt_canary"}
    )

    assert "FIELDLINE_TLS_CA" in error
    assert "canary" not in error


def test_a_gateway_without_its_certificate_ends_with_2(folder: Path) -> None:
    text = f"""
kind: gateway
name: gateway-1
site: demo
hub: 127.0.0.1:1
hub_tls: {{ca: {folder / "nowhere.crt"}}}
spool: {{path: {folder / "spool.db"}}}
devices:
  - {{driver: modbus, name: p, area: a, host: 127.0.0.1, unit: 1, tags: [{{name: t, address: 0, type: uint16}}]}}
"""
    (folder / "gateway.yaml").write_text(text)

    done = subprocess.run(
        [BIN / "fieldline-edge", "run", folder / "gateway.yaml"],
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert done.returncode == 2
    assert "nowhere.crt" in done.stderr


def test_certificates_and_tokens_are_listed_with_their_state(folder: Path) -> None:
    tokens = folder / "tokens.json"
    _, said = command("tokens", "issue", "reporting", "--file", tokens, cwd=folder)
    number = said.split()[1]
    command("certs", "revoke", "anomaly", cwd=folder)

    certificates = command("certs", "list", cwd=folder)[0].splitlines()
    listed = command("tokens", "list", "--file", tokens, cwd=folder)[0]

    assert ["revoked" in line for line in certificates] == [False, False, True]
    assert listed.startswith(f"{number}  reporting  good until ")
    command("tokens", "revoke", number, "--file", tokens, cwd=folder)
    assert command("tokens", "list", "--file", tokens, cwd=folder)[0] == ""
