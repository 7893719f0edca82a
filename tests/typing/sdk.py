"""How an agent's author uses the SDK, for the type checker: it must accept all of this, and refuse what is marked.

A marked line that is accepted is an error too (unused ignore), so both halves are held.
"""

from typing import assert_type

import fieldline
from fieldline import (
    AdminClient,
    Agent,
    AgentInfo,
    Alert,
    Coalescing,
    ConfigError,
    DeadLetterInfo,
    Delivery,
    DeviceId,
    FieldlineError,
    Handled,
    HubUnavailable,
    Message,
    PoolStatistics,
    Quality,
    Reading,
    Refused,
    Reply,
    Request,
    Responder,
    Runtime,
    RuntimePool,
    Severity,
    Start,
    SubscriptionInfo,
    Tls,
    TopicInfo,
    tracing,
)


def shows_who_it_is() -> None:
    Runtime("hub:50051", name="agent", tls=Tls(ca="ca.crt", certificate="agent.crt", key="agent.key"), token="t")
    Runtime("hub:50051", name="agent", tls=True)  # type: ignore[arg-type]  # which authority to believe must be said


async def says_what_it_is() -> None:
    async with Runtime("127.0.0.1:50051", name="agent", agent=Agent("watch", capabilities={"a": "b"})) as runtime:
        assert_type(await runtime.agents(serving="jobs/a"), list[AgentInfo])
    Agent()  # type: ignore[call-arg]  # what kind it is must be said
    Agent("watch").kind = "other"  # type: ignore[misc]  # frozen


async def looks_after() -> None:
    async with AdminClient("127.0.0.1:50051", timeout_s=5.0) as admin:
        async for topic in admin.topics("readings/#"):
            assert_type(topic, TopicInfo)
            assert_type(topic.last_offset, int | None)
        async for subscription in admin.subscriptions(only_durable=True):
            assert_type(subscription, SubscriptionInfo)
        async for letter in admin.dead_letters("export", limit=10):
            assert_type(letter, DeadLetterInfo)
        assert_type(await admin.replay("export"), int)
        await admin.drop("export", 5)  # type: ignore[arg-type]  # several offsets, or None for all


async def publishes() -> None:
    async with Runtime("127.0.0.1:50051", name="agent", coalescing=Coalescing(), connect_timeout_s=5.0) as runtime:
        assert_type(runtime, Runtime)
        await runtime.publish("a/b", "text", key="k", headers={"h": "v"}, stored=True)
        await runtime.publish("a/b", b"bytes", wait=False)
        await runtime.publish("a/b", b"bytes", ttl_s=60, volatile=True)
        await runtime.publish_batch("a/b", [b"one", "two"], headers={"h": "v"}, ttl_s=60)
        await runtime.publish_readings("readings/s/a/d", [Reading("t", 0, 1.5)], key="d", ttl_s=60, stored=True)
        assert_type(await runtime.publish_with_ack("a/b", "text", timeout_s=5), Handled)
        await runtime.publish_with_ack("a/b", "text")  # type: ignore[call-arg]  # how long to wait must be said
        await runtime.flush()
        await runtime.publish("a/b", 5)  # type: ignore[arg-type]  # content is text or bytes
        await runtime.publish("a/b", "x", headers={"h": 5})  # type: ignore[dict-item]  # headers are text


async def subscribes(runtime: Runtime) -> None:
    async with runtime.subscribe("readings/#", durable="d", start=Start.EARLIEST) as messages:
        async for message in messages:
            assert_type(message, Message)
            assert_type(message.content, bytes)
            assert_type(message.text, str)
    async with runtime.subscribe(["a/#", "b/#"], start=Start.at(7), ack="manual") as subscription:
        async for delivery in subscription.deliveries():
            assert_type(delivery, Delivery)
            assert_type(delivery.readings(), list[Reading])
            delivery.ack()
    runtime.subscribe("a", ack="never")  # type: ignore[arg-type]  # auto or manual
    runtime.subscribe("a", start="start")  # type: ignore[arg-type]  # a Start


async def asks(runtime: Runtime) -> None:
    reply = await runtime.request("a/b", "text", timeout_s=5)
    assert_type(reply, Reply)
    assert_type(reply.content, bytes)
    assert_type(await runtime.scatter("a/b", b"bytes", timeout_s=5, replies_max=3), list[Reply])
    await runtime.request("a/b", "text")  # type: ignore[call-arg]  # how long to wait must be said


async def answers(runtime: Runtime) -> None:
    async def later(request: Request) -> bytes:
        assert_type(request.deadline_s, float)
        return request.content

    def nothing(request: Request) -> None:
        print(request.topic)

    assert_type(await runtime.respond("a/#", later, group="g", concurrency_max=4), Responder)
    await runtime.respond(["a", "b"], lambda request: request.text)
    await runtime.respond("a", nothing)  # type: ignore[arg-type]  # a reply is bytes or text


async def pools() -> None:
    async with RuntimePool("127.0.0.1:1", name="bulk", size=4, max_idle_s=30) as pool:
        assert_type(pool, RuntimePool)
        await pool.publish("a/b", "text", key="k")
        assert_type(pool.statistics(), PoolStatistics)


def traces(message: Message) -> None:
    with tracing.consume(message) as span:
        if span is not None:
            span.set_attribute("a", 1)


async def handles(runtime: Runtime) -> None:
    async def later(message: Message) -> None:
        print(message.topic)

    def at_once(message: Message) -> None:
        print(message.topic)

    await runtime.subscribe("a/#", later)
    await runtime.subscribe("a/#", at_once)


def reads(reading: Reading, alert: Alert) -> str:
    assert_type(reading.value, float | int | bool | str | None)
    assert_type(reading.quality, Quality)
    assert_type(alert.severity, Severity)
    assert_type(alert.device, DeviceId)
    reading.value = 5  # type: ignore[misc]  # frozen
    return alert.id


def fails(error: FieldlineError) -> str:
    if isinstance(error, ConfigError):
        return error.problems[0]
    if isinstance(error, Refused):
        return error.code
    return "try again" if isinstance(error, HubUnavailable) else str(error)


assert_type(fieldline.__version__, str)
fieldline.Nonsense  # type: ignore[attr-defined]  # noqa: B018  # names that are not there are errors, not Any
