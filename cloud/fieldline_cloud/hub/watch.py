"""Looks after the hub itself: says in the log, and on `$sys/hub`, what begins to be wrong and when it is over."""

import asyncio
import json
import logging
import time
from collections.abc import Callable

from fieldline_cloud.hub.core.conditions import CERTIFICATE_ENDS, LOG_NOT_WRITABLE, Change, Conditions, ending

__all__ = ["HUB_TOPIC", "Watch"]

log = logging.getLogger(__name__)

HUB_TOPIC = "$sys/hub"
_EVERY_S = 1.0


class Watch:
    """Asks once a second. `log_failure` says why the log cannot be written (empty: it can), `not_after_s` when the
    certificate ends (None: there is none), `announce` sends content to a topic. `wall_s` is Unix time.
    """

    def __init__(
        self,
        *,
        log_failure: Callable[[], str],
        not_after_s: Callable[[], float | None],
        announce: Callable[[str, bytes], None],
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        self._log_failure = log_failure
        self._not_after_s = not_after_s
        self._announce = announce
        self._wall_s = wall_s
        self._conditions = Conditions()

    @property
    def active(self) -> dict[str, str]:
        """What is wrong now, with a sentence each."""
        return self._conditions.active

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(_EVERY_S)

    def look(self) -> None:
        """Say what has changed since the last look."""
        ends_s = self._not_after_s()
        for condition, detail in (
            (LOG_NOT_WRITABLE, self._log_failure()),
            (CERTIFICATE_ENDS, "" if ends_s is None else ending(ends_s, self._wall_s())),
        ):
            if change := self._conditions.note(condition, detail):
                self._say(change)

    def _say(self, change: Change) -> None:
        if change.began:
            log.warning("%s", change.detail, extra={"condition": change.condition})
        else:
            log.info("over: %s", change.detail, extra={"condition": change.condition})
        event = {
            "condition": change.condition,
            "state": "began" if change.began else "over",
            "detail": change.detail,
            "at_ms": round(self._wall_s() * 1000),
        }
        self._announce(HUB_TOPIC, json.dumps(event, ensure_ascii=False).encode())
