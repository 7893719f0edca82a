"""Answering people's requests, beside an agent's work and never in its way."""

import logging
from collections.abc import Awaitable, Callable

from fieldline.errors import Refused
from fieldline_cloud.agents.bus import Bus, RequestIn

__all__ = ["answer_on"]

log = logging.getLogger(__name__)


async def answer_on(bus: Bus, topic: str, handler: Callable[[RequestIn], Awaitable[bytes | str]]) -> bool:
    """Answer the requests on `topic` until the connection is closed; whether the hub lets us.

    An agent that may read and publish but not answer does its work all the same: the log says what is missing.
    """
    try:
        await bus.respond(topic, handler)
    except Refused as refusal:
        log.warning("nobody can ask this agent", extra={"topic": topic, "reason": str(refusal)})
        return False
    return True
