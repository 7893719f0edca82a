"""What a client shows a hub to be let in: certificates, a token. Pure: names of files, never what is in them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from fieldline.addresses import is_loopback, split_address
from fieldline.errors import ConfigError

__all__ = ["Access", "Tls"]

_TOKEN_CHARACTERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class Tls:
    """Encrypt, and believe only a hub whose certificate `ca` has signed (left out: the system's authorities).

    `certificate` and `key` are this client's own, for a hub that asks for one (mTLS). All are names of PEM files. They
    are read when a connection is made, so that renewed ones are used from the next connection on.
    Raises ConfigError for one of certificate and key without the other.
    """

    ca: Path | str | None = None
    certificate: Path | str | None = None
    key: Path | str | None = None

    def __post_init__(self) -> None:
        """Refuse half a pair."""
        if bool(self.certificate) != bool(self.key):
            has, lacks = ("certificate", "key") if self.certificate else ("key", "certificate")
            raise ConfigError(f"TLS: a {has} is given without its {lacks}; give both, or neither")

    @property
    def files(self) -> tuple[Path | str, ...]:
        """The files that are set."""
        return tuple(each for each in (self.ca, self.certificate, self.key) if each)


@dataclass(frozen=True, slots=True)
class Access:
    """How a client reaches a hub. The default is plaintext and no token, which a hub takes on loopback alone."""

    tls: Tls | None = None
    token: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        """Refuse what could not travel in a header; the message does not repeat it."""
        if len(self.token) > _TOKEN_CHARACTERS_MAX or not all("!" <= character <= "~" for character in self.token):
            raise ConfigError("token: has spaces, line ends or other characters no token has; copy it again")

    def check(self, address: str) -> None:
        """ConfigError if the token would travel readable over a network to the hub at `address`."""
        if self.token and self.tls is None and not is_loopback(split_address(address, "hub")[0]):
            raise ConfigError(
                f"hub: {address} is on another machine, and without TLS everybody on the way could read the token; "
                "give the CA of the hub too (hub_tls: {ca: ...}, or FIELDLINE_TLS_CA)"
            )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "Access":
        """From FIELDLINE_TLS_CA, FIELDLINE_TLS_CERT, FIELDLINE_TLS_KEY and FIELDLINE_TOKEN; empty ones are not set."""
        ca, certificate, key = (environment.get(f"FIELDLINE_TLS_{name}") or None for name in ("CA", "CERT", "KEY"))
        tls = Tls(ca, certificate, key) if ca or certificate or key else None
        return cls(tls, environment.get("FIELDLINE_TOKEN", ""))
