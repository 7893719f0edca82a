"""One connection to an MQTT broker.

paho runs its own thread. All that happens there is: queue the message, wake the event loop. What paho leaves
to its caller, and this module does: subscribe on every connect (after a broker restart nothing is subscribed
any more), retry the first connect, bound the wait between tries, and notice if its thread dies.
"""

import logging
import secrets
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from fieldline_edge.drivers.base import Clock
from fieldline_edge.drivers.mqtt.broker_settings import BrokerSettings, Protocol
from fieldline_edge.drivers.mqtt.inbox import Inbox, Message
from fieldline_edge.drivers.mqtt.ledger import Ledger, Rivals, Verdict
from fieldline_edge.drivers.mqtt.paho_client import Client, load_files, tls_context
from fieldline_edge.drivers.mqtt.routes import Outgoing

__all__ = ["Session"]

_log = logging.getLogger(__name__)

_CONNECT_TIMEOUT_S = 5.0
_FILTERS_PER_REQUEST = 8  # what the stingiest broker we know of takes in one SUBSCRIBE
_OUTGOING_MAX = 1000
_TAKEN_OVER = 0x8E
_RETAINED_ONCE = SubscribeOptions.RETAIN_SEND_IF_NEW_SUB


class Session:
    """A client that connects, stays connected and stays subscribed until `stop`.

    With `session_s` messages of QoS 1 and 2 are acknowledged by `acknowledge`, else as soon as they are in the inbox:
    a broker that keeps nothing while we are away has no use for more.
    """

    def __init__(
        self,
        broker: BrokerSettings,
        subscriptions: Mapping[str, int],
        inbox: Inbox,
        clock: Clock,
        *,
        births: Sequence[Outgoing] = (),
        will: Outgoing | None = None,
    ) -> None:
        """`subscriptions` maps topic filters to their quality of service.

        `births` are published on every connect, and the broker publishes `will` when we are gone. OSError if a
        file of `tls` cannot be used.
        """
        self.repeated = 0  # messages sent again by the broker and recognised
        self._broker = broker
        self._subscriptions = list(subscriptions.items())
        self._births = births
        self._will = will
        self._inbox = inbox
        self._clock = clock
        self._stopping = False
        self._is_v5 = broker.protocol is Protocol.V5
        self._asked: dict[int, list[tuple[str, int]]] = {}
        self._ledger = Ledger()
        self._ledger_lock = threading.Lock()
        self._link_is_up = self._was_up = False
        self._rivals = Rivals(pause_s_max=self._pause_s_max)
        self._client = self._build()

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
        if self._will is not None:  # a broker tells it only of those who vanish
            self.publish(self._will)
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, message: Outgoing) -> None:
        """Send a message if the link is up; without a link it is let go."""
        if self._link_is_up:
            self._client.publish(message.topic, message.payload, message.qos, message.retain)

    def acknowledge(self, message: Message) -> None:
        """The message is safe: tell the broker, now or when it sends it again. From the loop's thread."""
        with self._ledger_lock:
            now = self._ledger.made_safe(message.number, message.session, qos=message.qos, link_is_up=self._link_is_up)
        if now:
            self._client.confirm(message.number, message.qos)

    @property
    def _pause_s_max(self) -> int:
        return max(1, self._broker.backoff_ms_max // 1000)

    def _build(self) -> Client:
        broker = self._broker
        keeps = broker.session_s > 0
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id or f"fieldline-{secrets.token_hex(4)}",
            clean_session=None if self._is_v5 else not keeps,
            protocol=MQTTProtocolVersion.MQTTv5 if self._is_v5 else MQTTProtocolVersion.MQTTv311,
            manual_ack=True,
        )
        client.when_ended = self._ended
        client.when_released = self._released
        client.connect_timeout = _CONNECT_TIMEOUT_S
        client.max_queued_messages_set(_OUTGOING_MAX)
        client.reconnect_delay_set(min_delay=1, max_delay=self._pause_s_max)
        if broker.username is not None:
            client.username_pw_set(broker.username, broker.password.get_secret_value() if broker.password else None)
        if (will := self._will) is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        if broker.tls is not None:
            self._use_tls(client)
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        options: dict[str, Any] = {}
        if self._is_v5:
            options = {"clean_start": not keeps, "properties": self._connect_properties()}
        client.connect_async(broker.host, broker.port, keepalive=broker.keepalive_s, **options)
        return client

    def _use_tls(self, client: Client) -> None:
        context = tls_context(self._broker)
        client.tls_set_context(context)
        client.server_name = self._broker.tls.server_name if self._broker.tls else None

        def renew(_client: paho.Client, _data: Any) -> None:
            assert self._broker.tls is not None
            try:
                load_files(context, self._broker.tls)
            except OSError as error:  # half a renewal: the old ones serve, or the broker says what is wrong
                _log.warning("mqtt certificates cannot be read again: %s", error)

        client.on_pre_connect = renew

    def _connect_properties(self) -> Properties:
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho has no types here
        properties.ReceiveMaximum = self._broker.receive_max
        if self._broker.session_s:
            properties.SessionExpiryInterval = self._broker.session_s
        return properties

    def _on_connect(self, client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, _p: Any) -> None:
        if reason.is_failure:
            self._inbox.lost(str(reason), failed=True)
            return
        with self._ledger_lock:
            if not flags.session_present:
                self._ledger.begin()
            self._link_is_up = True
        self._rivals.connected(self._clock.monotonic())
        forgot = self._broker.session_s > 0 and self._was_up and not flags.session_present
        self._was_up = True
        self._inbox.connected(session_lost=forgot)
        for birth in self._births:
            self.publish(birth)
        self._subscribe(client)

    def _subscribe(self, client: paho.Client) -> None:
        self._asked.clear()
        for start in range(0, len(self._subscriptions), _FILTERS_PER_REQUEST):
            chosen = self._subscriptions[start : start + _FILTERS_PER_REQUEST]
            wanted: list[Any] = [*chosen]
            if self._is_v5:  # retained messages once, and not again after every break
                wanted = [(name, SubscribeOptions(qos=qos, retainHandling=_RETAINED_ONCE)) for name, qos in chosen]
            _, number = client.subscribe(wanted)
            if number is not None:
                self._asked[number] = chosen

    def _on_connect_fail(self, _client: paho.Client, _data: Any) -> None:
        self._inbox.lost(self._client.trouble, failed=True)

    def _on_disconnect(self, client: paho.Client, _data: Any, flags: Any, reason: ReasonCode, _p: Any) -> None:
        with self._ledger_lock:
            was_up, self._link_is_up = self._link_is_up, False
        if self._stopping:
            return
        said = bool(flags.is_disconnect_packet_from_server) and reason.value == _TAKEN_OVER
        pause_s = self._rivals.lost(self._clock.monotonic(), said=said) if was_up else 0
        if pause_s:
            client.reconnect_delay_set(min_delay=pause_s, max_delay=max(pause_s, self._pause_s_max))
        elif was_up:
            client.reconnect_delay_set(min_delay=1, max_delay=self._pause_s_max)
        self._inbox.lost(str(reason), taken_over=pause_s > 0)

    def _on_subscribe(self, _client: paho.Client, _data: Any, number: int, reasons: list[ReasonCode], _p: Any) -> None:
        for (topic_filter, qos), reason in zip(self._asked.pop(number, []), reasons, strict=False):
            if reason.is_failure:
                self._inbox.refused(topic_filter, str(reason))
            elif reason.value < qos:
                self._inbox.lowered(topic_filter, reason.value)

    def _on_message(self, _client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:  # paho decodes late; a topic that is no UTF-8 can be nobody's
            topic = ""
        with self._ledger_lock:
            verdict = self._ledger.arrived(message.mid) if message.qos else Verdict.TAKE
            session = self._ledger.session
        if verdict is not Verdict.TAKE:
            self.repeated += 1
            if verdict is Verdict.ANSWER:
                self._answer(message)
            return
        taken = Message(
            topic,
            bytes(message.payload),
            self._clock.time_ns(),
            message.retain,
            message.qos,
            message.mid,
            session,
        )
        if not self._inbox.put(taken):
            with self._ledger_lock:
                self._ledger.refused(message.mid)
        elif message.qos and not self._broker.session_s:
            self.acknowledge(taken)

    def _answer(self, message: paho.MQTTMessage) -> None:
        if message.qos == 1:
            with self._ledger_lock:
                self._ledger.answered(message.mid)
        self._client.confirm(message.mid, message.qos)

    def _released(self, number: int) -> None:
        with self._ledger_lock:
            self._ledger.answered(number)

    def _ended(self, why: str) -> None:
        if why:
            self._inbox.lost(why)
        self._inbox.wake()
