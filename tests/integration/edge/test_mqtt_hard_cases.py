"""MQTT where it goes wrong in plants: TLS, hostile topics, huge payloads, brokers that refuse or forget.

Row 15 of the complaints that gateways get (Telegraf 16293, 16038, 6232; StreamPipes 4157: the consumer reconnects and
never subscribes again) has a test of each kind here.
"""

import asyncio
import contextlib
import datetime
import ipaddress
import json
import logging
import socket
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.mqtt.driver import MqttDriver
from tests.integration.edge.conftest import Mosquitto
from tests.integration.edge.harness import DEADLINE_S, Collector, running
from tests.integration.edge.test_mqtt import device, publish, subscribed, until_stat

PROTOCOLS = ["3.1.1", "5"]


class Authority:
    """A certificate authority in a folder, for one test."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
        self._name = name
        made = self._build(name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self.ca = self._write("ca.pem", made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, name: str, *, host: str | None = None) -> tuple[Path, Path]:
        """Certificate and key for a client, or for a server of this DNS name."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._build(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        if host is not None:
            names: list[x509.GeneralName] = [x509.DNSName(host)]
            with contextlib.suppress(ValueError):
                names = [x509.IPAddress(ipaddress.ip_address(host))]
            made = made.add_extension(x509.SubjectAlternativeName(names), critical=False)
        certificate = made.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return self._write(f"{name}.pem", certificate), self._write(f"{name}.key", private)

    def _build(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    def _write(self, name: str, content: bytes) -> Path:
        path = self._folder / name
        path.write_bytes(content)
        path.chmod(0o644)
        return path


@contextlib.asynccontextmanager
async def tls_broker(
    program: str, folder: Path, authority: Authority, *, host: str
) -> AsyncIterator[tuple[Mosquitto, int]]:
    """A broker with a plain port for publishers and one that wants client certificates."""
    certificate, key = authority.issue("broker", host=host)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = int(free.getsockname()[1])
    options = [
        f"listener {port} 127.0.0.1",
        f"cafile {authority.ca}",
        f"certfile {certificate}",
        f"keyfile {key}",
        "require_certificate true",
    ]
    async with Mosquitto(program, folder, options=options) as broker:
        yield broker, port


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_tls_with_a_client_certificate_and_a_name_of_its_own(
    mosquitto_program: str, tmp_path: Path, protocol: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway")
    tls = {"ca": authority.ca, "certificate": certificate, "key": key, "server_name": "broker.plant"}
    sink = Collector()
    async with tls_broker(mosquitto_program, tmp_path, authority, host="broker.plant") as (broker, port):
        driver = MqttDriver([device("env-1", port, broker={"tls": tls, "protocol": protocol})], site="s", sink=sink)
        async with running(driver):
            await subscribed(driver, sink, broker.port, "env-1")
            await publish(broker.port, "plant/b/env-1", {"temp": 3.5})
            await sink.until(lambda: sink.of("env-1", "temperature"))
    assert sink.of("env-1", "temperature")[0].value == 3.5


@pytest.mark.parametrize("what", ["no client certificate", "another name", "another authority", "no such file"])
async def test_tls_that_does_not_fit_is_not_connected_and_says_why(
    mosquitto_program: str, tmp_path: Path, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.issue("gateway")
    tls: dict[str, Any] = {"ca": authority.ca, "certificate": certificate, "key": key}
    if what == "no client certificate":
        tls = {"ca": authority.ca}
    elif what == "another authority":
        (tmp_path / "other").mkdir()
        tls["ca"] = Authority(tmp_path / "other").ca
    elif what == "no such file":
        tls["ca"] = tmp_path / "missing.pem"
    host = "elsewhere.plant" if what == "another name" else "127.0.0.1"
    sink = Collector()
    with caplog.at_level(logging.WARNING):
        async with tls_broker(mosquitto_program, tmp_path, authority, host=host) as (_, port):
            driver = MqttDriver([device("env-1", port, broker={"tls": tls})], site="s", sink=sink)
            async with running(driver):
                await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
    assert driver.stats.connects == 0
    if what != "no client certificate":  # TLS 1.3 refuses that after the handshake, by closing
        reason = {"another name": "127.0.0.1", "another authority": "certificate", "no such file": "missing.pem"}[what]
        assert reason in caplog.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_telegraf_16293_a_broker_restart_is_subscribed_again(broker: Mosquitto, protocol: str) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port, broker={"protocol": protocol})], site="s", sink=sink)
    async with running(driver):
        for _ in range(2):
            await subscribed(driver, sink, broker.port, "env-1")
            await broker.stop()
            await sink.until_quality("env-1", "open", Quality.BAD_NOT_CONNECTED)
            await broker.start()
        await subscribed(driver, sink, broker.port, "env-1")
    assert driver.stats.reconnects == 2


