"""Who gets into a hub and what it may do there: real handshakes, real streams."""

import asyncio
import datetime
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from fieldline import Coalescing, HubUnavailable, Refused, Runtime, Start, Tls
from fieldline.client import channel
from fieldline.errors import ConfigError
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.hub.errors import HubRefusal
from fieldline_cloud.hub.rpc import server
from fieldline_cloud.tokens import add_token, remove_token
from tests.integration.cloud.harness import (
    DEADLINE_S,
    Client,
    address,
    collect,
    frame,
    hello,
    numbers,
    running_hub,
    until,
)
from tests.integration.cloud.secure import (
    AGENT,
    EDGE_7,
    EDGE_8,
    Pki,
    TlsClient,
    mtls_hub,
    now,
    publish_one,
    reached,
    replace,
    subscribe_once,
    token_hub,
)

DENIED = hub_pb2.ERROR_CODE_PERMISSION_DENIED
UNKNOWN = hub_pb2.ERROR_CODE_UNAUTHENTICATED


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    return Pki(tmp_path_factory.mktemp("pki"))


async def test_only_a_certificate_of_our_authority_gets_in(tmp_path: Path, pki: Pki) -> None:
    foreign = Pki(tmp_path / "foreign").client("edge-7")
    expired = pki.client("edge-7", days=1, at=now() - datetime.timedelta(days=2))
    async with mtls_hub(tmp_path / "hub", pki, EDGE_7) as hub:
        where = address(hub)
        ca = pki.authority.certificate_path

        refused = [
            await reached(where, None, within_s=0.5),
            await reached(where, pki.only_ca(), within_s=0.5),
            await reached(where, Tls(ca, foreign.certificate, foreign.key), within_s=0.5),
            await reached(where, expired, within_s=0.5),
        ]

        assert refused == [False] * 4
        assert await reached(where, pki.client("edge-7"))


async def test_a_hub_of_another_authority_is_not_believed(tmp_path: Path, pki: Pki) -> None:
    foreign = Pki(tmp_path / "foreign")
    ours = pki.client("edge-7")
    async with mtls_hub(tmp_path / "hub", foreign, EDGE_7) as hub:
        runtime = Runtime(address(hub), name="edge-7", tls=ours, connect_timeout_s=0.5)

        with pytest.raises(HubUnavailable, match="the certificates"):
            await runtime.__aenter__()


async def test_a_failed_handshake_says_where_to_look(
    tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        mtls_hub(tmp_path, pki, EDGE_7) as hub,
        Runtime(address(hub), name="edge-7", tls=pki.only_ca(), close_timeout_s=0) as runtime,
    ):
        await runtime.publish("readings/site/edge-7/p", "x")

        await until(lambda: "certificates" in caplog.text)


@pytest.mark.parametrize(
    ("who", "verb", "topic", "may"),
    [
        ("edge-7", "publish", "readings/site/edge-7/pump", True),
        ("edge-7", "publish", "readings/site/edge-8/pump", False),
        ("edge-7", "publish", "alerts/site/edge-7", False),
        ("edge-7", "subscribe", "commands/edge-7/#", True),
        ("edge-7", "subscribe", "commands/#", False),
        ("edge-7", "subscribe", "#", False),
        ("edge-8", "subscribe", "commands/edge-8/#", False),
        ("agent", "publish", "alerts/site/x", True),
        ("agent", "publish", "readings/site/edge-7/pump", False),
        ("agent", "subscribe", "readings/+/+/#", True),
        ("agent", "subscribe", "tasks/#", False),
        ("stranger", "publish", "readings/site/edge-7/pump", False),
        ("stranger", "subscribe", "readings/#", False),
    ],
)
async def test_each_role_may_do_what_it_was_granted(
    tmp_path: Path, pki: Pki, who: str, verb: str, topic: str, may: bool
) -> None:
    tls = pki.client(who)
    async with mtls_hub(tmp_path, pki, EDGE_7, EDGE_8, AGENT) as hub:
        act = publish_one if verb == "publish" else subscribe_once
        [refused] = await asyncio.gather(act(address(hub), topic, name=who, tls=tls), return_exceptions=True)

        if may:
            assert refused is None
        else:
            assert isinstance(refused, Refused)
            assert (refused.code, who in str(refused)) == ("PERMISSION_DENIED", True)
        assert hub.broker.tail == (1 if may and verb == "publish" else 0)


