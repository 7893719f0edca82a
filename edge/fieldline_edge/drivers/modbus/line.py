"""How a Modbus line is reached and how fast it may be used: what its settings come down to. Pure."""

from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Framing", "Line", "Network", "Parity", "SerialPort", "TlsFiles"]

# Above 19200 baud the serial line guide (2.5.1.1) fixes the pause between frames, below it is 3.5 characters.
_FAST_BAUD = 19_200
_FAST_PAUSE_S = 0.001_75
_PAUSE_CHARACTERS = 3.5


class Framing(Enum):
    """How a request is packed."""

    TCP = "tcp"  # MBAP header with a transaction id
    RTU = "rtu"  # bytes and a CRC
    ASCII = "ascii"  # hexadecimal digits and an LRC


class Parity(Enum):
    """Parity bit of a character."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Encryption: PEM files, and the name the device's certificate must carry if it is not the host."""

    ca: Path | None
    certificate: Path | None
    key: Path | None
    server_name: str | None


@dataclass(frozen=True, slots=True)
class Network:
    """A line that ends at a TCP port."""

    host: str
    port: int
    tls: TlsFiles | None = None

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class SerialPort:
    """A line that ends at a serial port of this machine."""

    device: str
    baud: int = 9600
    parity: Parity = Parity.NONE
    stop_bits: int = 1
    data_bits: int = 8

    def __str__(self) -> str:
        return f"{self.device} {self.baud} {self.data_bits}{self.parity.value[0].upper()}{self.stop_bits}"

    @property
    def character_s(self) -> float:
        """How long one character takes on the wire, start and stop bits included."""
        return (1 + self.data_bits + (self.parity is not Parity.NONE) + self.stop_bits) / self.baud

    @property
    def pause_s(self) -> float:
        """Silence between frames by the serial line guide: 3.5 characters, or 1.75 ms above 19200 baud."""
        return _FAST_PAUSE_S if self.baud > _FAST_BAUD else _PAUSE_CHARACTERS * self.character_s


@dataclass(frozen=True, slots=True)
class Line:
    """One way to some units. Devices on one line share a connection."""

    way: Network | SerialPort
    framing: Framing
    pause_s: float = 0.0  # least time between an answer and the next request
    quiet_s: float = 0.0  # after a request without an answer, nothing is asked and everything is thrown away
    in_flight_max: int = 1
    local_echo: bool = False
    close_after_poll: bool = False

    def __str__(self) -> str:
        """Where it leads, for messages: 192.168.1.20:502, or /dev/ttyUSB0 9600 8N1."""
        return str(self.way)

    @property
    def key(self) -> str:
        """What devices on the same line have in common: the port they go through."""
        return self.way.device if isinstance(self.way, SerialPort) else str(self.way)

    def transmission_s(self, octets: int) -> float:
        """How long so many bytes take on a serial line; 0 on a network."""
        return octets * self.way.character_s if isinstance(self.way, SerialPort) else 0.0
