"""All devices of one broker: messages from the client's thread become readings in the event loop."""

import asyncio
import logging
from collections import deque
from collections.abc import Coroutine, Sequence
from dataclasses import fields
from typing import Any

from fieldline.model import DeviceId, Quality
from fieldline_edge.drivers.base import Clock, DriverStats, Safety, Sink, SystemClock
from fieldline_edge.drivers.mqtt.client import Session
from fieldline_edge.drivers.mqtt.inbox import Inbox, LinkNews, Message
from fieldline_edge.drivers.mqtt.routes import Counts, Outgoing, Puts, Received, Route
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings
from fieldline_edge.drivers.mqtt.sparkplug.settings import SparkplugDeviceSettings

__all__ = ["MqttDriver"]

_log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0
_RESTART_AFTER_S = 5.0
_DRAIN_MESSAGES_MAX = 500  # then other tasks of the loop get a turn
_TICK_S = 1.0
_SAFE_AT_END_S = 5.0
# A broker sends only so many messages ahead of our acknowledgements (10 or 20 are usual), and these wait until a batch
# is on disk. If so many wait and nothing has come for a moment, the broker is waiting for us: the batch goes at once.
_STALLED_MESSAGES_MIN = 8
_STALLED_AFTER_S = 0.02


class _Entry:
    """A route, and when it last complained."""

    def __init__(self, route: Route) -> None:
        self.route = route
        self._complained_at_s = float("-inf")

    def complain(self, topic: str, problems: Sequence[str], now_s: float) -> None:
        if now_s - self._complained_at_s >= _COMPLAIN_EVERY_S:
            self._complained_at_s = now_s
            what = "; ".join(problems[:3])
            _log.warning("mqtt message not understood: device=%s topic=%.100r why=%s", self.route.id, topic, what)


