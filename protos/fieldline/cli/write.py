"""`fieldline write`: have a gateway write one value to a device."""

import asyncio
import json
import math
import secrets
import time
from typing import Annotated, Any

import typer

from fieldline.cli.options import CONNECT_TIMEOUT_S, HubOption, check_hub, hub_access_from_environment
from fieldline.errors import ConfigError, HubUnavailable, NoReceiver, RequestFailed, RequestTimeout
from fieldline.topics import check_name, check_topic

__all__ = ["write"]


def write(
    device: Annotated[str, typer.Argument(help="The device, as SITE/AREA/DEVICE")],
    tag: Annotated[str, typer.Argument(help="The tag to write")],
    value: Annotated[str, typer.Argument(help="A number, true, false, or a text")],
    hub: HubOption = "127.0.0.1:50051",
    order_id: Annotated[
        str, typer.Option("--id", help="Id of the command: the same id again is not done twice", show_default="random")
    ] = "",
    verify: Annotated[bool, typer.Option(help="Read the value back")] = True,
    timeout: Annotated[float, typer.Option(min=0.1, max=300, help="Seconds until nobody may write any more")] = 10.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print the gateway's answer as JSON")] = False,
    name: Annotated[str, typer.Option(envvar="FIELDLINE_NAME", help="Name of this client")] = "fieldline-write",
) -> None:
    """Write one value to a device, through the gateway that serves it, and say what became of it.

    The gateway must have `commands`, and the tag `writable`. What is not begun within the timeout is never done. After
    exit code 4 look at the device before you try again; the same --id is safe to repeat.

    Example: `fieldline write demo/hall-a/drive-1 setpoint 42.5`

    Exit codes: 0 written (and read back), 1 refused or the device did not take it, 2 wrong usage, 3 the hub could not
    be reached or refused, or no gateway takes commands for the device, 4 nobody knows whether it was written.
    """
    if device.count("/") != 2:
        raise ConfigError(f"{device!r} is no device; write it as SITE/AREA/DEVICE, like demo/hall-a/drive-1")
    topic = f"commands/{device}"
    check_topic(topic)
    check_name(name)
    check_hub(hub)
    order_id = order_id or secrets.token_hex(8)
    order = {"id": order_id, "tag": tag, "value": parsed(value), "verify": verify, "at": time.time()}
    answer = asyncio.run(_ask(topic, order, hub=hub, name=name, timeout_s=timeout))
    if as_json:
        print(json.dumps(answer))
    else:
        print(sentence(answer, device))
    code = {"done": 0, "unknown": 4}.get(str(answer.get("status")), 1)
    if code:
        raise typer.Exit(code)


def parsed(text: str) -> bool | int | float | str:
    """A word of the command line as what it most likely is."""
    if text in ("true", "false"):
        return text == "true"
    try:
        return int(text)
    except ValueError:
        pass
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def sentence(answer: dict[str, Any], device: str) -> str:
    """The gateway's answer for a person."""
    place = f"{device} {answer.get('tag', '')}".strip()
    if answer.get("status") == "done":
        checked = ", read back" if "read_back" in answer else ""
        again = " (this id was done before)" if answer.get("repeated") else ""
        return f"{place} = {answer.get('value')}{checked}{again}"
    return f"{place}: {answer.get('status')} ({answer.get('code')}): {answer.get('message')}; id {answer.get('id')}"


async def _ask(topic: str, order: dict[str, Any], *, hub: str, name: str, timeout_s: float) -> dict[str, Any]:
    from fieldline import Runtime

    access = hub_access_from_environment()
    try:
        async with Runtime(
            hub, name=name, tls=access.tls, token=access.token, connect_timeout_s=CONNECT_TIMEOUT_S
        ) as runtime:
            reply = await runtime.request(topic, json.dumps(order), timeout_s=timeout_s)
    except NoReceiver as error:
        raise HubUnavailable(f"no gateway takes commands on {topic!r}; is it running, with 'commands'?") from error
    except RequestTimeout:
        return _unknown(order, "timeout", f"no answer within {timeout_s:g} s")
    except RequestFailed as error:
        return _unknown(order, "failed", str(error))
    return dict(json.loads(reply.text))


def _unknown(order: dict[str, Any], code: str, message: str) -> dict[str, Any]:
    return {"id": order["id"], "tag": order["tag"], "status": "unknown", "code": code, "message": message}
