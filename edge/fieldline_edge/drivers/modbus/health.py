"""What a device owes us: which blocks to ask in this poll, and which quality the others have. Pure.

Silence (a timeout, or a gateway saying the unit is gone) with nothing answered in the same poll is the
device's: it is then asked one block at a time, by turns, with growing pauses, so that a dead unit costs the
others on its line one timeout per pause. By turns, because some devices are silent about one block only: as
soon as another block answers, the device is alive and the silent block alone is left out. Any other trouble
(an exception code, an answer that does not fit the question) is the block's own.
"""

import random
from enum import Enum, auto

from fieldline.model import Quality
from fieldline_edge.drivers.backoff import Backoff

__all__ = ["Change", "DeviceHealth"]


class Change(Enum):
    """What a poll has changed, for the log."""

    NONE = auto()
    LOST = auto()
    FOUND = auto()


class DeviceHealth:
    """Health of one device and of each of its blocks. Times are seconds of one monotonic clock."""

    def __init__(self, blocks: int, *, backoff_base_s: float, backoff_max_s: float, source: random.Random) -> None:
        def backoff() -> Backoff:
            return Backoff(base_s=backoff_base_s, max_s=backoff_max_s, source=source)

        self._device = backoff()
        self._blocks = [backoff() for _ in range(blocks)]
        self._device_quality = Quality.GOOD
        self._block_qualities = [Quality.GOOD] * blocks
        self._turn = 0
        self._answered = False
        self._abandoned = False

    @property
    def quality(self) -> Quality:
        """GOOD while the device answers, or why it does not."""
        return self._device_quality

    @property
    def abandoned(self) -> bool:
        """Whether the rest of this poll should not be asked."""
        return self._abandoned

    def begin_poll(self, now_s: float) -> list[int]:
        """The blocks to ask now, healthy ones first; empty while the device is left alone."""
        self._answered = self._abandoned = False
        if not self._device.ready(now_s):
            return []
        healthy = [i for i, quality in enumerate(self._block_qualities) if quality.is_good]
        troubled = [i for i, quality in enumerate(self._block_qualities) if quality.is_bad]
        asked = healthy + [i for i in troubled if self._blocks[i].ready(now_s)]
        if self._device_quality.is_good:
            return asked
        probe = self._turn % len(self._blocks)
        self._turn += 1
        return [probe, *(i for i in asked if i != probe)]

    def may_retry(self, block: int) -> bool:
        """Whether silence of this block is worth asking again at once: only if it was healthy so far."""
        return self._device_quality.is_good and self._block_qualities[block].is_good

    def answered(self, block: int) -> Change:
        """The block gave a good answer."""
        self._blocks[block].succeeded()
        self._block_qualities[block] = Quality.GOOD
        return self._alive()

    def refused(self, block: int, quality: Quality, now_s: float) -> Change:
        """The block was answered, but not with what was asked for."""
        self._block_failed(block, quality, now_s)
        return self._alive()

    def silent(self, block: int, quality: Quality, now_s: float) -> Change:
        """Nothing came back for the block: the rest of this poll is off."""
        self._abandoned = True
        self._block_failed(block, quality, now_s)
        if self._answered:
            return Change.NONE
        self._device.failed(now_s)
        return self._lost(quality)

    def disconnected(self) -> Change:
        """There is no connection to ask over. When to try again is the connection's business."""
        self._abandoned = True
        return self._lost(Quality.BAD_NOT_CONNECTED)

    def quality_of(self, block: int) -> Quality:
        """Why the block has no value in this poll: never GOOD."""
        if self._device_quality.is_bad:
            return self._device_quality
        if self._block_qualities[block].is_bad:
            return self._block_qualities[block]
        return Quality.BAD_TIMEOUT  # healthy, but its turn did not come: another block fell silent before it

    def _block_failed(self, block: int, quality: Quality, now_s: float) -> None:
        self._blocks[block].failed(now_s)
        self._block_qualities[block] = quality

    def _alive(self) -> Change:
        self._answered = True
        if self._device_quality.is_good:
            return Change.NONE
        self._device.succeeded()
        self._device_quality = Quality.GOOD
        for backoff in self._blocks:  # they may have been silent for the device's sake: ask them in the next poll
            backoff.hurry()
        return Change.FOUND

    def _lost(self, quality: Quality) -> Change:
        was_good = self._device_quality.is_good
        self._device_quality = quality
        return Change.LOST if was_good else Change.NONE
