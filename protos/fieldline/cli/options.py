"""Options that several commands share."""

from typing import Annotated, Final

import typer

__all__ = ["CONNECT_TIMEOUT_S", "HubOption"]

CONNECT_TIMEOUT_S: Final = 5.0

HubOption = Annotated[str, typer.Option("--hub", envvar="FIELDLINE_HUB", help="Address and port of the hub")]
