"""The plant's machines as MQTT sensors, by paho: JSON with QoS 1 to <topic_root>/<area>/<name>.

paho runs its network in a thread of its own and reconnects by itself (1 s, doubling to 10 s). Messages wait
in its queue, which has a bound: when it is full the newest message is dropped and counted, as a small sensor
would.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fieldline_edge.drivers.simulator.signals import SignalValue
from fieldline_edge.drivers.simulator.vibration import WAVEFORM_SCALE

__all__ = ["MqttPublisher"]

_log = logging.getLogger(__name__)
_KEEPALIVE_S = 30
_RECONNECT_S_MAX = 10
_DRAIN_S_MAX = 2.0


class MqttPublisher:
    """One connection for all MQTT machines of a plant. An async context manager; never waits for the broker.

    `queued`, `acknowledged` and `dropped` count messages. On leaving it gives the broker up to 2 s to
    acknowledge what is queued.
    """

    def __init__(self, host: str, port: int, *, topic_root: str, queue_max: int) -> None:
        self.host = host
        self.port = port
        self.queued = 0
        self.acknowledged = 0
        self.dropped = 0
        self._topic_root = topic_root
        self._complained = False
        self._acknowledgement = threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2)
        self._client.max_queued_messages_set(queue_max)
        self._client.reconnect_delay_set(1, _RECONNECT_S_MAX)
        self._client.on_connect = self._on_connect
        self._client.on_connect_fail = self._on_connect_fail
        self._client.on_publish = self._on_publish

    async def __aenter__(self) -> Self:
        """Start connecting in the background."""
        self._client.connect_async(self.host, self.port, _KEEPALIVE_S)
        self._client.loop_start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let queued messages out while the broker is there, then say goodbye."""
        try:
            if self.connected and not await asyncio.to_thread(self._drain):
                _log.warning("mqtt messages left behind, unacknowledged=%d", self.queued - self.acknowledged)
        finally:
            self._client.disconnect()
            await asyncio.to_thread(self._client.loop_stop)

    def _drain(self) -> bool:
        with self._acknowledgement:
            return self._acknowledgement.wait_for(lambda: self.acknowledged >= self.queued, _DRAIN_S_MAX)

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted us."""
        return self._client.is_connected()

    def publish(self, area: str, name: str, at_ms: int, values: Mapping[str, SignalValue]) -> bool:
        """Queue one message {"ts": at_ms, signal: value, ...}; False if the queue was full: dropped."""
        return self._send(f"{area}/{name}", {"ts": at_ms, **values})

    def publish_waveform(self, area: str, name: str, at_ms: int, samples: Sequence[int], rate_hz: float) -> bool:
        """Queue one waveform for <topic>/waveform, in mm/s, as {"ts", "rate_hz", "unit", "samples"}."""
        told = [round(each * WAVEFORM_SCALE, 2) for each in samples]
        message = {"ts": at_ms, "rate_hz": rate_hz, "unit": "mm/s", "samples": told}
        return self._send(f"{area}/{name}/waveform", message)

    def _send(self, place: str, message: Mapping[str, object]) -> bool:
        payload = json.dumps(message, separators=(",", ":"))
        info = self._client.publish(f"{self._topic_root}/{place}", payload, qos=1)
        # Without a connection rc is NO_CONN, yet the message is queued; only a full queue refuses it.
        if info.rc == mqtt.MQTT_ERR_QUEUE_SIZE:
            self.dropped += 1
            return False
        self.queued += 1
        return True

    # These run in paho's thread. Each number is written by one thread only.
    def _on_publish(self, client: mqtt.Client, userdata: Any, mid: int, code: ReasonCode, properties: Any) -> None:
        with self._acknowledgement:
            self.acknowledged += 1
            self._acknowledgement.notify_all()

    def _on_connect(self, client: mqtt.Client, userdata: Any, flags: Any, code: ReasonCode, properties: Any) -> None:
        if code.is_failure:
            self._complain(str(code))
        else:
            self._complained = False

    def _on_connect_fail(self, client: mqtt.Client, userdata: Any) -> None:
        self._complain("no answer")

    def _complain(self, reason: str) -> None:
        """Say it once per outage."""
        if not self._complained:
            self._complained = True
            _log.warning("mqtt broker %s:%d: %s; start it, the plant keeps trying", self.host, self.port, reason)
