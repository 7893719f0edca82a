"""Options that commands for the maintenance agent share."""

from typing import Annotated, Final

import typer

__all__ = [
    "HUB",
    "NAME",
    "AsOption",
    "ByOption",
    "IdOption",
    "JsonOption",
    "NameOption",
    "NoteOption",
    "PartArgument",
    "StartOption",
    "TaskArgument",
    "TechnicianArgument",
    "TimeoutOption",
]

HUB: Final = "127.0.0.1:50051"
NAME: Final = "fieldline-tasks"
TaskArgument = Annotated[str, typer.Argument(help="Id of the task, or its beginning")]
PartArgument = Annotated[str, typer.Argument(help="Name of the part, as under parts in the file")]
TechnicianArgument = Annotated[str, typer.Argument(help="Name of the technician")]
ByOption = Annotated[str, typer.Option("--by", help="Who says so; else the name of this client")]
AsOption = Annotated[str, typer.Option("--as", help="Technician who says so; refused if it is another's task")]
NoteOption = Annotated[str, typer.Option(help="What there is to say")]
StartOption = Annotated[str, typer.Option(help="When: 8h or 2d from now, or ISO 8601")]
IdOption = Annotated[str, typer.Option("--id", help="Id of the order: the same again is not done twice")]
TimeoutOption = Annotated[float, typer.Option(min=0.1, max=300, help="Seconds to wait for the answer")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON")]
NameOption = Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")]
