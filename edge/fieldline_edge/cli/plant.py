"""`fieldline plant`: tell a running simulated plant what should go wrong now."""

import json
from typing import Annotated, Any, Final

import typer

from fieldline.addresses import split_address
from fieldline.cli import new_app
from fieldline_edge.drivers.simulator.control_server import send_command

__all__ = ["plant"]

plant: Final = new_app("Command a running simulated plant: begin and end faults, switch machines, ask how it is.")

_Control = Annotated[str, typer.Option(help="Where the plant takes commands: --control of `fieldline simulate`.")]
_Machine = Annotated[str, typer.Argument(help="Name of the machine.", show_default=False)]
_CONTROL = "127.0.0.1:5021"


@plant.command()
def fault(
    machine: _Machine,
    kind: Annotated[str, typer.Argument(help="What goes wrong, such as bearing_wear.", show_default=False)],
    grow: Annotated[float, typer.Option(min=0.0, help="Seconds until it has its full severity.")] = 10.0,
    after: Annotated[float, typer.Option(min=0.0, help="Seconds of plant time until it begins.")] = 0.0,
    duration: Annotated[
        float | None, typer.Option(min=0.001, help="Seconds it lasts.", show_default="until cleared")
    ] = None,
    severity: Annotated[float, typer.Option(min=0.001, max=2.0, help="1 cannot be overlooked.")] = 1.0,
    signal: Annotated[
        str | None, typer.Option(help="The sensor, for stuck, spike, drift and noise.", show_default=False)
    ] = None,
    fails: Annotated[bool, typer.Option("--fails", help="Let bearing wear end in a failure.")] = False,
    control: _Control = _CONTROL,
) -> None:
    """Begin a fault.

    Example: `fieldline plant fault pump-2 bearing_wear --grow 60`

    Exit codes: 0 done, 1 no plant answers or it refuses, 2 wrong arguments.
    """
    command: dict[str, Any] = {"do": "fault", "machine": machine, "kind": kind, "grow_s": grow}
    command |= {"after_s": after, "severity": severity, "fails": fails}
    command |= {key: value for key, value in (("duration_s", duration), ("signal", signal)) if value is not None}
    answer = send_command(*split_address(control, "--control"), command)
    print(f"fault {answer['id']}: {kind} on {machine} at {answer['at_s']:.1f} s")


@plant.command()
def clear(
    machine: _Machine,
    kind: Annotated[str | None, typer.Argument(help="Only faults of this kind.", show_default="all")] = None,
    control: _Control = _CONTROL,
) -> None:
    """End the faults of a machine; it is then as good as new.

    Example: `fieldline plant clear pump-2`

    Exit codes: 0 done, 1 no plant answers or it refuses, 2 wrong arguments.
    """
    command = {"do": "clear", "machine": machine, "kind": kind}
    answer = send_command(*split_address(control, "--control"), command)
    print(f"cleared {answer['cleared']}")


@plant.command()
def switch(
    machine: _Machine,
    state: Annotated[str, typer.Argument(help="on or off.", show_default=False)],
    control: _Control = _CONTROL,
) -> None:
    """Start or stop the motor of a machine.

    Example: `fieldline plant switch pump-1 off`

    Exit codes: 0 done, 1 no plant answers or it refuses, 2 wrong arguments.
    """
    if state not in ("on", "off"):
        raise typer.BadParameter(f"{state!r} is neither on nor off")
    send_command(*split_address(control, "--control"), {"do": "switch", "machine": machine, "running": state == "on"})


@plant.command()
def status(control: _Control = _CONTROL) -> None:
    """Show plant time, machines and faults, as JSON.

    Example: `fieldline plant status`

    Exit codes: 0 done, 1 no plant answers or it refuses, 2 wrong arguments.
    """
    print(json.dumps(send_command(*split_address(control, "--control"), {"do": "status"}), indent=2))
