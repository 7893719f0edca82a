"""Who waits to hear what became of a message, and what it hears. Pure.

A receipt is about one frame; the messages in it may have met different ends. One receipt settles the whole frame.
Bound: an entry lives while somebody waits for it, so there are no more than callers that wait.
"""

from dataclasses import dataclass
from typing import Any

from fieldline.client.batch import Batch
from fieldline.errors import HubError, Nacked, NoReceiver
from fieldline.v1 import hub_pb2

__all__ = ["Handled", "Receipts"]


@dataclass(frozen=True, slots=True)
class Handled:
    """A subscriber, whose client name is `by`, has acknowledged the message."""

    by: str


class Receipts:
    """Batches about which somebody waits to hear, by the number of their receipt. Numbers are from 1."""

    def __init__(self) -> None:
        self._batches: dict[int, Batch] = {}
        self._last_number = 0

    def __len__(self) -> int:
        return len(self._batches)

    def new_number(self) -> int:
        """For a new batch that wants a receipt."""
        self._last_number += 1
        return self._last_number

    def expect(self, batch: Batch, position: int, waiter: Any) -> None:
        """`waiter` wants to hear of the message at `position`."""
        assert batch.receipt
        batch.handlers[position] = waiter
        self._batches[batch.receipt] = batch

    def forget(self, batch: Batch, position: int) -> None:
        """The one who waited for the message at `position` does so no longer."""
        batch.handlers.pop(position, None)
        if not batch.handlers:
            self._batches.pop(batch.receipt, None)

    def settle(self, receipt: hub_pb2.Receipt) -> list[tuple[Any, Handled | HubError]]:
        """(waiter, what it hears) of everybody whom this receipt is for; nobody if nobody waits."""
        batch = self._batches.pop(receipt.receipt, None)
        if batch is None:
            return []
        handlers, batch.handlers = batch.handlers, {}
        return [
            (waiter, heard)
            for position, waiter in handlers.items()
            if (heard := _outcome(batch.topic, position, receipt)) is not None
        ]

    def abandon(self) -> list[Any]:
        """No receipt will come any more; return everybody who waits."""
        waiters = [waiter for batch in self._batches.values() for waiter in batch.handlers.values()]
        self._batches.clear()
        return waiters


def _outcome(topic: str, position: int, receipt: hub_pb2.Receipt) -> Handled | HubError | None:
    """What became of one message; None for an outcome a newer hub has invented: that ends as a timeout."""
    if receipt.outcome == hub_pb2.OUTCOME_NO_RECEIVER:
        return NoReceiver(
            f"nobody listens to {topic!r}, and no durable subscription waits for it; start the one who should"
        )
    if receipt.outcome == hub_pb2.OUTCOME_REFUSED and (not receipt.messages or position in receipt.messages):
        why = f": {receipt.reason}" if receipt.reason else ""
        return Nacked(f"{receipt.by} refused the message on {topic!r}{why}", by=receipt.by, reason=receipt.reason)
    if receipt.outcome in (hub_pb2.OUTCOME_HANDLED, hub_pb2.OUTCOME_REFUSED):
        return Handled(receipt.by)
    return None
