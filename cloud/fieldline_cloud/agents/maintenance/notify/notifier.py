"""Sends what waits in the ledger, beside everything else the agent does, and writes down what came of it."""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, Protocol

from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.channels import Channel, NotDelivered
from fieldline_cloud.agents.maintenance.notify.ledger import Outcome, Result
from fieldline_cloud.agents.maintenance.notify.message import Delivery
from fieldline_cloud.agents.maintenance.notify.pace import Rate, Repeats, retry_after_ns

__all__ = ["DeliveryStore", "Notifier", "NotifyStats"]

log = logging.getLogger(__name__)

_BATCH: Final = 64
_AT_ONCE: Final = 4


class DeliveryStore(Protocol):
    """A store with a ledger of deliveries."""

    async def deliveries_due(self, now_ns: int, count_max: int) -> Sequence[Delivery]:
        """What is to go now, the most severe first."""

    async def delivered(self, results: Sequence[Result]) -> None:
        """What became of attempts."""


class NotifyStats(Protocol):
    """Where it is counted."""

    notices_sent: int
    notices_failed: int
    notices_dropped: int


class Notifier:
    """At most `_AT_ONCE` messages are under way. A channel that fails holds up no other for longer than its timeout."""

    def __init__(
        self,
        store: DeliveryStore,
        channels: Mapping[str, Channel],
        repeats: Repeats,
        stats: NotifyStats,
        *,
        is_wanted: Callable[[Delivery], bool],
        per_minute_max: int,
        attempts_max: int,
        now_ns: Callable[[], int],
    ) -> None:
        self._store = store
        self._channels = channels
        self._repeats = repeats
        self._stats = stats
        self._is_wanted = is_wanted
        self._rates = {name: Rate(per_minute_max) for name in channels}
        self._attempts_max = attempts_max
        self._now_ns = now_ns
        self._threads = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="notify")

    async def round(self) -> int:
        """Send what is due now; how many were looked at. Raises StorageError."""
        due = await self._store.deliveries_due(self._now_ns(), _BATCH)
        if due:
            await self._store.delivered(await asyncio.gather(*(self._one(delivery) for delivery in due)))
        return len(due)

    async def test(self, delivery: Delivery) -> str:
        """Send it at once, past ledger and limits; empty, or why it was not taken."""
        channel = self._channels.get(delivery.channel)
        if channel is None:
            known = ", ".join(sorted(self._channels)) or "none"
            return f"{delivery.channel[:64]!r} is not under notify.channels; known are {known}"
        return await self._send(channel, delivery)

    def close(self) -> None:
        """Begin nothing more; what is under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _one(self, delivery: Delivery) -> Result:
        now_ns = self._now_ns()
        channel = self._channels.get(delivery.channel)
        if channel is None or not self._is_wanted(delivery):
            self._stats.notices_dropped += 1
            said = "no longer wanted" if channel else "the channel is not in the file any more"
            return Result(delivery, Outcome.DROPPED, now_ns, said)
        wait_ns = self._rates[delivery.channel].take(now_ns)
        if wait_ns:
            return Result(delivery, Outcome.WAITING, now_ns, "so many in a minute", again_ns=now_ns + wait_ns)
        said = await self._send(channel, delivery)
        if not said:
            self._stats.notices_sent += 1
            return Result(delivery, Outcome.SENT, now_ns, follow_up=self._repeat(delivery, now_ns))
        tried = replace(delivery, attempts=delivery.attempts + 1)
        if tried.attempts >= self._attempts_max:
            self._stats.notices_failed += 1
            log.error("message given up", extra={"channel": tried.channel, "task": tried.task, "reason": said})
            return Result(tried, Outcome.FAILED, now_ns, said)
        return Result(tried, Outcome.WAITING, now_ns, said, again_ns=now_ns + retry_after_ns(tried.attempts))

    async def _send(self, channel: Channel, delivery: Delivery) -> str:
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(self._threads, channel.send, delivery, self._now_ns())
        except NotDelivered as error:
            return str(error)
        except Exception as error:  # noqa: BLE001  # a plug-in of Apprise may raise anything: logged and tried again
            return f"{type(error).__name__} in the channel"
        return ""

    def _repeat(self, delivery: Delivery, now_ns: int) -> Delivery | None:
        """The same again after a while, unless somebody acknowledges: only what asks a technician for an answer."""
        if delivery.kind is not NoticeKind.ASSIGNED or delivery.severity < Severity.WARNING:
            return None
        wait_ns = self._repeats.wait_ns(delivery.round)
        if wait_ns is None:
            return None
        round_ = delivery.round + 1
        key = f"{delivery.key.rpartition(':')[0]}:{round_}"
        return replace(delivery, key=key, round=round_, due_ns=now_ns + wait_ns, attempts=0)
