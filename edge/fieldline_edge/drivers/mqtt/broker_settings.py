"""Settings of the connection to an MQTT broker, checked before it is asked."""

from collections.abc import Iterator, Sequence
from enum import Enum
from pathlib import Path
from typing import Annotated

from pydantic import Field, SecretStr, model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.settings import Host

__all__ = ["BrokerSettings", "BrokerTls", "Protocol", "broker_conflicts"]

_PORT, _TLS_PORT = 1883, 8883


class Protocol(Enum):
    """Which MQTT is spoken.

    There is no falling back from one to the other: a broker that stumbles once would get a session of the other
    kind, and what it held for the first one would be lost, at a time when nobody looks.
    """

    V311 = "3.1.1"
    V5 = "5"


class BrokerTls(Settings):
    """Encryption on the way to the broker. Files are PEM; renewed ones are used from the next connection on."""

    ca: Path | None = None
    """Certificate of the authority that signed the broker's; left out: the authorities the system trusts."""
    certificate: Path | None = None
    """Our own certificate, for a broker that asks for one. Goes with `key`."""
    key: Path | None = None
    """Private key of our certificate, without a passphrase."""
    server_name: Host | None = None
    """Name the broker's certificate must be for; left out: `host`."""

    @model_validator(mode="after")
    def _pair(self) -> "BrokerTls":
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both, or neither")
        return self


class BrokerSettings(Settings):
    """Where the broker is. Devices with the same broker settings share one client."""

    host: Host
    """Host name or IP address of the broker."""
    port: int = Field(default=_PORT, ge=1, le=65_535)
    """TCP port; with `tls` and left out: 8883."""
    protocol: Protocol = Protocol.V311
    """`3.1.1`, which every broker speaks, or `5`, which names its reasons and takes `receive_max`."""
    tls: BrokerTls | None = None
    """Encryption; left out: none. `tls: {}` trusts the authorities the system trusts."""
    username: str | None = None
    """User name, if the broker wants one."""
    password: SecretStr | None = None
    """Password; write ${NAME} to take it from the environment."""
    keepalive_s: int = Field(default=30, ge=5, le=3600)
    """A dead connection is noticed within one and a half times this."""
    client_id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    """Client id; left out, a random one. Two clients with the same id throw each other out."""
    session_s: int = Field(default=0, ge=0, le=0xFFFF_FFFE)
    """How long the broker keeps messages for us while we are away; 0: not at all. Needs a `client_id`. MQTT 3.1.1
    has no such time: there, any number asks for a session, and the broker's own settings end it."""
    receive_max: int = Field(default=1000, ge=1, le=65_535)
    """Most messages of QoS 1 and 2 taken and not acknowledged yet; they are acknowledged once their readings are on
    disk. At the bound nothing more is read."""
    backoff_ms_max: int = Field(default=30_000, ge=1000, le=3_600_000)
    """Longest pause between two tries to reach the broker."""
    queue_messages_max: int = Field(default=10_000, ge=1, le=1_000_000)
    """Messages that may wait to be read; when full, the oldest of QoS 0 is dropped and counted, and those of QoS 1
    and 2 stay with the broker."""

    @model_validator(mode="before")
    @classmethod
    def _port_of_tls(cls, given: object) -> object:
        if isinstance(given, dict) and given.get("tls") is not None and "port" not in given:
            return {**given, "port": _TLS_PORT}
        return given

    @model_validator(mode="after")
    def _parts_fit(self) -> "BrokerSettings":
        if self.password is not None and self.username is None:
            raise ValueError("password: needs a username beside it; add one")
        if self.session_s and self.client_id is None:
            raise ValueError(
                "session_s: the broker keeps messages under the client's name; add 'client_id', the same at every start"
            )
        return self


def broker_conflicts(uses: Sequence[tuple[BrokerSettings, str | None]]) -> Iterator[tuple[int, int, str]]:
    """Devices that would get in each other's way at a broker: (position, position of the first one there, what).

    `uses` has each device's broker and the name it has there as a Sparkplug host. Two settings with one client id would
    be two clients that throw each other out; a client has one last will, and so one host id.
    """
    clients: dict[tuple[str, int, str], int] = {}
    hosts: dict[BrokerSettings, int] = {}
    for index, (broker, host_id) in enumerate(uses):
        if broker.client_id is not None:
            earlier = clients.setdefault((broker.host, broker.port, broker.client_id), index)
            if uses[earlier][0] != broker:
                yield index, earlier, f"client_id {broker.client_id!r} with other broker settings"
        if host_id is not None:
            earlier = hosts.setdefault(broker, index)
            if uses[earlier][1] != host_id:
                yield index, earlier, f"host_id {host_id!r} and {uses[earlier][1]!r}"
