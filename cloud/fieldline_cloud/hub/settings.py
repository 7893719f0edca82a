"""What hub.yaml may say."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from fieldline.config import FileSettings, Settings
from fieldline.limits import FRAME_BYTES_MAX, IN_FLIGHT_BYTES_MAX

__all__ = ["HubLimits", "HubSettings", "Retention"]


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
    streams_max: int = Field(default=20_000, ge=1)
    """Publish and subscribe streams at once; further ones are refused."""
    topics_max: int = Field(default=100_000, ge=1)
    """Different topics in the log; frames to further ones are refused."""
    durables_max: int = Field(default=10_000, ge=1)
    """Durable subscriptions known; further ones are refused."""


class HubSettings(FileSettings):
    """A hub: where it listens, where it keeps its log, and its bounds."""

    KIND: ClassVar[str] = "hub"
    kind: Literal["hub"] = "hub"
    """Always `hub`."""
    listen: str = "127.0.0.1:50051"
    """Address and port for gRPC. Port 0 takes a free one. Only loopback: this hub does not encrypt yet."""
    data: Path = Path("data/hub")
    """Folder for the log."""
    metrics: str | None = None
    """Address and port of /metrics and /healthz; left out: none."""
    retention: Retention = Retention()
    """How much history is kept."""
    limits: HubLimits = HubLimits()
    """Bounds on what clients may ask."""
    drain_s: float = Field(default=3.0, ge=0)
    """Seconds that open streams get to finish when the hub is stopped."""
