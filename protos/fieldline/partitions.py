"""Which partition of a topic a key belongs to: the same in every language, on every machine, in every run. Pure.

The first 8 bytes, big endian, of SHA-256 over the topic in UTF-8, one zero byte, and the key in UTF-8; modulo the
number of partitions. SHA-256 (FIPS 180-4) is in the standard library of every language a client may be written in, and
a topic cannot hold a zero byte, so no two pairs of topic and key are taken for the same.
"""

import hashlib
from typing import Final

__all__ = ["PARTITIONS_MAX", "partition", "partition_topic"]

PARTITIONS_MAX: Final = 1024
_HASH_BYTES: Final = 8


def partition(topic: str, key: str, partitions: int) -> int:
    """The partition, from 0 to `partitions` - 1, that messages with this key belong to.

    ValueError if `partitions` is not 1 to 1,024. Test vectors: docs/reference/topics.md.
    """
    if not 1 <= partitions <= PARTITIONS_MAX:
        raise ValueError(f"partitions must be 1 to {PARTITIONS_MAX}, not {partitions}")
    digest = hashlib.sha256(topic.encode() + b"\0" + key.encode()).digest()
    return int.from_bytes(digest[:_HASH_BYTES], "big") % partitions


def partition_topic(topic: str, key: str, partitions: int) -> str:
    """The topic of that partition: `<topic>/<number>`. ValueError as `partition`."""
    return f"{topic}/{partition(topic, key, partitions)}"
