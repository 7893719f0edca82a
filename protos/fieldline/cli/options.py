"""Options that several commands share, checked before anything is started."""

import os
from typing import Annotated, Final

import typer

from fieldline.access import Access
from fieldline.addresses import split_address
from fieldline.errors import ConfigError
from fieldline.logs import setup_logging

__all__ = ["CONNECT_TIMEOUT_S", "HubOption", "check_hub", "hub_access_from_environment", "start_logging"]

CONNECT_TIMEOUT_S: Final = 5.0

HubOption = Annotated[str, typer.Option("--hub", envvar="FIELDLINE_HUB", help="Address and port of the hub")]


def check_hub(address: str) -> str:
    """The address, if it is one; ConfigError otherwise."""
    split_address(address, "--hub")
    return address


def hub_access_from_environment() -> Access:
    """What FIELDLINE_TLS_CA, FIELDLINE_TLS_CERT, FIELDLINE_TLS_KEY and FIELDLINE_TOKEN say. Raises ConfigError.

    Not options: what stands on a command line can be read by everybody on the machine.
    """
    return Access.from_environment(os.environ)


def start_logging(level: str) -> None:
    """Begin to log at the level an option names; ConfigError if there is no such level."""
    try:
        setup_logging(level)
    except ValueError as error:
        raise ConfigError(f"--log-level: {error}") from error