async def test_one_gateway_cannot_publish_as_another_and_nothing_of_it_is_stored(
    tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        mtls_hub(tmp_path, pki, EDGE_7, EDGE_8) as hub,
        TlsClient(address(hub), pki.client("edge-7")) as client,
    ):
        as_other = hub_pb2.PublishHello(hello=hello("edge-7"), producer="edge-8", epoch=1)
        publisher = client.publisher()
        await publisher.send(hub_pb2.PublishRequest(hello=as_other))
        status, error = await publisher.refusal()
        assert (status, error.code) == ("PERMISSION_DENIED", DENIED)

        named_so = hub_pb2.PublishHello(hello=hello("edge-8"), producer="edge-7", epoch=1)
        publisher = client.publisher()
        await publisher.send(hub_pb2.PublishRequest(hello=named_so))
        assert (await publisher.refusal())[1].code == DENIED

        own = hub_pb2.PublishHello(hello=hello("edge-7"), producer="edge-7.x", epoch=1)
        publisher = client.publisher()
        await publisher.send(hub_pb2.PublishRequest(hello=own))
        await publisher.read()
        await publisher.publish(frame(1, "readings/site/edge-8/p"))
        assert (await publisher.refusal())[1].code == DENIED

        assert hub.broker.tail == 0
        assert hub.refusals["permission_denied"] == 3
    lines = [one for one in caplog.records if one.name == "fieldline.audit"]
    assert len(lines) == 1, "the others within a minute are counted"
    assert (lines[0].identity, lines[0].code) == ("edge-7", "permission_denied")  # type: ignore[attr-defined]  # extra


async def test_a_durable_belongs_to_an_identity(tmp_path: Path, pki: Pki) -> None:
    reader = {**AGENT, "name": "reader", "durables": ["shared-*"]}
    async with mtls_hub(tmp_path, pki, AGENT, reader) as hub:
        async with Runtime(address(hub), name="reader", tls=pki.client("reader")) as runtime:
            for durable in ("reader", "reader.two", "shared-a"):
                async with runtime.subscribe("alerts/#", durable=durable) as subscription:
                    await subscription.wait_open(timeout_s=10)
            async with runtime.subscribe("alerts/#", durable="agent") as subscription:
                with pytest.raises(Refused, match="durable name 'agent'"):
                    await subscription.wait_open(timeout_s=10)
        assert "agent" not in hub.broker.engine.cursors()


async def test_a_certificate_without_an_identity_is_nobody(tmp_path: Path, pki: Pki) -> None:
    hubs_own = Tls(pki.authority.certificate_path, pki.hub / "hub.crt", pki.hub / "hub.key")
    async with mtls_hub(tmp_path, pki, EDGE_7) as hub, TlsClient(address(hub), hubs_own) as client:
        status = await client.publisher().status()

        # It is a server's, so the handshake may fail already.
        assert status in (grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNAVAILABLE)
        assert hub.broker.statistics.frames_stored == 0


