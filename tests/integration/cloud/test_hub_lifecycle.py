"""A hub from start to stop, and what it says about itself: addresses, health, metrics, a disk that is full."""

import asyncio
import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import pytest
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2
from prometheus_client.parser import text_string_to_metric_families

from fieldline import ConfigError, Runtime, Start
from fieldline.v1 import hub_pb2
from fieldline_cloud.hub import Hub, HubSettings
from fieldline_cloud.hub.engines.base import Append, Appended, StorageError
from tests.integration.cloud.harness import Client, address, collect, frame, numbers, running_hub, until


def settings(folder: Path, **given: object) -> HubSettings:
    return HubSettings.model_validate({"listen": "127.0.0.1:0", "data": folder, "drain_s": 1.0, **given})


@contextmanager
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


async def test_a_port_in_use_is_a_configuration_error_and_leaves_nothing_open(tmp_path: Path) -> None:
    with taken_port() as port:
        for given in ({"listen": f"127.0.0.1:{port}"}, {"metrics": f"127.0.0.1:{port}"}):
            with pytest.raises(ConfigError, match=rf"{port}.*choose another port"):
                await Hub(settings(tmp_path, **given)).start()
    async with running_hub(tmp_path):  # the log is free again
        pass


async def test_a_second_hub_on_the_same_port_is_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path / "one") as hub:
        with pytest.raises(ConfigError, match="another hub"):
            await Hub(settings(tmp_path / "two", listen=address(hub))).start()


async def test_a_second_hub_on_the_same_log_is_refused(tmp_path: Path) -> None:
    async with running_hub(tmp_path):
        with pytest.raises(ConfigError, match="another hub"):
            await Hub(settings(tmp_path)).start()


@pytest.mark.parametrize("listen", ["0.0.0.0:0", "[::]:0", "10.0.0.1:50051", "example.org:50051", "nonsense", ":1"])
async def test_an_address_others_can_reach_is_refused(listen: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="listen"):
        await Hub(settings(tmp_path, listen=listen)).start()
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_a_file_is_a_configuration_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ConfigError, match="choose another"):
            await Hub(settings(folder)).start()


