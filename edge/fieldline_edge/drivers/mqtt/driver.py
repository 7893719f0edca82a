"""All devices of one broker: messages from the client's thread become readings in the event loop."""

import asyncio
import logging
from collections.abc import Coroutine, Sequence
from typing import Any

from fieldline.model import DeviceId, Quality, Reading
from fieldline_edge.drivers.base import Clock, DriverStats, Sink, SystemClock
from fieldline_edge.drivers.mqtt.client import Session, topic_matches
from fieldline_edge.drivers.mqtt.extract import Extraction, Extractor
from fieldline_edge.drivers.mqtt.inbox import Inbox, LinkNews, Message
from fieldline_edge.drivers.mqtt.settings import MqttDeviceSettings

__all__ = ["MqttDriver"]

_log = logging.getLogger(__name__)

_COMPLAIN_EVERY_S = 60.0
_RESTART_AFTER_S = 5.0
_DRAIN_MESSAGES_MAX = 500  # then other tasks of the loop get a turn


class _Device:
    """One device: reads its messages, and complains about them at most once a minute."""

    def __init__(self, settings: MqttDeviceSettings, site: str) -> None:
        self.id = settings.device_id(site)
        self.filter = settings.topic
        self.qos = settings.qos
        self.extractor = Extractor(settings)
        self._complained_at_s = float("-inf")

    def complain(self, topic: str, extraction: Extraction, now_s: float) -> None:
        if now_s - self._complained_at_s >= _COMPLAIN_EVERY_S:
            self._complained_at_s = now_s
            what = "; ".join(extraction.problems[:3])
            _log.warning("mqtt message not understood: device=%s topic=%.100r why=%s", self.id, topic, what)


class MqttDriver:
    """A driver for devices of one broker.

    A message's readings carry the time the payload states, or of its arrival. When the connection is lost, or
    cannot be made at first, each tag says so once (BAD_NOT_CONNECTED). Messages are acknowledged to the
    broker when they are queued here: a gateway that is killed loses what waits in its queue.
    """

    def __init__(
        self, devices: Sequence[MqttDeviceSettings], *, site: str, sink: Sink, clock: Clock | None = None
    ) -> None:
        if len({device.broker for device in devices}) != 1:
            raise ValueError("an MQTT driver serves the devices of one broker; build one for each")
        self.stats = DriverStats()
        self._broker = devices[0].broker
        self._devices = [_Device(device, site) for device in devices]
        self.devices: Sequence[DeviceId] = tuple(device.id for device in self._devices)
        self._exact: dict[str, list[_Device]] = {}
        for device in self._devices:
            if "+" not in device.filter and "#" not in device.filter:
                self._exact.setdefault(device.filter, []).append(device)
        self._wild = [device for device in self._devices if device not in self._exact.get(device.filter, [])]
        self._sink = sink
        self._clock = clock or SystemClock()
        self._inbox = Inbox(self._broker.queue_messages_max)
        self._told_down = False

    async def run(self) -> None:
        """Receive until cancelled; then disconnect and hand over what is queued."""
        while True:
            await self._run_client()
            self.stats.errors += 1
            _log.error("mqtt client ended by itself, starting a new one: broker=%s", self._broker.host)
            await asyncio.sleep(_RESTART_AFTER_S)

    async def _run_client(self) -> None:
        """Run one client until cancelled, or until its thread dies."""
        session = Session(self._broker, self._subscriptions(), self._inbox, self._clock)
        self._inbox.open(asyncio.get_running_loop())
        session.start()
        try:
            while not session.ended:
                await self._inbox.wait()
                while self._drain():  # noqa: ASYNC110 - it gives way, and does not wait for anything
                    await asyncio.sleep(0)
        finally:
            # Joining the client's thread blocks for up to a second, so another thread does it.
            await _finish(asyncio.to_thread(session.stop))
            while self._drain():
                pass
            self.stats.connected = 0

    def _drain(self) -> bool:
        """Hand over what is queued; whether there may be more."""
        messages = self._inbox.take(_DRAIN_MESSAGES_MAX)
        for message in messages:
            self._receive(message)
        self._note_state()
        return len(messages) == _DRAIN_MESSAGES_MAX

    def _receive(self, message: Message) -> None:
        self.stats.messages += 1
        self.stats.messages_retained += message.retained
        matched = list(self._exact.get(message.topic, ()))
        matched += [d for d in self._wild if topic_matches(d.filter, message.topic)]
        self.stats.messages_unmatched += not matched
        for device in matched:
            extraction = device.extractor.read(
                message.payload, arrived_ns=message.arrived_ns, repeated=message.retained
            )
            if extraction.problems:
                self._count_problems(extraction)
                device.complain(message.topic, extraction, self._clock.monotonic())
            self._put(device, extraction.readings)

    def _count_problems(self, extraction: Extraction) -> None:
        if extraction.refused:
            self.stats.messages_refused += 1
        else:
            self.stats.values_refused += len(extraction.problems)

    def _note_state(self) -> None:
        news = self._inbox.take_news()
        self._count_link(news)
        for refused in news.filters_refused:
            self._mark(Quality.BAD_EXCEPTION, only=refused)
            _log.warning("mqtt broker refused a subscription: broker=%s:%d filter=%r", *self._address, refused)
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
        stats.connects_failed += news.failures
        stats.reconnects += news.connects if stats.connects else max(0, news.connects - 1)
        stats.connects += news.connects
        stats.connected = int(news.is_up)

    def _subscriptions(self) -> dict[str, int]:
        """Each filter once, at the highest quality of service asked for."""
        wanted: dict[str, int] = {}
        for device in self._devices:
            wanted[device.filter] = max(device.qos, wanted.get(device.filter, 0))
        return wanted

    @property
    def _address(self) -> tuple[str, int]:
        return self._broker.host, self._broker.port

    def _mark(self, quality: Quality, *, only: str | None = None) -> None:
        at_ns = self._clock.time_ns()
        for device in self._devices:
            if only is None or device.filter == only:
                self._put(device, device.extractor.marks(quality, at_ns))

    def _put(self, device: _Device, readings: Sequence[Reading]) -> None:
        self.stats.count_readings(readings)
        self._sink.put(device.id, readings)


async def _finish(work: Coroutine[Any, Any, None]) -> None:
    """Await `work` to its end, even if cancelled meanwhile."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await task
        raise