async def test_a_revoked_certificate_ends_open_streams_and_gets_no_new_one(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    async with (
        mtls_hub(tmp_path / "hub", pki, EDGE_7, AGENT) as hub,
        TlsClient(address(hub), pki.client("edge-7")) as bad,
        TlsClient(address(hub), pki.client("agent")) as good,
    ):
        staying, going = good.subscriber(), bad.subscriber()
        await staying.open("readings/#", hello=hello("agent"))
        await going.open("commands/edge-7/#", hello=hello("edge-7"))

        pki.authority.revoke("edge-7", now=now())

        status, error = await going.refusal()
        assert (status, error.code) == ("UNAUTHENTICATED", UNKNOWN)
        assert "revoked" in error.message
        again = bad.subscriber()
        assert (await again.refusal())[1].code == UNKNOWN
        assert not staying.call.done()
        assert hub.refusals["unauthenticated"] == 2


async def test_a_certificate_that_expires_meanwhile_ends_its_streams(tmp_path: Path, pki: Pki) -> None:
    soon = now() - datetime.timedelta(days=1) + datetime.timedelta(seconds=1.5)
    async with (
        mtls_hub(tmp_path, pki, EDGE_7) as hub,
        TlsClient(address(hub), pki.client("edge-7", days=1, at=soon)) as client,
    ):
        stream = client.subscriber()
        await stream.open("commands/edge-7/#", hello=hello("edge-7"))

        status, error = await stream.refusal()

        assert (status, "expired" in error.message) == ("UNAUTHENTICATED", True)


async def test_a_damaged_revocation_list_leaves_the_last_one_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    tls = pki.client("edge-7")
    async with mtls_hub(tmp_path / "hub", pki, EDGE_7) as hub:
        pki.authority.revoke("edge-7", now=now())
        with pytest.raises(Refused, match="revoked"):
            await publish_one(address(hub), "readings/site/edge-7/p", name="edge-7", tls=tls)
        replace(pki.authority.crl_path, Pki(tmp_path / "other").authority.crl_path.read_bytes())

        with pytest.raises(Refused, match="revoked"):
            await publish_one(address(hub), "readings/site/edge-7/p", name="edge-7", tls=tls)

    assert "stays in force" in caplog.text


async def test_tokens_let_in_and_end_when_they_are_revoked(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "tokens.json"
    good, token = add_token(file, "agent", now_s=now().timestamp(), days=1)
    late, _ = add_token(file, "agent", now_s=now().timestamp() - 86_401, days=1)
    wrong = good[:-4] + "AAAA"
    async with token_hub(tmp_path / "hub", file, [AGENT]) as hub:
        where = address(hub)
        await publish_one(where, "alerts/x", name="agent", token=good)
        for bad, why in ((wrong, "not known"), (late, "expired"), ("", "needs a token")):
            with pytest.raises(Refused, match=why) as refused:
                await publish_one(where, "alerts/x", name="agent", token=bad)
            assert refused.value.code == "UNAUTHENTICATED"
        new, _ = add_token(file, "agent", now_s=now().timestamp(), days=1)
        await publish_one(where, "alerts/x", name="agent", token=new)

        async with (
            Runtime(where, name="agent", token=good) as runtime,
            runtime.subscribe("alerts/#") as subscription,
        ):
            await subscription.wait_open(timeout_s=10)
            remove_token(file, token.id)
            with pytest.raises(Refused, match="revoked"):
                await subscription.next_delivery()
        assert hub.broker.tail == 2
    for secret in (good, late, wrong, new):
        assert secret not in caplog.text
        assert secret[17:] not in caplog.text


async def test_tokens_have_a_door_of_their_own_beside_certificates(tmp_path: Path, pki: Pki) -> None:
    file = tmp_path / "tokens.json"
    token, _ = add_token(file, "agent", now_s=now().timestamp(), days=1)
    auth = {"identities": [EDGE_7, AGENT], "tokens_file": file, "token_listen": "127.0.0.1:0"}
    async with running_hub(tmp_path / "hub", tls=pki.hub_tls(), auth=auth) as hub:
        side_door = f"127.0.0.1:{hub.token_port}"

        await publish_one(address(hub), "readings/site/edge-7/p", name="edge-7", tls=pki.client("edge-7"))
        await publish_one(side_door, "alerts/x", name="agent", tls=pki.only_ca(), token=token)
        with pytest.raises(Refused, match="token"):
            await publish_one(side_door, "alerts/x", name="agent", tls=pki.only_ca())

        assert not await reached(address(hub), pki.only_ca(), within_s=0.5)
        assert hub.broker.tail == 2


async def test_a_publisher_over_its_rate_is_told_when_to_come_back(tmp_path: Path, pki: Pki) -> None:
    slow = {**AGENT, "limits": {"frames_s": 5}}
    async with (
        mtls_hub(tmp_path, pki, slow) as hub,
        TlsClient(address(hub), pki.client("agent")) as client,
    ):
        publisher = client.publisher()
        greeting = hub_pb2.PublishHello(hello=hello("agent"), producer="agent", epoch=1)
        await publisher.send(hub_pb2.PublishRequest(hello=greeting))
        await publisher.read()
        await publisher.publish(*(frame(number, "alerts/x") for number in range(1, 20)))
        await publisher.acked(5)  # what passed is acknowledged before the refusal

        status, error = await publisher.refusal()

        assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_RATE_LIMITED)
        assert 100 <= error.retry_after_ms <= 1000
        assert "5 frames/s" in error.message
        await until(lambda: hub.broker.tail == 5)
        assert hub.refusals == {"rate_limited": 1}


async def test_a_rate_costs_time_and_nothing_else(tmp_path: Path, pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    slow = {**AGENT, "limits": {"bytes_s": 40_000}}
    async with mtls_hub(tmp_path, pki, slow) as hub:
        began = asyncio.get_running_loop().time()
        plain = Coalescing(compress_from_bytes=None)  # compressed they would be within the rate
        async with Runtime(address(hub), name="agent", tls=pki.client("agent"), coalescing=plain) as runtime:
            for number in range(100):
                await runtime.publish(f"alerts/{number % 4}", str(number).ljust(1000))
                await asyncio.sleep(0)
            async with asyncio.timeout(30):
                await runtime.flush()
            took_s = asyncio.get_running_loop().time() - began
            async with runtime.subscribe("alerts/#", start=Start.EARLIEST) as messages:
                found = [text.strip() for text in await collect(messages, 100)]
        assert sorted(found, key=int) == numbers(0, 100)
        assert hub.refusals.get("rate_limited", 0) >= 1
        assert took_s > 0.5
        assert hub.broker.statistics.frames_duplicate <= hub.broker.statistics.frames_stored
    assert caplog.text.count("holds us to our rate") == 1


async def test_streams_of_one_identity_are_bounded_and_others_are_served(tmp_path: Path, pki: Pki) -> None:
    one = {**AGENT, "limits": {"streams": 2}}
    async with (
        mtls_hub(tmp_path, pki, one, EDGE_7) as hub,
        TlsClient(address(hub), pki.client("agent")) as client,
        TlsClient(address(hub), pki.client("edge-7")) as other,
    ):
        first = client.subscriber()
        await first.open("alerts/#", hello=hello("agent"))
        await client.subscriber().open("alerts/#", hello=hello("agent"))
        status, error = await client.subscriber().refusal()
        assert (status, error.code) == ("RESOURCE_EXHAUSTED", hub_pb2.ERROR_CODE_TOO_MANY)
        await other.subscriber().open("commands/edge-7/#", hello=hello("edge-7"))

        first.call.cancel()
        await until(lambda: len(hub._server._streams) == 2)
        await client.subscriber().open("alerts/#", hello=hello("agent"))


async def test_certificates_are_renewed_under_traffic_and_nothing_is_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    pki = Pki(tmp_path)
    tls = pki.client("agent")
    ages = pki.hub_tls(connection_age_s_max=1, connection_grace_s=1)
    async with mtls_hub(tmp_path / "hub", pki, AGENT, tls=ages) as hub:
        old_end = hub_certificate_end(hub)
        async with (
            Runtime(address(hub), name="agent", tls=tls) as runtime,
            runtime.subscribe("alerts/#", durable="agent", start=Start.EARLIEST) as messages,
        ):
            await messages.wait_open(timeout_s=10)
            pki.authority.issue_hub("hub", ["127.0.0.1"], days=60, now=now())
            pki.client("agent")
            sent = await publish_until(runtime, lambda: messages.connects >= 3)

            assert await collect(messages, sent) == numbers(0, sent)
        assert hub_certificate_end(hub) > old_end
        assert hub.broker.statistics.messages_stored == sent
    assert "new connections get the new ones" in caplog.text
    assert "with the new ones" in caplog.text


async def publish_until(runtime: Runtime, condition: Callable[[], bool]) -> int:
    """Publish numbers until the condition holds and a little more; returns how many."""
    sent = 0
    async with asyncio.timeout(DEADLINE_S):
        while not condition() or sent % 100:
            await runtime.publish("alerts/x", str(sent))
            sent += 1
            await asyncio.sleep(0.005)
        await runtime.flush()
    return sent


def hub_certificate_end(hub: Hub) -> float:
    assert hub.certificates is not None
    return hub.certificates.not_after_s


async def test_changed_files_that_do_not_fit_leave_the_old_ones_in_force(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    async with mtls_hub(tmp_path / "hub", pki, EDGE_7) as hub:
        replace(pki.hub / "hub.key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")

        assert await reached(address(hub), pki.client("edge-7"))

    assert "goes on with the old ones" in caplog.text


@pytest.mark.parametrize("hub_too", [True, False])
async def test_pings_of_an_idle_client_draw_no_goaway(
    tmp_path: Path, pki: Pki, monkeypatch: pytest.MonkeyPatch, hub_too: bool
) -> None:
    """Hub and client with their own options at thirty times the speed. A hub that keeps its own would send it away."""
    monkeypatch.setattr(channel, "_OPTIONS", sped_up(channel._OPTIONS))
    if hub_too:
        monkeypatch.setattr(server, "_OPTIONS", sped_up(server._OPTIONS))
    async with (
        mtls_hub(tmp_path, pki, EDGE_7) as hub,
        TlsClient(address(hub), pki.client("edge-7")) as client,
    ):
        stream = client.subscriber()
        await stream.open("commands/edge-7/#", hello=hello("edge-7"))

        ended, _ = await asyncio.wait([asyncio.ensure_future(stream.call.code())], timeout=6)

        assert bool(ended) is not hub_too


def sped_up(options: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    timed = ("grpc.keepalive_time_ms", "grpc.http2.min_ping_interval_without_data_ms")
    return [(key, value // 30 if key in timed else value) for key, value in options]


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "--insecure"),
        ({"auth": {"tokens_file": "t", "identities": []}}, "--insecure"),
    ],
)
async def test_plaintext_beyond_loopback_is_refused(tmp_path: Path, settings: dict[str, object], says: str) -> None:
    hub = Hub(HubSettings.model_validate({"listen": "0.0.0.0:0", "data": tmp_path, **settings}))

    with pytest.raises(ConfigError, match=says):
        await hub.start()


async def test_insecure_is_possible_and_said_at_every_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(2):
        settings = HubSettings.model_validate({"listen": "0.0.0.0:0", "data": tmp_path, "insecure": True})
        async with Hub(settings) as hub, Client(address(hub)) as client:
            await client.publisher().greet()

    assert caplog.text.count("INSECURE") == 2
    assert caplog.text.count("may publish and subscribe to everything") == 2


async def test_a_key_that_everybody_may_read_stops_the_start(tmp_path: Path) -> None:
    pki = Pki(tmp_path)
    (pki.hub / "hub.key").chmod(0o644)
    hub = Hub(HubSettings.model_validate({"listen": "127.0.0.1:0", "data": tmp_path / "data", "tls": pki.hub_pair()}))

    with pytest.raises(ConfigError, match="chmod 600"):
        await hub.start()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"certificate": "none.crt"}, r"tls.certificate: none.crt: cannot be read"),
        ({"key": "OTHER"}, "is not the key of"),
        ({"revoked": "CA"}, "is not a revocation list"),
        ({"client_ca": "FOREIGN"}, "was not signed by"),
    ],
)
async def test_files_that_cannot_be_used_stop_the_start(
    tmp_path: Path, pki: Pki, change: dict[str, str], says: str
) -> None:
    other = Pki(tmp_path / "other")
    names = {"OTHER": other.hub / "hub.key", "CA": pki.authority.certificate_path}
    names["FOREIGN"] = other.authority.certificate_path
    tls = pki.hub_tls(**{key: str(names.get(value, value)) for key, value in change.items()})
    hub = Hub(HubSettings.model_validate({"listen": "127.0.0.1:0", "data": tmp_path / "data", "tls": tls}))

    with pytest.raises(ConfigError, match=says):
        await hub.start()

    assert not (tmp_path / "data").exists(), "nothing was opened"


async def test_without_auth_any_certificate_of_ours_may_do_everything(tmp_path: Path, pki: Pki) -> None:
    async with running_hub(tmp_path, tls=pki.hub_tls()) as hub:
        await publish_one(address(hub), "anything/at/all", name="whoever", tls=pki.client("edge-7"))

        assert hub.broker.tail == 1
        assert not await reached(address(hub), pki.only_ca(), within_s=0.5)


def test_the_status_of_each_new_code() -> None:
    assert HubRefusal.unauthenticated("x").status is grpc.StatusCode.UNAUTHENTICATED
    assert HubRefusal.denied("x").status is grpc.StatusCode.PERMISSION_DENIED
    assert HubRefusal.rate_limited("x", 0.2).status is grpc.StatusCode.RESOURCE_EXHAUSTED
