"""The messages every contender of the hub bench publishes: a pool of distinct readings of exactly 200 bytes.

One message again and again would flatter whoever compresses. These differ as readings do: device, tag, a value with
noise, time, and an id of 27 to 44 random hexadecimal digits that fills the size and that no compressor can shorten by
more than half. The seed is fixed: every run and every process makes the same pool. Message number n of a run is
`POOL[n % len(POOL)]`, so that the subscriber can tell a lost, repeated, exchanged or damaged one from the right one.
"""

import json
import random
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice

__all__ = ["POOL", "SIZE", "check_counts", "check_in_order", "expected", "publishing"]

SIZE = 200
_COUNT = 1024
_SEED = 20261123
_TAGS = {
    "bearing_temperature": (58.0, 1.5, "degC"),
    "vibration": (2.4, 0.2, "mm/s"),
    "pressure": (3.8, 0.1, "bar"),
    "flow": (33.0, 0.8, "m3/h"),
    "speed": (2628.0, 12.0, "rpm"),
    "motor_current": (14.2, 0.5, "A"),
}


def _pool() -> tuple[bytes, ...]:
    chance = random.Random(_SEED)
    at = datetime(2026, 11, 23, 7, tzinfo=UTC)
    messages = []
    for _ in range(_COUNT):
        tag, (middle, noise, unit) = chance.choice(list(_TAGS.items()))
        at += timedelta(microseconds=chance.randrange(500, 200_000))
        fields = {
            "site": "demo",
            "area": f"hall-{chance.choice('abcd')}",
            "device": f"pump-{chance.randrange(1, 41):02}",
            "tag": tag,
            "value": round(chance.gauss(middle, noise), 4),
            "unit": unit,
            "quality": "good",
            "at": at.isoformat(timespec="microseconds"),
            "id": "",
        }
        fields["id"] = f"{chance.getrandbits(1024):0256x}"[: SIZE - len(_text(fields))]
        messages.append(_text(fields))
    return tuple(messages)


def _text(fields: dict[str, object]) -> bytes:
    return json.dumps(fields, separators=(",", ":")).encode()


POOL = _pool()


def publishing(count: int) -> Iterator[bytes]:
    """The first `count` messages of a run."""
    return islice(cycle(POOL), count)


def expected() -> Iterator[bytes]:
    """What a subscriber should see, one after the other, without end."""
    return cycle(POOL)


def check_in_order(taken: int, wrong: int, count: int) -> None:
    """AssertionError unless `count` messages were taken and each was the one whose turn it was."""
    assert taken == count, f"{count} messages were published and {taken} arrived"
    assert not wrong, f"{wrong} of {count} messages were not the one whose turn it was"


def check_counts(found: Counter[str] | Counter[bytes], keys: Iterable[str] | Iterable[bytes], count: int) -> None:
    """For peers that promise no order: AssertionError unless each of the pool came as often as it was published.

    `keys` is what `found` counts, one for each message of the pool, in its order.
    """
    laps, rest = divmod(count, _COUNT)
    wanted = {key: laps + (index < rest) for index, key in enumerate(keys)}
    odd = [key for key in {*found, *wanted} if found.get(key, 0) != wanted.get(key, 0)]
    assert not odd, f"{len(odd)} of {_COUNT} messages came more or less often than they were published"