class MqttDriver:
    """A driver for devices of one broker.

    A message's readings carry the time the payload states, or of its arrival. When the connection is lost, or
    cannot be made at first, each tag says so once (BAD_NOT_CONNECTED). With a session (`session_s`) messages of QoS 1
    and 2 are acknowledged when `safety` says that their readings are on disk; without `safety`, when they are put.
    """

    def __init__(
        self,
        devices: Sequence[MqttDeviceSettings | SparkplugDeviceSettings],
        *,
        site: str,
        sink: Sink,
        clock: Clock | None = None,
        safety: Safety | None = None,
    ) -> None:
        if len({device.broker for device in devices}) != 1:
            raise ValueError("an MQTT driver serves the devices of one broker; build one for each")
        self.stats = DriverStats()
        self._counts = Counts()
        self._broker = devices[0].broker
        self._entries = [_Entry(_route(device, site, self._counts)) for device in devices]
        self.devices: Sequence[DeviceId] = tuple(entry.route.id for entry in self._entries)
        self._exact: dict[str, list[_Entry]] = {}
        for entry in self._entries:
            for topic in entry.route.exact_topics or ():
                self._exact.setdefault(topic, []).append(entry)
        self._wild = [entry for entry in self._entries if entry.route.exact_topics is None]
        self._host_ids = _host_ids(devices)
        self._sink = sink
        self._clock = clock or SystemClock()
        self._safety = safety
        held_max = self._broker.receive_max if self._broker.session_s else None
        self._inbox = Inbox(self._broker.queue_messages_max, held_max=held_max)
        self._unsafe: deque[tuple[int, list[Message]]] = deque()
        self._unsafe_messages = 0
        self._to_make_safe = asyncio.Event()
        self._told_down = False
        self._complained_at_s = float("-inf")
        self._repeated_before = 0

    async def run(self) -> None:
        """Receive until cancelled; then hand over what is queued and disconnect."""
        while True:
            try:
                session = self._session()
            except OSError as error:  # certificates that cannot be used: they may be replaced
                self._inbox.lost(str(error), failed=True)
                self._note_state(self._inbox.take_news())
            else:
                await self._run_client(session)
                self.stats.errors += 1
                _log.error("mqtt client ended by itself, starting a new one: broker=%s", self._broker.host)
            await asyncio.sleep(_RESTART_AFTER_S)

    def _session(self) -> Session:
        births: list[Outgoing] = []
        will = None
        if self._host_ids:
            from fieldline_edge.drivers.mqtt.sparkplug.route import state_message

            (host_id,) = self._host_ids
            at_ms = self._clock.time_ns() // 1_000_000
            births = [state_message(host_id, online=True, at_ms=at_ms)]
            will = state_message(host_id, online=False, at_ms=at_ms)
        return Session(self._broker, self._subscriptions(), self._inbox, self._clock, births=births, will=will)

    async def _run_client(self, session: Session) -> None:
        """Run one client until cancelled, or until its thread dies."""
        self._unsafe.clear()
        self._unsafe_messages = 0
        self._repeated_before = self.stats.messages_repeated - self._counts.messages_repeated
        self._inbox.open(asyncio.get_running_loop())
        session.start()
        acknowledging = asyncio.create_task(self._acknowledge(session))
        try:
            await self._receive_all(session)
        finally:
            await _finish(self._end(session, acknowledging))

    async def _receive_all(self, session: Session) -> None:
        ticked_at_s = self._clock.monotonic()
        stalled = False
        while not session.ended:
            pause_s = _TICK_S
            if self._unsafe_messages >= _STALLED_MESSAGES_MIN and not stalled:
                pause_s = _STALLED_AFTER_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._inbox.wait()
                stalled = False
            except TimeoutError:
                if pause_s == _STALLED_AFTER_S and self._safety is not None:
                    self._safety.hurry_all()
                    stalled = True
            while self._drain(session):  # noqa: ASYNC110 - it gives way, and does not wait for anything
                await asyncio.sleep(0)
            if self._clock.monotonic() - ticked_at_s >= _TICK_S:
                ticked_at_s = self._clock.monotonic()
                self._tick(session, ticked_at_s)

    async def _end(self, session: Session, acknowledging: asyncio.Task[None]) -> None:
        """Hand over what is queued, acknowledge what is safe, disconnect."""
        self._inbox.close()
        while self._drain(session):
            pass
        acknowledging.cancel()
        await asyncio.wait((acknowledging,))
        if self._safety is not None:
            self._safety.hurry_all()
        try:
            async with asyncio.timeout(_SAFE_AT_END_S):
                await self._acknowledge_all(session)
        except TimeoutError:  # the disk fails
            _log.warning("mqtt messages stay with the broker, which will send them again: %d", self._unsafe_messages)
        # Joining the client's thread blocks for up to a second, so another thread does it.
        await asyncio.to_thread(session.stop)
        while self._drain(session):
            pass
        self.stats.connected = 0

    async def _acknowledge(self, session: Session) -> None:
        """Tell the broker of each message whose readings are safe, in the order they came (MQTT 3.1.1, 4.6)."""
        while True:
            await self._acknowledge_all(session)
            self._to_make_safe.clear()
            await self._to_make_safe.wait()

    async def _acknowledge_all(self, session: Session) -> None:
        while self._unsafe:
            mark, messages = self._unsafe[0]
            if self._safety is not None:
                await self._safety.safe(mark)
            self._unsafe.popleft()
            for message in messages:
                session.acknowledge(message)
            self._unsafe_messages -= len(messages)
            self._inbox.release(len(messages))

    def _drain(self, session: Session) -> bool:
        """Hand over what is queued; whether there may be more."""
        news = self._inbox.take_news()
        if news.connects:  # before the messages, which come over the new link
            self._say_connected(session)
        messages = self._inbox.take(_DRAIN_MESSAGES_MAX)
        for message in messages:
            self._receive(message, session)
        held = [message for message in messages if message.qos] if self._broker.session_s else []
        if held:
            self._unsafe.append((self._safety.mark() if self._safety is not None else 0, held))
            self._unsafe_messages += len(held)
            self._to_make_safe.set()
        for counted in fields(Counts):
            setattr(self.stats, counted.name, getattr(self._counts, counted.name))
        self.stats.messages_repeated += self._repeated_before + session.repeated
        self._note_state(news)
        return len(messages) == _DRAIN_MESSAGES_MAX

    def _receive(self, message: Message, session: Session) -> None:
        self.stats.messages += 1
        self.stats.messages_retained += message.retained
        matched = list(self._exact.get(message.topic, ()))
        matched += [entry for entry in self._wild if entry.route.wants(message.topic)]
        now_s = self._clock.monotonic()
        if not matched:
            self._count_unmatched(message.topic, now_s)
        for entry in matched:
            received = entry.route.receive(
                message.topic,
                message.payload,
                arrived_ns=message.arrived_ns,
                retained=message.retained,
                now_s=now_s,
            )
            self._hand_on(entry, message.topic, received, session, now_s)

    def _count_unmatched(self, topic: str, now_s: float) -> None:
        """A session that the broker keeps may bring messages of subscriptions that are not configured any more."""
        self.stats.messages_unmatched += 1
        if now_s - self._complained_at_s >= _COMPLAIN_EVERY_S:
            self._complained_at_s = now_s
            _log.warning("mqtt message of no device: broker=%s:%d topic=%.100r", *self._address, topic)

    def _tick(self, session: Session, now_s: float) -> None:
        for entry in self._entries:
            self._hand_on(entry, "", entry.route.tick(now_s), session, now_s)

    def _hand_on(self, entry: _Entry, topic: str, received: Received, session: Session, now_s: float) -> None:
        if received.problems:
            entry.complain(topic, received.problems, now_s)
        for outgoing in received.outgoing:
            session.publish(outgoing)
        self._put(received.puts)

    def _say_connected(self, session: Session) -> None:
        now_s, now_ms = self._clock.monotonic(), self._clock.time_ns() // 1_000_000
        for entry in self._entries:
            self._hand_on(entry, "", entry.route.connected(now_s, now_ms), session, now_s)

    def _note_state(self, news: LinkNews) -> None:
        self._count_link(news)
        for refused, why in news.filters_refused:
            self._mark(Quality.BAD_EXCEPTION, only=refused)
            _log.warning(
                "mqtt broker refused a subscription: broker=%s:%d filter=%r why=%s", *self._address, refused, why
            )
        for lowered, qos in news.filters_lowered:
            _log.warning(
                "mqtt broker promises less than asked: broker=%s:%d filter=%r qos=%d", *self._address, lowered, qos
            )
        if news.takeovers:
            _log.error(
                "another client uses our id, staying away for a while: broker=%s:%d client_id=%r; "
                "give each gateway a client_id of its own",
                *self._address,
                self._broker.client_id,
            )
        if news.sessions_lost:
            _log.warning(
                "mqtt broker has forgotten our session, and the messages it kept: broker=%s:%d", *self._address
            )
        self._note_link(news)

    def _note_link(self, news: LinkNews) -> None:
        if news.lost and not self._told_down:
            self._mark(Quality.BAD_NOT_CONNECTED)
            _log.warning("mqtt broker is away, trying on: broker=%s:%d why=%s", *self._address, news.why)
            self._told_down = True
        if news.is_up and self._told_down:
            _log.info("mqtt broker is back: broker=%s:%d", *self._address)
            self._told_down = False

    def _count_link(self, news: LinkNews) -> None:
        stats = self.stats
        stats.messages_dropped = self._inbox.dropped
        stats.subscribes_refused += len(news.filters_refused)
        stats.takeovers += news.takeovers
        stats.sessions_lost += news.sessions_lost
        stats.connects_failed += news.failures
        stats.reconnects += news.connects if stats.connects else max(0, news.connects - 1)
        stats.connects += news.connects
        stats.connected = int(news.is_up)

    def _subscriptions(self) -> dict[str, int]:
        """Each filter once, at the highest quality of service asked for."""
        wanted: dict[str, int] = {}
        for entry in self._entries:
            for topic_filter, qos in entry.route.subscriptions.items():
                wanted[topic_filter] = max(qos, wanted.get(topic_filter, 0))
        return wanted

    @property
    def _address(self) -> tuple[str, int]:
        return self._broker.host, self._broker.port

    def _mark(self, quality: Quality, *, only: str | None = None) -> None:
        at_ns = self._clock.time_ns()
        for entry in self._entries:
            if only is None or only in entry.route.subscriptions:
                self._put(entry.route.marks(quality, at_ns))

    def _put(self, puts: Puts) -> None:
        for device, readings in puts:
            self.stats.count_readings(readings)
            self._sink.put(device, readings)


def _route(device: MqttDeviceSettings | SparkplugDeviceSettings, site: str, counts: Counts) -> Route:
    """What serves an entry. Each kind is loaded only if it is used."""
    if isinstance(device, SparkplugDeviceSettings):
        from fieldline_edge.drivers.mqtt.sparkplug.route import SparkplugRoute

        return SparkplugRoute(device, site, counts)
    from fieldline_edge.drivers.mqtt.payload_route import PayloadRoute

    return PayloadRoute(device, site, counts)


def _host_ids(devices: Sequence[MqttDeviceSettings | SparkplugDeviceSettings]) -> set[str]:
    """The name this gateway has as a Sparkplug host; at most one, because a client has one last will."""
    found = {d.host_id for d in devices if isinstance(d, SparkplugDeviceSettings) and d.host_id is not None}
    if len(found) > 1:
        raise ValueError(f"host_id: {', '.join(sorted(found))} at one broker; keep one")
    return found


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, even if cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
