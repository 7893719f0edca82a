"""Single values and times: from what a payload says to what a reading may hold. Pure."""

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from fieldline.limits import BATCH_STRING_BYTES_MAX
from fieldline.model import Quality, Value
from fieldline_edge.drivers.mqtt.settings import OtherTagSettings, TimestampSettings, TimeUnit, ValueType
from fieldline_edge.drivers.scaling import Scaler, scaler
from fieldline_edge.drivers.settings import OutOfRange, TagSettings

__all__ = [
    "RECORDS_MAX",
    "Format",
    "Unreadable",
    "checked_count",
    "epoch_ns",
    "number",
    "scale_of",
    "taker",
    "time_ns",
    "written",
]

RECORDS_MAX = 10_000
"""Most records one payload may hold."""

_INT64_MAX = (1 << 63) - 1
_NS_PER_UNIT = {TimeUnit.S: 1_000_000_000, TimeUnit.MS: 1_000_000, TimeUnit.US: 1000, TimeUnit.NS: 1}
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,4})?\Z", re.ASCII)
_SPECIAL = {"nan", "inf", "+inf", "-inf", "infinity", "-infinity"}
_TRUE = {"true", "on", "1", "yes"}
_FALSE = {"false", "off", "0", "no"}
_DIGITS_MAX = 400


class Unreadable(ValueError):
    """What is wrong with a payload or a value, in words."""


class Format(Protocol):
    """One kind of payload. All its methods, and the functions they return, raise Unreadable and nothing else."""

    def records(self, payload: bytes) -> Sequence[Any]:
        """The payload cut into records, at most RECORDS_MAX, in the order they stand."""
        ...

    def finder(self, tag: OtherTagSettings) -> Callable[[Any], Any]:
        """A function from a record to what stands there for a tag."""
        ...

    def taker(self, tag: OtherTagSettings) -> Callable[[Any], tuple[Value, Quality]]:
        """A function from what `finder` found to a value of the tag's type."""
        ...

    def clock(self, stamp: TimestampSettings) -> Callable[[Any], int]:
        """A function from a record to its Unix time in nanoseconds."""
        ...


def checked_count(count: int) -> None:
    """Refuse more records than a payload may hold."""
    if count > RECORDS_MAX:
        raise Unreadable(f"{count} records in one payload; {RECORDS_MAX} are allowed")


def taker(tag: OtherTagSettings) -> Callable[[Any], tuple[Value, Quality]]:
    """For values that have a type of their own (JSON, binary): types are taken at their word."""
    if tag.type is ValueType.BOOL:
        return lambda raw: (_checked(raw, bool), Quality.GOOD)
    if tag.type is ValueType.STRING:
        return lambda raw: (_text(raw), Quality.GOOD)
    scale = scale_of(tag)
    if tag.type is ValueType.FLOAT:
        return lambda raw: scale(number(raw))
    if tag.type is ValueType.INT:
        return lambda raw: scale(_whole(raw))
    return lambda raw: scale(raw)


def written(tag: OtherTagSettings, *, decimal_comma: bool = False) -> Callable[[str], tuple[Value, Quality]]:
    """For values that are text (plain, CSV).

    A number may be followed by the tag's own unit, and by no other: 21.5 degF is not 21.5 degC.
    """
    if tag.type is ValueType.BOOL:
        return lambda text: (_yes(text), Quality.GOOD)
    if tag.type is ValueType.STRING:
        return lambda text: (_text(text), Quality.GOOD)
    scale, whole = scale_of(tag), tag.type is ValueType.INT

    def read(text: str) -> tuple[Value, Quality]:
        bare = text.strip()
        if tag.unit and bare.endswith(tag.unit):
            bare = bare.removesuffix(tag.unit).rstrip()
        found = _parsed(bare.replace(",", ".") if decimal_comma else bare, text)
        return scale(_whole(found) if whole else number(found))

    return read


def time_ns(raw: Any, unit: TimeUnit, where: str) -> int:
    """The time `raw` says, in nanoseconds since 1970; it must be within 1970 to 2262."""
    if unit is TimeUnit.ISO:
        at_ns = _iso_ns(raw)
    else:
        at_ns = epoch_ns(_parsed(raw.strip(), raw) if isinstance(raw, str) else raw, _NS_PER_UNIT[unit])
    if not 0 < at_ns <= _INT64_MAX:
        raise Unreadable(f"time {raw!r:.40} at {where} is not between 1970 and 2262")
    return at_ns


def number(raw: Any) -> float:
    """`raw` as a float, if it is a number."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise Unreadable(f"{raw!r:.40} is not a number")
    try:
        return float(raw)
    except OverflowError:
        raise Unreadable("number is beyond what a float holds") from None


def epoch_ns(raw: Any, ns_per_unit: int) -> int:
    """A number of units since 1970 in nanoseconds, exactly for whole numbers."""
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise Unreadable(f"time {raw!r:.40} is not a number")
    try:
        return round(raw * ns_per_unit)
    except (OverflowError, ValueError):  # infinite, or not a number
        raise Unreadable(f"time {raw!r:.40} is not a number") from None


def scale_of(tag: TagSettings) -> Scaler:
    """What the settings of a tag make of a number."""
    clamp = tag.out_of_range is OutOfRange.CLAMP
    return scaler(scale=tag.scale, offset=tag.offset, minimum=tag.min, maximum=tag.max, clamp=clamp)


def _checked(raw: Any, kind: type) -> Any:
    if not isinstance(raw, kind):
        raise Unreadable(f"{raw!r:.40} is not a {kind.__name__}")
    return raw


def _text(raw: Any) -> str:
    text = str(_checked(raw, str))
    try:
        size = len(text.encode())
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can write and UTF-8 cannot
        raise Unreadable(f"{text!r:.40} is not valid text") from None
    if size > BATCH_STRING_BYTES_MAX:
        raise Unreadable(f"string of {size} bytes is over {BATCH_STRING_BYTES_MAX}")
    return text


def _whole(raw: Any) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int | float) or raw != raw // 1:
        raise Unreadable(f"{raw!r:.40} is not a whole number")
    if not -_INT64_MAX - 1 <= raw <= _INT64_MAX:
        raise Unreadable("number is beyond what an int64 holds")
    return int(raw)


def _parsed(bare: str, text: str) -> int | float:
    if len(bare) > _DIGITS_MAX or not (_NUMBER.match(bare) or bare.lower() in _SPECIAL):
        raise Unreadable(f"{text!r:.40} is not a number")
    return int(bare) if bare.lstrip("+-").isdigit() else float(bare)


def _yes(text: str) -> bool:
    word = text.strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    raise Unreadable(f"{text!r:.40} is not true or false (on, off, yes, no, 1, 0)")


def _iso_ns(raw: Any) -> int:
    try:
        moment = datetime.fromisoformat(_checked(raw, str).strip())
        moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise Unreadable(f"time {raw!r:.40} is not ISO 8601: {error}") from None
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
