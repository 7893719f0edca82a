"""What hub.yaml may say."""

from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator

from fieldline.config import FileSettings, Settings
from fieldline.limits import FRAME_BYTES_MAX, FRAME_RAW_BYTES_MAX, IN_FLIGHT_BYTES_MAX
from fieldline.partitions import PARTITIONS_MAX
from fieldline.topics import check_filter, check_name
from fieldline_cloud.hub.core.access import Identity, covers
from fieldline_cloud.hub.core.policies import TopicPolicies, TopicPolicy
from fieldline_cloud.hub.engines.base import RetentionRules

__all__ = [
    "AuthSettings",
    "HubLimits",
    "HubSettings",
    "IdentityLimits",
    "IdentitySettings",
    "Retention",
    "TlsSettings",
    "TopicRetention",
    "TopicSettings",
]

_TOPIC_PATTERNS_MAX = 1_000
_AGE_H_MAX = 1_000_000  # 114 years
_MS_PER_H = 3_600_000


def _name_pattern(pattern: str) -> str:
    check_name(pattern.removesuffix("*") or "x", "name")
    return pattern


Filter = Annotated[str, AfterValidator(check_filter)]
Name = Annotated[str, AfterValidator(check_name)]
NamePattern = Annotated[str, AfterValidator(_name_pattern)]


class Retention(Settings):
    """How much history the hub keeps. What is over either bound goes, oldest first.

    Over `bytes_max`, topics that `topics` keeps longer than `age_h_max` go last.
    """

    bytes_max: int = Field(default=10 << 30, ge=1 << 20)
    """Bytes of frames kept in the log, without those of topics that have a `bytes_max` of their own."""
    age_h_max: float = Field(default=24 * 14, gt=0, le=_AGE_H_MAX)
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
    """Streams and other calls at once; further ones are refused."""
    streams_per_peer_max: int = Field(default=2_000, ge=1)
    """Streams at once from one address; further ones are refused. Raise it where many clients share one (NAT)."""
    half_open_max: int = Field(default=1_000, ge=1)
    """Streams that have not said hello; at the bound those go that have been silent longest, and for a second."""
    hello_s_max: float = Field(default=10.0, gt=0, le=120)
    """Seconds a client gets for its handshake, and then a stream for its hello; who is silent longer is sent away."""
    connections_max: int = Field(default=10_000, ge=1)
    """Connections at once to one listening address; further ones are closed. Each is an open file of the hub."""
    connection_idle_s_max: float = Field(default=300.0, ge=1, le=86_400)
    """Seconds a connection may be without a stream; then it is closed, and clients open another when they need one."""
    topics_max: int = Field(default=100_000, ge=1)
    """Different topics in the log; frames to further ones are refused."""
    durables_max: int = Field(default=10_000, ge=1)
    """Durable subscriptions known; further ones are refused."""
    agents_max: int = Field(default=10_000, ge=1)
    """Agents present at once; further ones are refused."""


class TopicRetention(Settings):
    """How much history each topic keeps. Left out: the hub's own bound."""

    age_h_max: float | None = Field(default=None, gt=0, le=_AGE_H_MAX)
    """Hours a frame is kept; may be more than the hub's."""
    bytes_max: int | None = Field(default=None, ge=1024)
    """Bytes of frames kept of each topic. They do not count towards the hub's `bytes_max`."""
    frames_max: int | None = Field(default=None, ge=1)
    """Frames kept of each topic."""


class TopicSettings(Settings):
    """How topics that match a filter are treated. The first entry that matches a topic decides."""

    filter: Filter
    """Topics it is about. `#` and `+` do not match topics that begin with `$`."""
    retention: TopicRetention = TopicRetention()
    """How much history each topic keeps."""
    durable: bool = True
    """Frames are stored. If not, they are handed to who listens now and forgotten."""
    last_value: bool = False
    """The last frame of each topic is kept for ever, whatever retention says."""
    partitions: int = Field(default=1, ge=1, le=PARTITIONS_MAX)
    """Lots the keys of such a topic fall into: a group keeps a whole lot with one member (docs/reference/topics.md)."""
    frame_bytes_max: int | None = Field(default=None, ge=1024, le=FRAME_BYTES_MAX)
    """Bytes of one frame; larger ones are refused. Left out: `limits.frame_bytes_max`, and never more."""
    message_bytes_max: int | None = Field(default=None, ge=1, le=FRAME_RAW_BYTES_MAX)
    """Bytes of one message; set, the hub opens every frame to look, which costs time. Left out: it does not."""

    @model_validator(mode="after")
    def _what_is_kept_is_stored(self) -> Self:
        if self.durable:
            return self
        if self.last_value:
            raise ValueError("last_value: what is not durable is not kept; leave last_value out, or set durable: true")
        if self.retention != TopicRetention():
            raise ValueError("retention: what is not durable is not kept; leave retention out, or set durable: true")
        return self

    def policy(self) -> TopicPolicy:
        """As the core takes it."""
        age_h_max = self.retention.age_h_max
        return TopicPolicy(
            filter=self.filter,
            age_ms_max=None if age_h_max is None else int(age_h_max * _MS_PER_H),
            bytes_max=self.retention.bytes_max,
            frames_max=self.retention.frames_max,
            durable=self.durable,
            last_value=self.last_value,
            partitions=self.partitions,
            frame_bytes_max=self.frame_bytes_max,
            message_bytes_max=self.message_bytes_max,
        )


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
    admin: bool = False
    """Whether it may look after the hub: see what it holds, replay dead letters, delete, purge, back up."""
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
            admin=self.admin,
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
    topics: tuple[TopicSettings, ...] = Field(default=(), max_length=_TOPIC_PATTERNS_MAX)
    """How single topics are treated; the first entry whose filter matches decides. Left out: all by the defaults."""
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

    @field_validator("topics")
    @classmethod
    def _every_entry_can_decide(cls, topics: tuple[TopicSettings, ...]) -> tuple[TopicSettings, ...]:
        for place, later in enumerate(topics):
            for earlier in topics[:place]:
                if covers(earlier.filter, later.filter):
                    raise ValueError(
                        f"{later.filter!r} stands behind {earlier.filter!r}, which decides first for all its topics; "
                        "put the particular before the general"
                    )
        return topics

    @model_validator(mode="after")
    def _frames_fit_the_hub(self) -> Self:
        bound = self.limits.frame_bytes_max
        for one in self.topics:
            if one.frame_bytes_max is not None and one.frame_bytes_max > bound:
                raise ValueError(
                    f"topics: {one.filter!r} has frame_bytes_max {one.frame_bytes_max}, above limits.frame_bytes_max "
                    f"{bound}; lower the one or raise the other"
                )
        return self

    def topic_policies(self) -> TopicPolicies:
        """What `topics` says, as the core takes it."""
        return TopicPolicies([one.policy() for one in self.topics])

    def retention_rules(self) -> RetentionRules:
        """What `retention` and `topics` say of how long frames are kept, as the log takes it."""
        age_ms_max = int(self.retention.age_h_max * _MS_PER_H)
        return RetentionRules(self.retention.bytes_max, age_ms_max, self.topic_policies())

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
