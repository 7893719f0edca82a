"""paho's client with what it leaves out: QoS 2 that a crash cannot lose, reasons for failures, TLS names.

paho confirms a message of QoS 2 (PUBREC) before its caller has seen it, and, with `manual_ack`, never answers the
release of one that it does not know: a process that is killed in between loses the message, and its number is taken
for ever. So the second of the two methods that MQTT 3.1.1, section 4.3.3, allows is used here: a message is
delivered when it is published, confirmed when it is safe, and its number is kept until the release.
"""

import logging
import socket
import ssl
import struct
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode

from fieldline_edge.drivers.mqtt.broker_settings import BrokerSettings, BrokerTls

__all__ = ["Client", "load_files", "tls_context"]

_log = logging.getLogger(__name__)


class Client(paho.Client):
    """A client that confirms when told, and tells when its thread has ended."""

    ended = False
    server_name: str | None = None  # expected in the broker's certificate instead of its host
    trouble = ""  # why the last connect failed
    when_ended: Callable[[str], None] = staticmethod(lambda why: None)
    when_released: Callable[[int], None] = staticmethod(lambda number: None)

    def loop_forever(self, *args: Any, **options: Any) -> Any:
        """What paho's thread runs."""
        why = ""
        try:
            return super().loop_forever(*args, **options)
        except Exception:  # noqa: BLE001 - nobody else would see it; the driver makes a new client
            _log.exception("mqtt client failed")
            why = "client failed"
            return None
        finally:
            self.ended = True
            self.when_ended(why)

    def reconnect(self) -> MQTTErrorCode:
        """Connect, and keep the reason if that fails: paho has no place for it."""
        self.trouble = "no connection"
        try:
            return super().reconnect()
        except OSError as error:
            self.trouble = str(error) or type(error).__name__
            raise

    def confirm(self, number: int, qos: int) -> None:
        """Tell the broker that a message of QoS 1 or 2 is safe. From any thread."""
        if qos == 1:
            self._send_puback(number)
        else:
            super()._send_pubrec(number)

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        # As paho does it, but for the name, and it leaves the socket open if the other side does not fit.
        assert self._ssl_context is not None, "only called with tls"
        wrapped = self._ssl_context.wrap_socket(
            tcp_sock, server_hostname=self.server_name or self._host, do_handshake_on_connect=False
        )
        try:
            wrapped.settimeout(self.connect_timeout)
            wrapped.do_handshake()
        except BaseException:
            wrapped.close()
            raise
        return wrapped

    def _send_pubrec(self, mid: int) -> MQTTErrorCode:
        # Called by paho at once; `confirm` does it when the message is safe.
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_publish(self) -> MQTTErrorCode:
        result = super()._handle_publish()
        while self._in_messages:  # a message of QoS 2 that paho would keep until its release
            _, message = self._in_messages.popitem()
            self._handle_on_message(message)
        return result

    def _handle_pubrel(self) -> MQTTErrorCode:
        packet = self._in_packet["packet"]
        if len(packet) < 2:
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        (number,) = struct.unpack("!H", bytes(packet[:2]))
        self.when_released(number)
        return self._send_pubcomp(number)


def tls_context(broker: BrokerSettings) -> ssl.SSLContext:
    """A context that trusts whom the settings name; OSError if a file cannot be read or used, with its name."""
    tls = broker.tls
    assert tls is not None, "asked for without tls"
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    load_files(context, tls)
    return context


def load_files(context: ssl.SSLContext, tls: BrokerTls) -> None:
    """Read the files anew: certificates are renewed while we run."""
    try:
        if tls.ca is None:
            context.load_default_certs()
        else:
            context.load_verify_locations(tls.ca)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
    except OSError as error:
        names = ", ".join(str(path) for path in (tls.ca, tls.certificate, tls.key) if path)
        raise OSError(f"tls: {names}: {error}") from error


def _no_passphrase() -> str:
    raise OSError("the key has a passphrase; take one without, which only the gateway's user can read")
