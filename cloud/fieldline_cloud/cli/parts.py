"""`fieldline tasks parts`, `receive`, `stocktake`: what lies in the store of spare parts."""

from typing import Annotated, Final

import typer

from fieldline.cli.options import HubOption
from fieldline_cloud.cli.asking import ask, print_part, print_rows
from fieldline_cloud.cli.task_options import (
    HUB,
    NAME,
    ByOption,
    IdOption,
    JsonOption,
    NameOption,
    NoteOption,
    PartArgument,
    TimeoutOption,
)

__all__ = ["parts", "receive", "stocktake"]

_COLUMNS: Final = {
    "part": "PART",
    "on_hand": "IN THE STORE",
    "reserved": "RESERVED",
    "free": "FREE",
    "lead_days": "LEAD DAYS",
    "waiting": "WAITING",
}


def parts(
    hub: HubOption = HUB, as_json: JsonOption = False, timeout: TimeoutOption = 10.0, name: NameOption = NAME
) -> None:
    """Show what lies in the store, what of it is reserved, and which tasks wait for more.

    Example: `fieldline tasks parts`

    Exit codes: 0 shown, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers.
    """
    found = ask({"do": "parts"}, hub=hub, name=name, timeout_s=timeout)["parts"]
    print_rows(found, _COLUMNS, as_json=as_json, nothing="no parts are counted; list them under parts")


def receive(
    part: PartArgument,
    count: Annotated[int, typer.Argument(min=1, max=1_000_000, help="How many have come")],
    note: NoteOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Book in goods that have come: tasks that wait for them are planned anew.

    Example: `fieldline tasks receive "bearing 6205" 4 --note "delivery 8812"`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "receive", "part": part, "count": count, "note": note, "by": by}
    print_part(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)


def stocktake(
    part: PartArgument,
    count: Annotated[int, typer.Argument(min=0, max=1_000_000_000, help="How many lie in the store, all told")],
    note: NoteOption = "",
    by: ByOption = "",
    hub: HubOption = HUB,
    order_id: IdOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = 10.0,
    name: NameOption = NAME,
) -> None:
    """Say how many of a part were counted in the store, those that are reserved among them.

    Example: `fieldline tasks stocktake "bearing 6205" 3`

    Exit codes: 0 done, 1 refused, 2 wrong usage, 3 the hub could not be reached or no agent answers, 4 nobody knows.
    """
    order = {"do": "stocktake", "part": part, "count": count, "note": note, "by": by}
    print_part(ask(order, hub=hub, name=name, timeout_s=timeout, order_id=order_id), as_json=as_json)
