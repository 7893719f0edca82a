"""`fieldline-edge run`: read devices and stream their readings until told to stop."""

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["run"]


def run(
    file: Annotated[Path, typer.Argument(help="Gateway file (kind: gateway).", metavar="GATEWAY.yaml")],
    log_level: Annotated[str, typer.Option(help="debug, info, warning or error.")] = "info",
) -> None:
    """Read the devices of a gateway file and stream their readings to the hub.

    Runs until SIGTERM or Ctrl-C; what has been read is then safe in the spool. A hub that is away is waited
    for.

    Example: `fieldline-edge run config/gateway.yaml`

    Exit codes: 0 stopped as asked, 1 failed, 2 the file is wrong, or its spool or metrics address cannot be
    used.
    """
    # Loaded here, so that --help and a mistyped option answer at once.
    from fieldline.config import load
    from fieldline.errors import ConfigError
    from fieldline.logs import setup_logging
    from fieldline_edge.launch import launch
    from fieldline_edge.settings import GatewaySettings

    try:
        setup_logging(log_level)
    except ValueError as error:
        raise ConfigError(f"--log-level: {error}") from error
    launch(file, load(file, GatewaySettings), log_level=log_level)
