"""One client's flood, bomb or strange name is nobody else's trouble, and no secret is ever written down."""

import asyncio
import contextlib
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
import zstandard

from fieldline import Runtime, Start
from fieldline.errors import DecodeError, Refused
from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import ENCODING_MESSAGES_ZSTD
from fieldline_cloud.tokens import add_token
from tests.faults.support import rss_bytes
from tests.integration.cloud.bystander import Bystander
from tests.integration.cloud.harness import Client, Publisher, address, frame, hello
from tests.integration.cloud.secure import Pki, TlsClient, mtls_hub, now
from tests.integration.test_secure_processes import command, hub_settings, scrape, shows
from tests.integration.test_secure_processes import folder as folder  # a fixture

MIB = 1 << 20


async def test_a_flooder_is_told_to_wait_and_everything_of_another_arrives(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    flooder = {"name": "flooder", "publish": ["flood/#"], "limits": {"frames_s": 100, "bytes_s": 1 << 20}}
    other = {"name": "tester", "publish": ["bystander/#"], "subscribe": ["bystander/#"]}
    async with (
        mtls_hub(tmp_path / "hub", pki, flooder, other) as hub,
        Bystander(address(hub), client=TlsClient(address(hub), pki.client("tester")), name="tester") as bystander,
        TlsClient(address(hub), pki.client("flooder")) as client,
    ):
        waits_ms: list[int] = []
        ended = asyncio.Event()

        async def flood() -> None:
            while not ended.is_set():
                waits_ms.append(await flood_until_refused(client.publisher()))

        flooding = asyncio.create_task(flood())
        for _ in range(300):
            await bystander.is_served()
        ended.set()
        await flooding

        assert waits_ms
        assert all(1 <= wait_ms <= 60_000 for wait_ms in waits_ms)
        assert hub.refusals == {"rate_limited": len(waits_ms)}


async def flood_until_refused(publisher: Publisher) -> int:
    """Ten times its burst in one message; how long the hub asks to wait, in ms. It comes again at once all the same."""
    greeting = hub_pb2.PublishHello(hello=hello("flooder"), producer="flooder", epoch=time.monotonic_ns())
    await publisher.send(hub_pb2.PublishRequest(hello=greeting))
    with contextlib.suppress(grpc.aio.AioRpcError):  # which it may be as early as this
        if await publisher.read():
            await publisher.publish(*[frame(number, "flood/x", body=bytes(1024)) for number in range(1, 1_001)])
        while await publisher.read():
            pass
    status, error = await publisher.refusal()
    assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_RATE_LIMITED)
    return error.retry_after_ms


def bomb(*, declared: bool) -> bytes:
    """A few kilobytes that would unpack to 256 MiB."""
    compressor = zstandard.ZstdCompressor(level=1, write_content_size=declared)
    if declared:
        return compressor.compress(bytes(256 * MIB))
    writer = compressor.compressobj()
    return writer.compress(bytes(256 * MIB)) + writer.flush()


@pytest.mark.parametrize("declared", [True, False])
async def test_a_zstd_bomb_goes_through_the_hub_unopened_and_its_reader_refuses_it(
    declared: bool, tmp_path: Path
) -> None:
    body = bomb(declared=declared)
    async with HubProcess(tmp_path) as hub, Bystander(hub.address) as other, Client(hub.address) as client:
        before = rss_bytes(hub.pid)
        publisher = client.publisher()
        await publisher.greet()
        await publisher.publish(*[frame(n, body=body, encoding=ENCODING_MESSAGES_ZSTD) for n in range(1, 11)])
        await publisher.acked(10)
        async with (
            Runtime(hub.address, name="reader") as runtime,
            runtime.subscribe("t/a", start=Start.EARLIEST) as subscription,
        ):
            delivery = await asyncio.wait_for(subscription.next_delivery(), 10)
            assert delivery is not None
            own = rss_bytes(os.getpid())
            with pytest.raises(DecodeError):
                delivery.messages()

        assert rss_bytes(os.getpid()) - own < 16 * MIB
        assert rss_bytes(hub.pid) - before < 16 * MIB
        await other.is_served()


