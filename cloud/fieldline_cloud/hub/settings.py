"""What hub.yaml may say."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from fieldline.config import FileSettings, Settings
from fieldline.limits import FRAME_BYTES_MAX, IN_FLIGHT_BYTES_MAX
from fieldline.topics import check_filter, check_name
from fieldline_cloud.hub.core.access import Identity

__all__ = [
    "AuthSettings",
    "HubLimits",
    "HubSettings",
    "IdentityLimits",
    "IdentitySettings",
    "Retention",
    "TlsSettings",
]


def _name_pattern(pattern: str) -> str:
    check_name(pattern.removesuffix("*") or "x", "name")
    return pattern


Filter = Annotated[str, AfterValidator(check_filter)]
Name = Annotated[str, AfterValidator(check_name)]
NamePattern = Annotated[str, AfterValidator(_name_pattern)]


class Retention(Settings):
    """How much history the hub keeps. What is over either bound goes, oldest first."""

    bytes_max: int = Field(default=10 << 30, ge=1 << 20)
    """Bytes of frames kept in the log."""
    age_h_max: float = Field(default=24 * 14, gt=0)
    """Hours a frame is kept."""
    check_every_s: float = Field(default=10.0, gt=0)
    """Seconds between two looks at the bounds."""


class HubLimits(Settings):
    """Bounds on what clients may ask of the hub."""

    frame_bytes_max: int = Field(default=FRAME_BYTES_MAX, ge=1024, le=FRAME_BYTES_MAX)
    """Bytes of one frame; larger ones are refused."""
    in_flight_bytes_max: int = Field(default=IN_FLIGHT_BYTES_MAX, ge=1 << 20)
    """Unacknowledged bytes one publisher may have on the way; it waits at the bound."""
    commit_bytes_max: int = Field(default=8 << 20, ge=1 << 20)
    """Bytes stored in one group commit."""
    pending_bytes_max: int = Field(default=64 << 20, ge=1 << 20)
    """Bytes of all publishers waiting for the disk; at the bound their streams are no longer read."""
    queue_frames_max: int = Field(default=1024, ge=1)
    """Frames waiting for one subscriber; beyond it falls behind into the log, or loses frames if it is lossy."""
    queue_bytes_max: int = Field(default=4 << 20, ge=1 << 16)
    """Bytes waiting for one subscriber; as queue_frames_max."""
    pending_frames_max: int = Field(default=65_536, ge=1)
    """Frames of one durable subscription delivered and not acknowledged; at the bound it waits for acks."""
    dead_letters_max: int = Field(default=10_000, ge=1)
    """Dead letters replayed or dropped by one command."""
    streams_max: int = Field(default=20_000, ge=1)
    """Publish and subscribe streams at once; further ones are refused."""
    topics_max: int = Field(default=100_000, ge=1)
    """Different topics in the log; frames to further ones are refused."""
    durables_max: int = Field(default=10_000, ge=1)
    """Durable subscriptions known; further ones are refused."""


class TlsSettings(Settings):
    """Encryption. Files are PEM and are read again when they change, without a restart."""

    certificate: Path
    """The hub's certificate, with the chain behind it if there is one."""
    key: Path
    """Its private key."""
    client_ca: Path | None = None
    """Authority of the clients' certificates; set, every client must show one (mTLS). Left out: none is asked for."""
    revoked: Path | None = None
    """Revocation list (CRL) of `client_ca`; who is on it is sent away, on open streams too."""
    connection_age_s_max: int = Field(default=3600, ge=1, le=86_400 * 7)
    """Seconds after which a client is asked to connect again (a tenth more or less, so that not all come at once)."""
    connection_grace_s: int = Field(default=10, ge=1, le=3600)
    """Seconds that streams of such a connection get to end by themselves."""

    @model_validator(mode="after")
    def _list_has_its_authority(self) -> Self:
        if self.revoked and not self.client_ca:
            raise ValueError("revoked is a list of client certificates; give client_ca too, or leave revoked out")
        return self


class IdentityLimits(Settings):
    """What one identity may use, over all its streams. Left out: no bound of its own."""

    streams: int | None = Field(default=None, ge=1)
    """Open streams; further ones are refused."""
    bytes_s: int | None = Field(default=None, ge=1024)
    """Bytes of frames published in a second, with a burst of one second."""
    frames_s: int | None = Field(default=None, ge=1)
    """Frames published in a second, with a burst of one second."""


