"""Settings of the way to a Modbus device: network or serial port, framing, pace. Pure."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, model_validator

from fieldline.config import Settings
from fieldline_edge.drivers.modbus.line import Framing, Line, Network, Parity, SerialPort, TlsFiles
from fieldline_edge.drivers.settings import Host

__all__ = ["LineSettings", "ModbusTls", "SerialSettings", "disagreements"]

_PORT = 502
_PORT_TLS = 802
# A libmodbus device that sees a request to an absent neighbour waits half a second for the neighbour's answer, and
# is deaf until then; late answers of slow devices come within the same time.
_QUIET_S = 0.5


class SerialSettings(Settings):
    """A serial port and how it is set; what the device's manual or its switches say."""

    device: Annotated[str, Field(min_length=1, max_length=256)]
    """Path of the port, like /dev/ttyUSB0; names under /dev/serial/by-id stay the same when adapters are moved."""
    baud: int = Field(default=9600, ge=300, le=4_000_000)
    """Bits per second."""
    parity: Parity = Parity.NONE
    """none, even or odd."""
    stop_bits: Annotated[int, Field(ge=1, le=2)] = 1
    """1 or 2."""
    data_bits: Annotated[int, Field(ge=7, le=8)] = 8
    """8; 7 only with framing ascii."""
    local_echo: bool = False
    """Whether the adapter hands back what it sends, as some cheap RS-485 adapters do."""


class ModbusTls(Settings):
    """Encryption on the way to the device (Modbus/TCP Security). Files are PEM, read at every connect."""

    ca: Path | None = None
    """Certificate of the authority that signed the device's, or the device's own; left out: the system's."""
    certificate: Path | None = None
    """Our own certificate, for a device that asks for one. Goes with `key`."""
    key: Path | None = None
    """Private key of our certificate."""
    server_name: Host | None = None
    """Name in the device's certificate, if it is not `host`."""

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.certificate is None) != (self.key is None):
            raise ValueError("certificate and key go together; give both, or neither")
        return self