async def test_stopping_with_open_streams_is_quick_and_tells_them(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        publisher, subscriber, idle = client.publisher(), client.subscriber(), client.subscriber()
        await publisher.greet()
        await subscriber.open("#")
        await idle.open("#", frames=0)
        began = time.monotonic()
        await hub.stop()
        assert time.monotonic() - began < 1.0 + 1.5
        for stream in (publisher, subscriber, idle):
            status, error = await stream.refusal()
            assert status == "UNAVAILABLE"
            assert error.code in (hub_pb2.ERROR_CODE_SHUTTING_DOWN, hub_pb2.ERROR_CODE_UNSPECIFIED)


async def test_stopping_does_not_wait_for_a_client_that_never_reads(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client, Client(address(hub)) as dead:
        await dead.subscriber().open("#", nbytes=1 << 40, frames=1 << 30)
        publisher = client.publisher()
        await publisher.greet()
        for n in range(1, 41):
            await publisher.publish(frame(n, body=bytes(500_000)))
        await publisher.acked(40)
        assert any(one.queued_bytes or one.behind for one in hub.broker.subscribers)
        began = time.monotonic()
        await hub.stop()
        assert time.monotonic() - began < 1.0 + 1.5


async def test_clients_come_back_by_themselves_after_a_graceful_restart(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub:
        port = hub.port
        runtime = Runtime(address(hub), name="agent")
        await runtime.__aenter__()
        messages = runtime.subscribe("t")
        messages.open()
        await messages.wait_open()
        await runtime.publish_batch("t", numbers(0, 10), stored=True)
    async with running_hub(tmp_path, port=port):
        await runtime.publish_batch("t", numbers(10, 20), stored=True)
        assert await collect(messages, 20) == numbers(0, 20)
        await runtime.__aexit__(None, None, None)


async def test_health_is_serving_and_reflection_lists_the_hub(tmp_path: Path) -> None:
    async with running_hub(tmp_path) as hub, Client(address(hub)) as client:
        check = client.channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )
        for service in ("", "fieldline.v1.Hub"):
            health = await check(health_pb2.HealthCheckRequest(service=service))
            assert health.status == health_pb2.HealthCheckResponse.SERVING
        info = client.channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
            response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
        )()
        await info.write(reflection_pb2.ServerReflectionRequest(list_services=""))
        answer = await info.read()
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        listed = {one.name for one in answer.list_services_response.service}
        assert {"fieldline.v1.Hub", "grpc.health.v1.Health"} <= listed
        await info.write(reflection_pb2.ServerReflectionRequest(file_containing_symbol="fieldline.v1.Hub"))
        answer = await info.read()
        assert isinstance(answer, reflection_pb2.ServerReflectionResponse)
        assert answer.file_descriptor_response.file_descriptor_proto
        await info.done_writing()


async def scrape(hub: Hub) -> dict[str, float]:
    def get() -> str:
        with urlopen(f"http://127.0.0.1:{hub.metrics_port}/metrics", timeout=5) as answer:
            page: bytes = answer.read()
            return page.decode()

    found = {}
    for family in text_string_to_metric_families(await asyncio.to_thread(get)):
        for sample in family.samples:
            labels = ",".join(sample.labels.values())
            found[sample.name + (f"[{labels}]" if labels else "")] = sample.value
    return found


async def test_metrics_count_what_happened(tmp_path: Path) -> None:
    async with running_hub(tmp_path, metrics="127.0.0.1:0") as hub, Client(address(hub)) as client:
        publisher, subscriber = client.publisher(), client.subscriber()
        await publisher.greet()
        await subscriber.open("#", durable="d")
        await publisher.publish(frame(1, count=3), frame(2), frame(3))
        await publisher.acked(3)
        await publisher.publish(frame(2), frame(3), frame(4))
        await publisher.acked(4)
        await subscriber.take(4)
        await subscriber.ack(1)
        await until(lambda: hub.broker.engine.cursors() == {"d": 2})
        bad = client.subscriber()
        await bad.send(b"")
        await bad.status()

        found = await scrape(hub)
        assert {name: found[f"fieldline_hub_{name}"] for name in EXPECTED} == EXPECTED
        assert found["fieldline_hub_commit_seconds_count"] >= 3
        assert found["fieldline_hub_log_file_bytes"] >= found["fieldline_hub_log_bytes"] > 0

        def healthz() -> dict[str, object]:
            with urlopen(f"http://127.0.0.1:{hub.metrics_port}/healthz", timeout=5) as answer:
                page: dict[str, object] = json.load(answer)
                return page

        assert (await asyncio.to_thread(healthz))["ok"] is True


EXPECTED = {
    "frames_stored_total": 4,
    "messages_stored_total": 6,
    "frames_duplicate_total": 2,
    "frames_delivered_total": 4,
    "frames_missed_total": 0,
    "publish_streams": 1,
    "subscribe_streams": 1,
    "log_first_offset": 0,
    "log_next_offset": 4,
    "refusals_total[protocol]": 1,
    "durable_backlog_offsets[d]": 2,
    "commit_failures_total": 0,
}


class FaultyEngine:
    """Passes everything on to a real engine, but fails where it is told to."""

    def __init__(self, engine: object) -> None:
        self._engine = engine
        self.full = False
        self.bug: BaseException | None = None

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def commit(self, appends: Sequence[Append], cursors: Mapping[str, int]) -> list[Appended]:
        if self.full:
            raise StorageError("log cannot be written: disk is full")
        if self.bug is not None:
            bug, self.bug = self.bug, None
            raise bug
        return self._engine.commit(appends, cursors)  # type: ignore[attr-defined,no-any-return]  # it stands for any engine


def faulty(hub: Hub) -> FaultyEngine:
    engine = FaultyEngine(hub.broker.engine)
    hub.broker.committer._engine = engine  # type: ignore[assignment]  # passes the rest on by __getattr__
    return engine


def opening(*filters: str, **given: str) -> hub_pb2.SubscribeOpen:
    hello = hub_pb2.Hello(protocol=1, name="tester")
    return hub_pb2.SubscribeOpen(hello=hello, filters=filters, **given)  # type: ignore[arg-type]  # any field


async def test_on_a_full_disk_publishers_wait_and_lose_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with (
        running_hub(tmp_path) as hub,
        Runtime(address(hub), name="agent") as runtime,
        Client(address(hub)) as client,
    ):
        await runtime.publish("t", "0", stored=True)
        engine = faulty(hub)
        engine.full = True

        publisher = client.publisher()
        await publisher.greet()
        await publisher.publish(frame(1, body=bytes(50_000)))
        status, error = await publisher.refusal()
        assert (status, error.code) == ("UNAVAILABLE", hub_pb2.ERROR_CODE_STORAGE)
        assert "disk" in error.message
        publishing = asyncio.create_task(runtime.publish_batch("t", [b"%d" % n for n in range(1, 2000)], stored=True))
        await until(lambda: hub.broker.committer.statistics.failures >= 3)
        assert not publishing.done()
        standby = client.subscriber()  # a durable that could not be kept is not opened
        await standby.send(hub_pb2.SubscribeRequest(open=opening("#", durable="new")))
        assert (await standby.refusal())[1].code == hub_pb2.ERROR_CODE_STORAGE
        async with Client(address(hub)) as reader:  # what is there can be read
            subscriber = reader.subscriber()
            await subscriber.open("#", start=hub_pb2.Start(earliest=True))
            await subscriber.take(1)

        engine.full = False
        await asyncio.wait_for(publishing, 20)
        async with runtime.subscribe("t", start=Start.EARLIEST) as messages:
            assert await collect(messages, 2000) == numbers(0, 2000)
    said = [one.getMessage() for one in caplog.records if one.name.startswith("fieldline_cloud")]
    assert len(said) == 2  # once when it began, once when it was over
    assert "publishers are told to try again" in said[0]


async def test_a_bug_in_the_writer_fails_its_jobs_and_no_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_hub(tmp_path) as hub, Runtime(address(hub), name="agent") as runtime:
        engine = faulty(hub)
        await runtime.publish("t", "0", stored=True)
        engine.bug = RuntimeError("nobody thought of this")
        await asyncio.wait_for(runtime.publish("t", "1", stored=True), 10)
        with pytest.raises(ZeroDivisionError):
            await hub.broker.committer.call(lambda: 1 // 0)
        await runtime.publish("t", "2", stored=True)
        assert hub.broker.tail == 3
    assert any(one.levelno == logging.ERROR and one.exc_info for one in caplog.records)


async def test_retention_takes_what_is_too_much(tmp_path: Path) -> None:
    retention = {"bytes_max": 1 << 20, "check_every_s": 0.05}
    async with running_hub(tmp_path, retention=retention) as hub, Client(address(hub)) as client:
        subscriber, publisher = client.subscriber(), client.publisher()
        await subscriber.open("#", durable="d", frames=0)
        await publisher.greet()
        for n in range(1, 41):
            await publisher.publish(frame(n, body=bytes(100_000)))
        await publisher.acked(40)
        await until(lambda: hub.broker.engine.statistics().frames_bytes <= 1 << 20)
        await until(lambda: hub.broker.statistics.frames_trimmed >= 29)

        late = client.subscriber()
        await late.open("#", start=hub_pb2.Start(earliest=True))
        first = hub.broker.engine.statistics().first_offset
        assert [one.offset for one in await late.take(40 - first)] == list(range(first, 40))


async def test_a_topic_with_rules_of_its_own_outlives_what_pushes_the_others_out(tmp_path: Path) -> None:
    retention = {"bytes_max": 1 << 20, "check_every_s": 0.05}
    topics = [
        {"filter": "alerts/#", "retention": {"age_h_max": 8760}},
        {"filter": "status", "last_value": True, "retention": {"frames_max": 1}},
    ]
    async with running_hub(tmp_path, retention=retention, topics=topics) as hub, Client(address(hub)) as client:
        publisher = client.publisher()
        await publisher.greet()
        for n in range(1, 61, 3):
            await publisher.publish(frame(n, topic="alerts/a"))
            await publisher.publish(frame(n + 1, topic="status"))
            await publisher.publish(frame(n + 2, topic="readings/a", body=bytes(200_000)))
        await publisher.acked(60)
        await until(lambda: hub.broker.engine.statistics().file_bytes <= 1 << 20)

        late = client.subscriber()
        await late.open("alerts/#", "status", start=hub_pb2.Start(earliest=True))
        found = [one.offset for one in await late.take(21)]
        assert found == sorted([*range(0, 60, 3), 58])
