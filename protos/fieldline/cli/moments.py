"""Times as people write them. Pure."""

import re
from datetime import UTC, datetime
from typing import Final

from fieldline.errors import ConfigError

__all__ = ["parse_moment"]

_AGE: Final = re.compile(r"([0-9]{1,9})(s|m|h|d)\Z")
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}


def parse_moment(text: str, *, now_ms: int) -> int:
    """Unix time in ms of an age (`90m`, `36h`, `14d`) or of an ISO 8601 time; without a zone it is UTC.

    Raises ConfigError for anything else, and for times before 1970.
    """
    if age := _AGE.match(text):
        return max(1, now_ms - int(age[1]) * _UNIT_MS[age[2]])
    try:
        moment = datetime.fromisoformat(text)
        at_ms = round((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
    except (ValueError, OverflowError):
        at_ms = 0
    if at_ms <= 0:
        raise ConfigError(f"{text[:40]!r} is not a time; write an age like 36h or 14d, or 2026-01-31T12:00Z")
    return at_ms