@pytest.mark.parametrize("name", ["../../x", "a\x00b", "x" * 300, "a/b", "..", "a\\b", "~"])
async def test_no_name_of_a_client_becomes_a_path(name: str, tmp_path: Path) -> None:
    async with HubProcess(tmp_path / "hub") as hub, Client(hub.address) as client:
        for opening in ({"durable": name}, {"hello": hello(name)}):
            stream = client.subscriber()
            request = hub_pb2.SubscribeOpen(**{"hello": hello(), "filters": ["#"], **opening})  # type: ignore[arg-type]  # values of every kind
            await stream.send(hub_pb2.SubscribeRequest(open=request))
            assert (await stream.refusal())[1].code == hub_pb2.ERROR_CODE_BAD_NAME
        publisher = client.publisher()
        greeting = hub_pb2.PublishHello(hello=hello(), producer=name, epoch=1)
        await publisher.send(hub_pb2.PublishRequest(hello=greeting))
        assert (await publisher.refusal())[1].code == hub_pb2.ERROR_CODE_BAD_NAME
    outside = {path.relative_to(tmp_path).parts[0] for path in tmp_path.rglob("*")}
    assert outside == {"hub"}


async def test_a_device_name_of_windows_is_a_name_like_any_other(tmp_path: Path) -> None:
    async with HubProcess(tmp_path) as hub, Client(hub.address) as client:
        await client.subscriber().open("#", durable="CON")
        await client.publisher().greet("NUL")
    assert not list(tmp_path.rglob("*CON*")) + list(tmp_path.rglob("*NUL*")), "names are content, not files"


async def test_no_secret_is_in_a_log_a_metric_a_dump_an_error_or_the_hubs_data(folder: Path) -> None:
    """Canaries: a token that is good, one that is not, and every private key there is."""
    tokens = folder / "tokens.json"
    good = (await asyncio.to_thread(command, "tokens", "issue", "reporting", "--file", tokens, cwd=folder))[0].strip()
    bad = "flt_" + "canary" * 7
    settings = {**hub_settings(folder, tokens), "metrics": "127.0.0.1:0"}
    said: list[str] = []

    def run(*words: object, code: int = 0, environment: dict[str, str] | None = None) -> None:
        said.extend(command(*words, cwd=folder, code=code, environment=environment))

    async with HubProcess(folder / "run", settings=settings) as hub:
        access = shows(folder, "gateway-1")
        publish = ("pub", "readings/demo/x", "x", "--name", "gateway-1", "--hub", hub.address)
        await asyncio.to_thread(run, *publish, environment=access)
        door = await token_door(hub)
        read = ("sub", "readings/demo/#", "--from", "start", "--until-end", "--hub", f"127.0.0.1:{door}")
        ca = {"FIELDLINE_TLS_CA": access["FIELDLINE_TLS_CA"], "FIELDLINE_NAME": "reporting"}
        await asyncio.to_thread(run, *read, environment={**ca, "FIELDLINE_TOKEN": good})
        await asyncio.to_thread(run, *read, code=3, environment={**ca, "FIELDLINE_TOKEN": bad})
        said.append(await asyncio.to_thread(scrape, hub.metrics_port))
        (folder / "gateway.yaml").write_text(f"kind: gateway\nhub_token: {good}\nhub_token: {bad}\ncolour: x\n")
        await asyncio.to_thread(run, "check", "gateway.yaml", code=2)
        said.append(hub.errors)

    private = [line for key in folder.rglob("*.key") for line in key.read_text().splitlines() if "-----" not in line]
    assert len(private) > 4
    written = [path for path in (folder / "run").rglob("*") if path.is_file()]
    assert any("data" in path.parts for path in written)
    everything = "\n".join(said) + "".join(path.read_bytes().decode(errors="replace") for path in written)
    assert [secret for secret in (good, bad, *private) if secret in everything] == []


async def token_door(hub: HubProcess) -> int:
    """The port for tokens; HubProcess leaves the line that names it unread."""
    process: Any = hub._process
    async with asyncio.timeout(10):
        while "for tokens on port " not in (line := str((await process.stdout.readline()).decode())):
            assert line
    return int(line.rpartition(" ")[2])


async def test_an_error_about_a_token_does_not_repeat_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "tokens.json"
    token, _ = add_token(file, "agent", now_s=now().timestamp(), days=1)
    auth = {"identities": [{"name": "agent"}], "tokens_file": str(file)}
    async with HubProcess(tmp_path / "run", settings={"auth": auth}) as hub:
        with pytest.raises(Refused) as refused:
            async with Runtime(hub.address, name="agent", token=token[:-2] + "xx") as runtime:
                await runtime.publish("a", "x", stored=True)
        assert token[:-2] not in str(refused.value) + hub.errors + caplog.text
    assert token not in file.read_text()
    assert json.loads(file.read_text())
