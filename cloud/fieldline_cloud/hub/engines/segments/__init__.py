"""The embedded log: CRC-checked segment files, one chunk and one fdatasync for each group commit."""

from fieldline_cloud.hub.engines.segments.backup import restore
from fieldline_cloud.hub.engines.segments.engine import RESERVE_BYTES, SEGMENT_BYTES, SegmentEngine

__all__ = ["RESERVE_BYTES", "SEGMENT_BYTES", "SegmentEngine", "restore"]
