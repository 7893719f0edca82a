"""`fieldline purge`: forget frames."""

import time
from typing import TYPE_CHECKING, Annotated

import typer

from fieldline.cli.administer import administer, confirmed
from fieldline.cli.moments import parse_moment
from fieldline.cli.options import HubOption, check_hub
from fieldline.errors import ConfigError
from fieldline.topics import check_filter

if TYPE_CHECKING:
    from fieldline import AdminClient, Purged

__all__ = ["purge"]


def purge(
    topic_filter: Annotated[str, typer.Argument(metavar="FILTER", help="Topics to forget, e.g. 'notes/#'")],
    below: Annotated[int | None, typer.Option(help="Only frames below this offset", min=1, metavar="OFFSET")] = None,
    before: Annotated[
        str, typer.Option(help="Only frames stored before: an age like 36h or 14d, or a time", metavar="TIME")
    ] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask first")] = False,
    hub: HubOption = "127.0.0.1:50051",
) -> None:
    """Forget frames of the topics that match: they are gone for every reader at once, and cannot be had back.

    Without `--below` and `--before`: all that are stored now. The disk gets its space back with retention.

    Example: `fieldline purge 'notes/#' --before 14d`

    Exit codes: 0 done, 2 bad filter or option, or not confirmed, 3 the hub could not be reached or refused.
    """
    check_filter(topic_filter)
    check_hub(hub)
    if below is not None and before:
        raise ConfigError("--below and --before: give one of them")
    before_ms = parse_moment(before, now_ms=time.time_ns() // 1_000_000) if before else 0
    which = f"below offset {below}" if below else f"stored before {before}" if before else "that are stored now"
    if not confirmed(f"Forget the frames of {topic_filter} {which}?", yes):
        raise ConfigError("not done: agree with 'y', or say --yes where nobody can be asked")

    async def forget(client: "AdminClient") -> "Purged":
        return await client.purge(topic_filter, below_offset=below or 0, before_ms=before_ms)

    done = administer(hub, forget)
    print(f"purged {done.topics} topic{'s' * (done.topics != 1)} below offset {done.below_offset}")
