"""`fieldline-edge reload`: have a running gateway read its file again, after a check that it may."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from fieldline_edge.settings import GatewaySettings

__all__ = ["reload"]

_ANSWER_WITHIN_S = 30.0


def reload(
    file: Annotated[Path, typer.Argument(help="Gateway file (kind: gateway).", metavar="GATEWAY.yaml")],
    pid: Annotated[
        int | None, typer.Option(help="Process of the gateway; left out: whoever holds the spool of the file.")
    ] = None,
) -> None:
    """Check a gateway file, and have the gateway that runs with it take over what has changed.

    A file that is wrong is not taken over: each mistake is one line on stderr, and the gateway goes on with the old
    one. If the file has a metrics section, waits for the outcome and prints it; otherwise the log says it.

    Example: `fieldline-edge reload /etc/fieldline/gateway.yaml`

    Exit codes: 0 asked for (and done, where the outcome is known), 1 the gateway refused it or does not run, 2 the
    file is wrong.
    """
    import os
    import signal

    from fieldline.config import load
    from fieldline.errors import FieldlineError
    from fieldline_edge.settings import GatewaySettings

    settings = load(file, GatewaySettings)
    before = _outcome(settings)
    process = pid or holder(settings.spool.path)
    if process is None:
        raise FieldlineError(
            f"no gateway holds the spool {settings.spool.path}; start one, run this in its working directory, "
            "or say --pid (systemctl reload does)"
        )
    try:
        os.kill(process, signal.SIGHUP)
    except ProcessLookupError as error:
        raise FieldlineError(f"process {process} does not run; start the gateway") from error
    except PermissionError as error:
        raise FieldlineError(f"process {process} belongs to another user; use sudo, or systemctl reload") from error
    if before is None:
        print(f"asked process {process} to reload {file}; its log says what came of it")
    else:
        _report(settings, before, process)


def holder(spool: Path) -> int | None:
    """The process that has locked a spool, by /proc/locks; None if nobody has, or that cannot be known."""
    try:
        inode = spool.with_name(spool.name + ".lock").stat().st_ino
        locks = Path("/proc/locks").read_text()
    except OSError:
        return None
    for line in locks.splitlines():
        # proc_locks(5): 1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF
        words = line.split()
        if len(words) >= 6 and words[1] == "FLOCK" and words[5].rpartition(":")[2] == str(inode) and int(words[4]) > 0:
            return int(words[4])
    return None


def _report(settings: "GatewaySettings", before: dict[str, Any], process: int) -> None:
    """Wait until the gateway has tried, and say how it ended."""
    import time

    from fieldline.errors import FieldlineError

    ends_s = time.monotonic() + _ANSWER_WITHIN_S
    while time.monotonic() < ends_s:
        time.sleep(0.2)
        after = _outcome(settings)
        if after is not None and after["tries"] > before["tries"]:
            if after["problems"]:
                raise FieldlineError("the gateway refused it: " + "; ".join(after["problems"]))
            print("reloaded")
            return
    raise FieldlineError(f"process {process} has not answered within {_ANSWER_WITHIN_S:g} s; see its log")


def _outcome(settings: "GatewaySettings") -> dict[str, Any] | None:
    """What /healthz says about the last reload; None if it cannot be asked."""
    import json
    import urllib.error
    import urllib.request

    if settings.metrics is None:
        return None
    try:
        with urllib.request.urlopen(f"http://{settings.metrics.listen}/healthz", timeout=5) as answer:
            page = json.load(answer)
    except urllib.error.HTTPError as error:  # 503 has the same page
        page = json.load(error)
    except (OSError, ValueError):
        return None
    found = page.get("reload") if isinstance(page, dict) else None
    return found if isinstance(found, dict) else None
