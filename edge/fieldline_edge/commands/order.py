"""A command as it comes, and the answer to it. Pure."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from fieldline.model import Value

__all__ = ["Answer", "Order", "Refusal", "Status", "parse_order"]

CONTENT_BYTES_MAX = 4096
_ID = re.compile(r"[\x21-\x7e]{1,64}\Z")
_KEYS = {"id", "tag", "value", "verify", "at"}


class Status(Enum):
    """What became of a command."""

    DONE = "done"  # the device confirmed it, and if asked to, the value was read back
    REFUSED = "refused"  # nothing was sent to the device
    FAILED = "failed"  # it was sent, and the device did not take it, or shows something else
    UNKNOWN = "unknown"  # it was sent, and nobody knows: look before you try again


class Refusal(Exception):
    """Why a command is not carried out: a word for programs, a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True)
class Order:
    """One write that somebody wants done. `at_s` is when it was given, Unix time, None if it does not say."""

    id: str
    tag: str
    value: Value
    verify: bool = True
    at_s: float | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is replied, and written into the audit."""

    status: Status
    code: str = ""
    message: str = ""
    value: Value = None
    read_back: Value = None

    def as_json(self, order_id: str, **more: Any) -> dict[str, Any]:
        """As the reply has it: keys without a value are left out."""
        said: dict[str, Any] = {"id": order_id, "status": self.status.value, "code": self.code, "message": self.message}
        said |= {"value": self.value, "read_back": self.read_back, **more}
        return {key: value for key, value in said.items() if value not in ("", None)}


def parse_order(content: bytes) -> Order:
    """The order in a request's content, a JSON object. Refusal("bad_request") names what is wrong with it."""
    if len(content) > CONTENT_BYTES_MAX:
        raise _bad(f"{len(content)} bytes are more than {CONTENT_BYTES_MAX}")
    try:
        given = json.loads(content)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad("is no JSON object; send one like " + _EXAMPLE) from error
    if not isinstance(given, Mapping):
        raise _bad("is no JSON object; send one like " + _EXAMPLE)
    if unknown := sorted(map(str, given.keys() - _KEYS)):
        raise _bad(f"{unknown[0][:40]!r} is not a known key; known are {', '.join(sorted(_KEYS))}")
    order_id, tag, verify, at_s = given.get("id"), given.get("tag"), given.get("verify", True), given.get("at")
    if not isinstance(order_id, str) or not _ID.match(order_id):
        raise _bad("id: must be 1 to 64 visible characters, new for every command; it makes repeating it harmless")
    if not isinstance(tag, str):
        raise _bad("tag: is missing; name the tag to write")
    if not isinstance(given.get("value"), bool | int | float | str):
        raise _bad("value: is missing or no number, text, true or false")
    if not isinstance(verify, bool):
        raise _bad("verify: must be true or false")
    if at_s is not None and (isinstance(at_s, bool) or not isinstance(at_s, int | float) or not math.isfinite(at_s)):
        raise _bad("at: must be Unix time in seconds")
    return Order(order_id, tag, given["value"], verify, at_s)


_EXAMPLE = '{"id": "7f3a", "tag": "setpoint", "value": 21.5}'


def _bad(message: str) -> Refusal:
    return Refusal("bad_request", message)
