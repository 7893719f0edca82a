"""Follows the demo through the public SDK, like any agent would, and keeps the ledger."""

import asyncio
import time
from typing import Final

from fieldline import DecodeError, Delivery, Runtime, Start
from fieldline.wire.plant import decode_alert, decode_task
from fieldline_cloud.demo.ledger import Ledger
from fieldline_cloud.demo.story import Story

__all__ = ["Watcher"]

_FILTERS: Final = ("readings/#", "alerts/#", "tasks/#", "prognoses/#")
_SITE: Final = "demo/"


class Watcher:
    """Reads everything from the start of the log into a ledger, and what is about its device into `story`."""

    def __init__(self, hub: str, story: Story) -> None:
        self.ledger = Ledger()
        self.story = story
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
        if kind == "prognoses":
            self.story.note_prognosis(place, delivery.readings())
            return
        if kind == "readings":
            self.ledger.note_frame(
                (delivery.producer, delivery.epoch),
                delivery.sequence,
                delivery.readings(),
                device=place,
                frame_bytes=delivery.frame_bytes,
                skipped_frames=delivery.skipped_frames,
                skipped_count=delivery.skipped_count,
                now_ns=time.time_ns() if place.startswith(_SITE) else None,  # the mill's stamps are not of this clock
                now_s=time.monotonic(),
            )
            return
        for message in delivery.messages():
            if kind == "alerts":
                alert = decode_alert(message.content)
                self.ledger.note_alert(alert)
                self.story.note_alert(alert)
            else:
                task = decode_task(message.content)
                self.ledger.note_task(task)
                self.story.note_task(task)

    async def caught_up(self, readings: int, *, timeout_s: float) -> bool:
        """Wait until so many readings are in the ledger; False if they do not come in time."""
        give_up_at = time.monotonic() + timeout_s
        while self.ledger.readings < readings:
            if time.monotonic() > give_up_at:
                return False
            await asyncio.sleep(0.05)
        return True
