"""What is learned of a device as bytes and back: plain data, JSON, compressed. Pure, bounded."""

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["BLOB_BYTES_MAX", "from_blob", "to_blob"]

BLOB_BYTES_MAX: Final = 16 << 20
"""Bytes of one device, unpacked: some thousand tags."""
_VERSION: Final = b"L1"


def to_blob(snapshot: Mapping[str, Any]) -> bytes:
    """The bytes of a snapshot."""
    return _VERSION + zlib.compress(json.dumps(snapshot, separators=(",", ":"), allow_nan=False).encode(), 1)


def from_blob(blob: bytes) -> dict[str, Any]:
    """The snapshot in `blob`; ValueError if it is none, or of another version."""
    if blob[:2] != _VERSION:
        raise ValueError(f"learned state begins with {blob[:2]!r}, not with {_VERSION!r}: let the device learn again")
    unpacking = zlib.decompressobj()
    try:
        text = unpacking.decompress(blob[2:], BLOB_BYTES_MAX)
        if unpacking.unconsumed_tail or not unpacking.eof:
            raise ValueError(f"learned state is cut, or more than {BLOB_BYTES_MAX} bytes")
        snapshot = json.loads(text)
    except (zlib.error, UnicodeDecodeError) as error:
        raise ValueError(f"learned state is damaged: {error}") from error
    if not isinstance(snapshot, dict):
        raise ValueError("learned state is no object")
    return snapshot
