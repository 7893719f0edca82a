"""Follows the demo through the public SDK, like any agent would, and keeps the ledger."""

import asyncio
import time
from typing import Final

from fieldline import DecodeError, Delivery, Runtime, Start
from fieldline.wire.plant import decode_alert, decode_task
from fieldline_cloud.demo.ledger import Ledger

__all__ = ["Watcher"]

_FILTERS: Final = ("readings/#", "alerts/#", "tasks/#")


class Watcher:
    """Reads everything from the start of the log into a ledger."""

    def __init__(self, hub: str) -> None:
        self.ledger = Ledger()
        self.bad_frames = 0
        self._runtime = Runtime(hub, name="demo")

    async def run(self) -> None:
        """Until cancelled."""
        async with (
            self._runtime as runtime,
            runtime.subscribe(_FILTERS, start=Start.EARLIEST) as subscription,
        ):
            async for delivery in subscription.deliveries():
                try:
                    self._note(delivery)
                except DecodeError:
                    self.bad_frames += 1

    def _note(self, delivery: Delivery) -> None:
        kind, _, place = delivery.topic.partition("/")
        if kind == "readings":
            self.ledger.note_frame(
                (delivery.producer, delivery.epoch),
                delivery.sequence,
                delivery.readings(),
                device=place,
                frame_bytes=delivery.frame_bytes,
                skipped_frames=delivery.skipped_frames,
                skipped_count=delivery.skipped_count,
                now_ns=time.time_ns(),
                now_s=time.monotonic(),
            )
            return
        for message in delivery.messages():
            if kind == "alerts":
                self.ledger.note_alert(decode_alert(message.content))
            else:
                self.ledger.note_task(decode_task(message.content))

    async def caught_up(self, readings: int, *, timeout_s: float) -> bool:
        """Wait until so many readings are in the ledger; False if they do not come in time."""
        give_up_at = time.monotonic() + timeout_s
        while self.ledger.readings < readings:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(0.05)
        return True
