"""What people ask of alarms: the requests on `ask/alarms`, as they come. Pure."""

import json
from typing import Annotated, Final, Literal

from pydantic import Field, TypeAdapter, ValidationError, field_validator

from fieldline.config import Settings
from fieldline_cloud.agents.tag_pattern import check_pattern

__all__ = [
    "Acknowledge",
    "Health",
    "List",
    "Order",
    "OutOfService",
    "Refusal",
    "ReturnToService",
    "Shelve",
    "Unshelve",
    "Wish",
    "parse_order",
]

CONTENT_BYTES_MAX: Final = 65_536
ALARMS_MAX: Final = 256
_EXAMPLE: Final = '{"do": "acknowledge", "alarm": "demo/hall-a/pump-2:vibration:range_hi", "by": "anna"}'

Name = Annotated[str, Field(max_length=200)]
StateName = Literal["raised", "acknowledged", "returned", "cleared", "shelved", "suppressed", "out_of_service"]


class Refusal(Exception):
    """Why an order is not carried out: a word for programs, a sentence for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class List(Settings):
    """Which alarms are there."""

    do: Literal["list"]
    device: str = "+/+/+"
    """Site, area and device, each a pattern."""
    states: list[StateName] = Field(default_factory=list)
    """Alarms in these states; left out: all but cleared."""
    limit: Annotated[int, Field(ge=1, le=1_000)] = 200
    """At most so many."""

    @field_validator("device")
    @classmethod
    def _three_levels(cls, device: str) -> str:
        return check_pattern(device)


class Health(Settings):
    """How the alarm system does."""

    do: Literal["health"]
    area: Annotated[str, Field(max_length=200)] = ""
    """`site/area`; left out: all."""


class Wish(Settings):
    """Something a person wants of one alarm or more."""

    alarm: Annotated[str, Field(max_length=1_024)] = ""
    """Fingerprint or id of the alarm."""
    alarms: Annotated[list[Annotated[str, Field(min_length=1, max_length=1_024)]], Field(max_length=ALARMS_MAX)] = (
        Field(default_factory=list)
    )
    """Fingerprints or ids of several alarms, instead."""
    by: Name = ""
    """Who wants it; the name of the client is added."""
    note: Annotated[str, Field(max_length=500)] = ""
    """Why."""

    @property
    def wanted(self) -> list[str]:
        """The alarms, each once."""
        return list(dict.fromkeys([self.alarm, *self.alarms] if self.alarm else self.alarms))


class Acknowledge(Wish):
    """Somebody has seen it."""

    do: Literal["acknowledge"]


class Shelve(Wish):
    """Put it aside for a while."""

    do: Literal["shelve"]
    for_s: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    """How long."""
    until_clear: bool = False
    """Whether it comes back off the shelf when it clears, if that is sooner."""


class Unshelve(Wish):
    """Show its true state again."""

    do: Literal["unshelve"]


class OutOfService(Wish):
    """Put it aside until it is put back."""

    do: Literal["out_of_service"]


class ReturnToService(Wish):
    """Put it back."""

    do: Literal["return_to_service"]


Order = List | Health | Acknowledge | Shelve | Unshelve | OutOfService | ReturnToService
_ADAPTER: Final[TypeAdapter[Order]] = TypeAdapter(Annotated[Order, Field(discriminator="do")])


def parse_order(content: bytes) -> Order:
    """The order in a request's content, a JSON object. Refusal("bad_request") names what is wrong with it."""
    if len(content) > CONTENT_BYTES_MAX:
        raise _bad(f"{len(content)} bytes are more than {CONTENT_BYTES_MAX}")
    try:
        given = json.loads(content)
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _bad(f"is no JSON object; send one like {_EXAMPLE}") from error
    try:
        order = _ADAPTER.validate_python(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"][1:]) or "the request"
        raise _bad(f"{place}: {first['msg']}; send one like {_EXAMPLE}") from error
    if isinstance(order, Wish):
        if not order.wanted:
            raise _bad(f"names no alarm; send one like {_EXAMPLE}")
        if isinstance(order, Shelve | OutOfService) and not order.note.strip():
            raise _bad("note: say why, so that the next shift knows")
    return order


def _bad(what: str) -> Refusal:
    return Refusal("bad_request", what)
