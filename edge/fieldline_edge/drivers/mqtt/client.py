"""One connection to an MQTT broker. The only module that knows paho.

paho runs its own thread. All that happens there is: queue the message, wake the event loop. What paho leaves
to its caller, and this module does: subscribe on every connect (after a broker restart nothing is subscribed
any more), retry the first connect, bound the wait between tries, and notice if its thread dies.
"""

import logging
import secrets
from collections.abc import Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from fieldline_edge.drivers.base import Clock
from fieldline_edge.drivers.mqtt.inbox import Inbox, Message
from fieldline_edge.drivers.mqtt.settings import BrokerSettings

__all__ = ["Session", "topic_matches"]

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_FILTERS_PER_REQUEST = 8  # what the stingiest broker we know of takes in one SUBSCRIBE


def topic_matches(topic_filter: str, topic: str) -> bool:
    """Whether a filter asks for a topic, by MQTT's rules."""
    return paho.topic_matches_sub(topic_filter, topic)


class _Client(paho.Client):
    """paho's client, which tells when its thread has ended."""

    ended = False
    inbox: Inbox

    def loop_forever(self, *args: Any, **options: Any) -> Any:
        """What paho's thread runs."""
        try:
            return super().loop_forever(*args, **options)
        except Exception:  # noqa: BLE001 - nobody else would see it; the driver makes a new client
            _log.exception("mqtt client failed")
            self.inbox.lost("client failed")
            return None
        finally:
            self.ended = True
            self.inbox.wake()


class Session:
    """A client that connects, stays connected and stays subscribed until `stop`."""

    def __init__(self, broker: BrokerSettings, subscriptions: Mapping[str, int], inbox: Inbox, clock: Clock) -> None:
        """`subscriptions` maps topic filters to their quality of service."""
        self._subscriptions = list(subscriptions.items())
        self._inbox = inbox
        self._clock = clock
        self._stopping = False
        self._asked: dict[int, list[str]] = {}
        self._client = self._build(broker)

    @property
    def ended(self) -> bool:
        """Whether the client's thread is over."""
        return self._client.ended

    def start(self) -> None:
        """Connect in the background, and go on trying."""
        self._client.loop_start()

    def stop(self) -> None:
        """Disconnect and end the thread. Blocks until then: a second, at most the connect timeout."""
        self._stopping = True
        self._client.disconnect()
        self._client.loop_stop()

    def _build(self, broker: BrokerSettings) -> _Client:
        client_id = broker.client_id or f"fieldline-{secrets.token_hex(4)}"
        client = _Client(CallbackAPIVersion.VERSION2, client_id=client_id)
        client.inbox = self._inbox
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.reconnect_delay_set(min_delay=1, max_delay=max(1, broker.backoff_ms_max // 1000))
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.connect_async(broker.host, broker.port, keepalive=broker.keepalive_s)
        return client

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._inbox.lost(str(reason), failed=True)
            return
        self._inbox.connected()
        self._asked.clear()
        for start in range(0, len(self._subscriptions), _FILTERS_PER_REQUEST):
            chosen = self._subscriptions[start : start + _FILTERS_PER_REQUEST]
            _, message_id = client.subscribe(chosen)
            if message_id is not None:
                self._asked[message_id] = [topic_filter for topic_filter, _ in chosen]

    def _on_connect_fail(self, _client: paho.Client, _data: Any) -> None:
        self._inbox.lost("no connection", failed=True)

    def _on_disconnect(self, _c: paho.Client, _data: Any, _flags: Any, reason: ReasonCode, _p: Any) -> None:
        if not self._stopping:
            self._inbox.lost(str(reason))

    def _on_subscribe(
        self, _client: paho.Client, _data: Any, message_id: int, reasons: list[ReasonCode], _p: Any
    ) -> None:
        for topic_filter, reason in zip(self._asked.pop(message_id, []), reasons, strict=False):
            if reason.is_failure:
                self._inbox.refused(topic_filter)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # paho decodes late; a topic that is no UTF-8 can be nobody's
            topic = ""
        self._inbox.put(Message(topic, bytes(message.payload), self._clock.time_ns(), message.retain))