async def test_telegraf_6232_a_broker_that_is_not_there_at_the_start_is_found(
    mosquitto_program: str, tmp_path: Path
) -> None:
    sink = Collector()
    late = Mosquitto(mosquitto_program, tmp_path)
    settings = device("env-1", late.port, broker={"protocol": "5", "client_id": "g", "session_s": 60})
    driver = MqttDriver([settings], site="s", sink=sink)
    async with running(driver):
        await until_stat(driver.stats, "connects_failed", 2)
        async with late:
            await subscribed(driver, sink, late.port, "env-1")


async def test_telegraf_16038_a_session_the_broker_kept_is_subscribed_to_new_topics_too(broker: Mosquitto) -> None:
    session = {"client_id": "g", "session_s": 600}
    first, second = Collector(), Collector()
    driver = MqttDriver([device("env-1", broker.port, broker=session)], site="s", sink=first)
    async with running(driver):
        await subscribed(driver, first, broker.port, "env-1")
    both = [device("env-1", broker.port, broker=session), device("env-2", broker.port, broker=session)]
    driver = MqttDriver(both, site="s", sink=second)
    async with running(driver):
        await subscribed(driver, second, broker.port, "env-2")


async def test_streampipes_4157_a_link_that_is_cut_in_between_is_subscribed_again(broker: Mosquitto) -> None:
    """The broker stays and the connection is cut, as a firewall does it."""
    cuts: list[asyncio.StreamWriter] = []

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", broker.port)
        cuts.extend((writer, back))

        async def pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while data := await source.read(4096):
                    target.write(data)
            target.close()

        await asyncio.gather(pump(reader, back), pump(there, writer))

    sink = Collector()
    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    driver = MqttDriver([device("env-1", port)], site="s", sink=sink)
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        for writer in cuts:
            writer.transport.abort()
        await until_stat(driver.stats, "reconnects", 1)
        await subscribed(driver, sink, broker.port, "env-1")
    server.close()
    await server.wait_closed()


async def test_a_refused_subscription_is_marked_and_the_others_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = 'permissions: { subscribe: { deny: ["plant.b.secret"] } }'
    account = {"username": "g", "password": "p"}
    sink = Collector()
    users = f'authorization {{ users: [ {{ user: "g", password: "p", {rules} }}, {{ user: "x", password: "x" }} ] }}\n'
    async with nats_broker(tmp_path, users) as port:
        devices = [device(name, port, broker=account) for name in ("env-1", "secret")]
        driver = MqttDriver(devices, site="s", sink=sink)
        with caplog.at_level(logging.WARNING):
            async with running(driver):
                await sink.until_quality("secret", "open", Quality.BAD_EXCEPTION)
    assert driver.stats.subscribes_refused == 1
    assert "refused a subscription" in caplog.text
    assert sink.of("env-1", "open") == []