class IdentitySettings(Settings):
    """One client and what it may do; what is not granted is denied."""

    name: Name
    """The name in its certificate (`fieldline://identity/NAME`) or behind its token."""
    publish: tuple[Filter, ...] = ()
    """Topic filters it may publish to."""
    subscribe: tuple[Filter, ...] = ()
    """Topic filters it may subscribe to: what it asks for must lie within one of them."""
    producers: tuple[NamePattern, ...] = ()
    """Client and producer names it may use beside its own and those that begin with its own and a dot; `*` ends one."""
    durables: tuple[NamePattern, ...] = ()
    """Durable names it may use beside its own and those that begin with its own and a dot; `*` ends one."""
    limits: IdentityLimits = IdentityLimits()
    """What it may use."""

    def identity(self) -> Identity:
        """As the core takes it."""
        return Identity(
            name=self.name,
            publish=self.publish,
            subscribe=self.subscribe,
            producers=self.producers,
            durables=self.durables,
            streams_max=self.limits.streams,
            bytes_s_max=self.limits.bytes_s,
            frames_s_max=self.limits.frames_s,
        )


class AuthSettings(Settings):
    """Who may do what. As soon as this is there, everything is denied that it does not grant."""

    tokens_file: Path | None = None
    """Tokens made by `fieldline tokens`; only its owner may read it (mode 0600). Read again when it changes."""
    token_listen: str | None = None
    """A second address, for clients without a certificate, where `tls.client_ca` makes the first ask for one."""
    check_every_s: float = Field(default=10.0, gt=0, le=60)
    """Seconds between two looks at open streams: who was revoked or has expired is sent away."""
    identities: tuple[IdentitySettings, ...]
    """The clients and their grants."""

    @field_validator("identities")
    @classmethod
    def _names_are_apart(cls, identities: tuple[IdentitySettings, ...]) -> tuple[IdentitySettings, ...]:
        names = sorted(one.name for one in identities)
        for index, name in enumerate(names):
            if name in names[index + 1 :]:
                raise ValueError(f"{name!r} is there twice; keep one")
            for other in names:
                if other.startswith(f"{name}."):
                    raise ValueError(f"{other!r} begins with {name!r} and a dot: a name {name!r} owns; rename one")
        return identities


class HubSettings(FileSettings):
    """A hub: where it listens, where it keeps its log, and its bounds."""

    KIND: ClassVar[str] = "hub"
    kind: Literal["hub"] = "hub"
    """Always `hub`."""
    listen: str = "127.0.0.1:50051"
    """Address and port for gRPC. Port 0 takes a free one. One that other machines can reach needs `tls`."""
    data: Path = Path("data/hub")
    """Folder for the log."""
    metrics: str | None = None
    """Address and port of /metrics and /healthz; left out: none."""
    retention: Retention = Retention()
    """How much history is kept."""
    limits: HubLimits = HubLimits()
    """Bounds on what clients may ask."""
    tls: TlsSettings | None = None
    """Encryption; left out: none, and then only loopback."""
    auth: AuthSettings | None = None
    """Who may do what; left out: everybody who reaches the hub may do everything."""
    insecure: bool = False
    """Listen beyond loopback without encryption all the same; said in the log at every start."""
    drain_s: float = Field(default=3.0, ge=0)
    """Seconds that open streams get to finish when the hub is stopped."""

    @model_validator(mode="after")
    def _somebody_can_come_in(self) -> Self:
        asks = self.tls is not None and self.tls.client_ca is not None
        auth = self.auth
        if auth is None:
            return self
        if not asks and auth.tokens_file is None:
            raise ValueError("auth: nobody could show who it is; set tls.client_ca, auth.tokens_file, or both")
        if auth.token_listen and not (asks and auth.tokens_file):
            raise ValueError(
                "auth.token_listen: is for tokens beside client certificates; set tls.client_ca and auth.tokens_file"
            )
        if asks and auth.tokens_file and not auth.token_listen:
            raise ValueError(
                "auth.tokens_file: no client could use a token, because tls.client_ca makes `listen` ask for "
                "certificates; set auth.token_listen too"
            )
        return self