class LineSettings(Settings):
    """How a unit is reached: exactly one of `host` and `serial`."""

    host: Host | None = None
    """Host name or IP address of the device, or of the gateway it stands behind."""
    port: int | None = Field(default=None, ge=1, le=65_535)
    """TCP port; left out: 502, with `tls` 802."""
    tls: ModbusTls | None = None
    """Encryption on the way to the device; left out: none."""
    serial: SerialSettings | None = None
    """Serial port, instead of `host`."""
    framing: Framing | None = None
    """tcp, rtu or ascii; left out: tcp with `host`, rtu with `serial`."""
    unit: int = Field(default=1, ge=0, le=255)
    """Unit id: which device on this line."""
    timeout_ms: int = Field(default=1000, ge=10, le=60_000)
    """How long an answer may take before the device counts as silent."""
    retries: int = Field(default=1, ge=0, le=10)
    """How often a healthy device is asked again within one poll when it stays silent."""
    backoff_ms_max: int = Field(default=30_000, ge=100, le=3_600_000)
    """Longest time a silent device is left alone before the next try."""
    pause_ms: float | None = Field(default=None, ge=0, le=10_000, allow_inf_nan=False)
    """Least pause between an answer and the next request; left out: 3.5 characters on a serial port, else none."""
    quiet_ms: int | None = Field(default=None, ge=0, le=10_000)
    """Silence after a request without an answer; what arrives is thrown away. Left out: 500 with rtu and ascii."""
    in_flight_max: int = Field(default=1, ge=1, le=16)
    """Most requests under way at once; more than 1 only with framing tcp, and if the device can do it."""
    close_after_poll: bool = False
    """Whether the connection is closed when nothing is left to ask, for devices that want it so."""

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.host is None) == (self.serial is None):
            raise ValueError("a Modbus device has either a host or a serial port; write exactly one of them")
        if self.serial is not None and (self.port is not None or self.tls is not None):
            name = "tls" if self.tls is not None else "port"
            raise ValueError(f"{name}: belongs to a host, not to a serial port; remove it")
        framing = self._framing
        if self.serial is not None and framing is Framing.TCP:
            raise ValueError("framing: tcp does not go over a serial port; write rtu or ascii")
        if self.tls is not None and framing is not Framing.TCP:
            raise ValueError(f"framing: {framing.value} does not go with tls; write tcp, or remove tls")
        if self.serial is not None and self.serial.data_bits == 7 and framing is not Framing.ASCII:
            raise ValueError("serial.data_bits: 7 goes with framing ascii only; write 8")
        if framing is not Framing.TCP and self.unit == 0:
            raise ValueError(
                "unit: 0 is for broadcasts on a serial line, nobody answers; write the device's own, 1 to 247"
            )
        if framing is not Framing.TCP and self.in_flight_max > 1:
            raise ValueError(
                f"in_flight_max: {self.in_flight_max} needs framing tcp: on other lines only the order tells whose an "
                "answer is; write 1"
            )
        if self.pause_ms and self.in_flight_max > 1:
            raise ValueError(
                f"pause_ms: {self.pause_ms:g} does not go with several requests at once; remove one of them"
            )
        return self

    @property
    def line(self) -> Line:
        """The line these settings describe; the same for all devices that share it."""
        framing = self._framing
        way = self._way
        pause_s = way.pause_s if isinstance(way, SerialPort) else 0.0
        quiet_s = 0.0 if framing is Framing.TCP else _QUIET_S
        return Line(
            way=way,
            framing=framing,
            pause_s=pause_s if self.pause_ms is None else self.pause_ms / 1000,
            quiet_s=quiet_s if self.quiet_ms is None else self.quiet_ms / 1000,
            in_flight_max=self.in_flight_max,
            local_echo=self.serial is not None and self.serial.local_echo,
            close_after_poll=self.close_after_poll,
        )

    @property
    def _way(self) -> Network | SerialPort:
        if self.serial is not None:
            port = self.serial
            return SerialPort(port.device, port.baud, port.parity, port.stop_bits, port.data_bits)
        assert self.host is not None
        host = self.host.lower()  # names know no case: PLC-1 and plc-1 are one line
        if self.tls is None:
            return Network(host, self.port or _PORT)
        tls = TlsFiles(self.tls.ca, self.tls.certificate, self.tls.key, self.tls.server_name)
        return Network(host, self.port or _PORT_TLS, tls)

    @property
    def _framing(self) -> Framing:
        return self.framing or (Framing.TCP if self.serial is None else Framing.RTU)


def disagreements(devices: Sequence[LineSettings]) -> Iterator[tuple[int, int, str]]:
    """Devices that share a line and want it set differently: (position, position of the first one there, what)."""
    first: dict[str, tuple[int, Line]] = {}
    for index, device in enumerate(devices):
        line = device.line
        earlier, agreed = first.setdefault(line.key, (index, line))
        if line != agreed:
            yield index, earlier, _difference(line, agreed)


def _difference(line: Line, agreed: Line) -> str:
    """The first thing two lines differ in, like `pause 5 ms and 10 ms`."""
    if str(line.way) != str(agreed.way):
        return f"{line.way} and {agreed.way}"
    if line.way != agreed.way:
        return "tls"
    pairs = {
        "framing": (line.framing.value, agreed.framing.value),
        "pause_ms": (f"{line.pause_s * 1000:g}", f"{agreed.pause_s * 1000:g}"),
        "quiet_ms": (f"{line.quiet_s * 1000:g}", f"{agreed.quiet_s * 1000:g}"),
        "in_flight_max": (str(line.in_flight_max), str(agreed.in_flight_max)),
        "serial.local_echo": (str(line.local_echo).lower(), str(agreed.local_echo).lower()),
        "close_after_poll": (str(line.close_after_poll).lower(), str(agreed.close_after_poll).lower()),
    }
    name, (ours, theirs) = next((name, pair) for name, pair in pairs.items() if pair[0] != pair[1])
    return f"{name} {ours} and {theirs}"