async def test_a_reason_of_mqtt_5_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """No broker here refuses under MQTT 5, so the three packets are written by hand (MQTT 5, sections 3.2, 3.9)."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                kind, length = await reader.readexactly(2)
                body = await reader.readexactly(length)
                if kind == 0x10:  # CONNECT: accepted
                    writer.write(bytes([0x20, 3, 0, 0, 0]))
                elif kind == 0x82:  # SUBSCRIBE: not authorized
                    writer.write(bytes([0x90, 4, *body[:2], 0, 0x87]))
        writer.close()

    sink = Collector()
    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    driver = MqttDriver([device("env-1", port, broker={"protocol": "5"})], site="s", sink=sink)
    with caplog.at_level(logging.WARNING):
        async with running(driver):
            await sink.until_quality("env-1", "open", Quality.BAD_EXCEPTION)
    server.close()
    await server.wait_closed()
    assert "Not authorized" in caplog.text


async def test_a_payload_of_one_mebibyte_is_read_and_a_longer_one_refused(broker: Mosquitto) -> None:
    sink = Collector()
    driver = MqttDriver([device("env-1", broker.port, payload_bytes_max=1 << 20)], site="s", sink=sink)
    body = {"temp": 5.5, "pad": "x" * ((1 << 20) - 40)}
    async with running(driver):
        await subscribed(driver, sink, broker.port, "env-1")
        await publish(broker.port, "plant/b/env-1", body)
        await sink.until(lambda: sink.of("env-1", "temperature"))
        await publish(broker.port, "plant/b/env-1", b"x" * (1 << 22))
        await until_stat(driver.stats, "messages_refused", 1)
    assert len(json.dumps(body)) <= 1 << 20
    assert sink.of("env-1", "temperature")[0].value == 5.5


class Places(Collector):
    """Remembers whole device ids."""

    def __init__(self) -> None:
        super().__init__()
        self.devices: set[DeviceId] = set()

    def put(self, device: DeviceId, readings: Sequence[Reading]) -> None:
        self.devices.add(device)
        super().put(device, readings)


async def test_hostile_topics_find_no_way_into_names(broker: Mosquitto) -> None:
    sink = Places()
    settings = device("all", broker.port, topic="in/{area}/{device}", devices_max=4)
    driver = MqttDriver([settings], site="s", sink=sink)
    topics = [
        "in/../..",
        "in//",
        "in/a/" + "x" * 5000,
        "in/%2e%2e/$SYS",
        "in/a b/\u202eevil",
        "in/a/'; DROP",
        "in/a/ok",
    ]
    async with running(driver):
        await until_stat(driver.stats, "connects", 1)
        async with asyncio.timeout(DEADLINE_S):
            while not driver.stats.messages:
                await publish(broker.port, "in/first/one")
                await asyncio.sleep(0.05)
        for topic in topics:
            await publish(broker.port, topic)
        await publish(broker.port, "in/first/one", {"temp": 77.0})
        await sink.until(lambda: any(r.value == 77.0 for r in sink.of("one", "temperature")))
    assert len(sink.devices) <= 4
    assert driver.stats.names_refused >= 3


@contextlib.asynccontextmanager
async def nats_broker(folder: Path, users: str = "") -> AsyncIterator[int]:
    """The MQTT 3.1.1 that nats-server speaks, which the demo plant uses."""
    program = Path(sys.executable).parent / "nats-server"
    with socket.socket() as free, socket.socket() as other:
        free.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        port, mqtt = int(free.getsockname()[1]), int(other.getsockname()[1])
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: plant\nlisten: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder / "nats"}" }}\n'
        f'mqtt {{ listen: "127.0.0.1:{mqtt}" }}\n{users}'
    )
    process = await asyncio.create_subprocess_exec(str(program), "-c", str(config), stderr=asyncio.subprocess.DEVNULL)
    try:
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection("127.0.0.1", mqtt)
                    writer.close()
                    break
                await asyncio.sleep(0.1)
        yield mqtt
    finally:
        process.kill()
        await process.wait()


async def test_the_mqtt_of_a_nats_server_keeps_messages_for_a_session(tmp_path: Path) -> None:
    session = {"client_id": "g", "session_s": 600}
    first, second = Collector(), Collector()
    async with nats_broker(tmp_path) as port:
        driver = MqttDriver([device("env-1", port, broker=session)], site="s", sink=first)
        async with running(driver):
            await subscribed(driver, first, port, "env-1")
        await publish(port, "plant/b/env-1", {"temp": 8.5})
        driver = MqttDriver([device("env-1", port, broker=session)], site="s", sink=second)
        async with running(driver):
            await second.until(lambda: any(r.value == 8.5 for r in second.of("env-1", "temperature")))
