"""What people ask of the agent: one model for each `do`, and why an order is refused. Pure."""

from datetime import datetime
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator

from fieldline.model import VerdictKind

__all__ = [
    "QUESTIONS",
    "Absent",
    "Assign",
    "Back",
    "Calendar",
    "Cancel",
    "History",
    "ListTasks",
    "NotifyTest",
    "Order",
    "Parts",
    "Pin",
    "Plan",
    "Progress",
    "Receive",
    "Refusal",
    "Reject",
    "Show",
    "Stocktake",
    "Technicians",
    "Unpin",
    "VerdictOrder",
    "parse_order",
]

CONTENT_BYTES_MAX: Final = 16_384
Text = Annotated[str, Field(max_length=900)]
Name = Annotated[str, Field(min_length=1, max_length=64)]
TaskId = Annotated[str, Field(min_length=1, max_length=64)]


class Refusal(Exception):
    """Why an order is not carried out: a word for programs, a sentence with the cure for people."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Order(BaseModel):
    """What every order says. `id` makes repeating it harmless; `by` is who says so, else the client's name."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    do: str
    id: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\x21-\x7e]+$")] = ""
    by: Annotated[str, Field(max_length=64)] = ""


class _OnTask(Order):
    task: TaskId


class _Timed(Order):
    """Moments may be ISO 8601 with an offset, or Unix seconds."""

    @field_validator("start", "until", "since", check_fields=False)
    @classmethod
    def _has_an_offset(cls, moment: datetime | None) -> datetime | None:
        if moment is not None and moment.tzinfo is None:
            raise ValueError("has no offset; write it like 2026-03-02T08:00+01:00, or as Unix seconds")
        return moment


class ListTasks(Order):
    """Tasks that are not over, the most urgent first."""

    do: Literal["list"]
    states: list[str] = Field(default_factory=list)
    technician: str = ""
    area: str = ""
    count_max: Annotated[int, Field(ge=1, le=1_000)] = 200


class Show(_OnTask):
    """One task with its timeline, also one that is over."""

    do: Literal["show"]


class Progress(_OnTask, _Timed):
    """The technician says how far it is. `technician`: who, where that is to be checked; `until`: when parts come."""

    do: Literal["accept", "travel", "start", "wait_for_parts", "done", "note"]
    technician: str = ""
    note: Text = ""
    until: datetime | None = None
    verdict: VerdictKind | None = None
    cause: str = ""


class VerdictOrder(_OnTask):
    """What was found, apart from finishing it."""

    do: Literal["verdict"]
    kind: VerdictKind
    cause: str = ""
    note: Text = ""


class Reject(_OnTask):
    """The technician does not take it: it goes to somebody else."""

    do: Literal["reject"]
    technician: str = ""
    reason: Text = ""


class Assign(_OnTask, _Timed):
    """Give it to this technician, at this time or whenever it fits, and leave it there."""

    do: Literal["assign"]
    technician: Name
    start: datetime | None = None


class Pin(_OnTask, _Timed):
    """Fix technician and time; what is left out stays as it is planned now."""

    do: Literal["pin"]
    technician: str = ""
    start: datetime | None = None


class Unpin(_OnTask):
    """Let the planner move it again."""

    do: Literal["unpin"]


class Cancel(_OnTask):
    """It is not to be done."""

    do: Literal["cancel"]
    reason: Text = ""


class Absent(_Timed):
    """This technician is away: their work is planned anew."""

    do: Literal["absent"]
    technician: Name
    start: datetime | None = None
    until: datetime
    note: Text = ""


class Back(Order):
    """This technician is back, whatever absence was said."""

    do: Literal["back"]
    technician: Name


class Plan(Order):
    """Search for a better plan now, and show who does what when."""

    do: Literal["plan"]
    technician: str = ""


class Receive(Order):
    """Goods have come: so many more of this part lie in the store."""

    do: Literal["receive"]
    part: Name
    count: Annotated[int, Field(ge=1, le=1_000_000)]
    note: Text = ""


class Stocktake(Order):
    """The store was counted: so many of this part lie there, those that are reserved among them."""

    do: Literal["stocktake"]
    part: Name
    count: Annotated[int, Field(ge=0, le=1_000_000_000)]
    note: Text = ""


class Parts(Order):
    """What lies in the store, what of it is reserved, and which tasks wait."""

    do: Literal["parts"]


class History(_Timed):
    """What happened, newest first."""

    do: Literal["history"]
    device: str = ""
    cause: str = ""
    task: str = ""
    technician: str = ""
    kind: str = ""
    since: datetime | None = None
    until: datetime | None = None
    before_id: Annotated[int, Field(ge=0)] = 0
    count_max: Annotated[int, Field(ge=1, le=1_000)] = 100


class Calendar(Order):
    """The calendar of a technician, as iCalendar text."""

    do: Literal["calendar"]
    technician: Name


class Technicians(Order):
    """Who is there, who is away, and how much each has to do."""

    do: Literal["technicians"]


class NotifyTest(Order):
    """Say something through a channel now, and tell what came of it."""

    do: Literal["notify_test"]
    channel: Name


AnyOrder = Annotated[
    ListTasks
    | Show
    | Progress
    | VerdictOrder
    | Reject
    | Assign
    | Pin
    | Unpin
    | Cancel
    | Absent
    | Back
    | Plan
    | Receive
    | Stocktake
    | Parts
    | History
    | Calendar
    | Technicians
    | NotifyTest,
    Field(discriminator="do"),
]
_ORDERS: Final[TypeAdapter[Any]] = TypeAdapter(AnyOrder)

QUESTIONS: Final = (ListTasks, Show, History, Calendar, Technicians, Parts)
"""What changes nothing: no id is needed, and it may be asked again and again."""


def parse_order(content: bytes) -> Order:
    """The order in a request's content, a JSON object. Refusal("bad_request") names what is wrong with it."""
    if len(content) > CONTENT_BYTES_MAX:
        raise Refusal("bad_request", f"{len(content)} bytes are more than {CONTENT_BYTES_MAX}")
    try:
        order: Order = _ORDERS.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(each) for each in first["loc"][1:]) or "order"
        raise Refusal("bad_request", f"{place}: {first['msg']}; send one like {_EXAMPLE}") from error
    except (ValueError, RecursionError) as error:
        raise Refusal("bad_request", f"is no JSON object; send one like {_EXAMPLE}") from error
    if not isinstance(order, QUESTIONS) and not order.id:
        raise Refusal("bad_request", "id: is missing; give every order a new one, so that repeating it is harmless")
    return order


_EXAMPLE: Final = '{"do": "accept", "id": "7f3a", "task": "0123456789ab", "by": "Amira"}'
