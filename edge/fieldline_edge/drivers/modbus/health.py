"""What a device owes us: which requests to ask in this poll, and which quality the others have. Pure.

Silence (a timeout, or a gateway saying the unit is gone) with nothing answered since the poll began is the
device's: it is then asked one request at a time, by turns, with growing pauses, so that a dead unit costs the
others on its line one timeout per pause. By turns, because some devices are silent about one request only: as
soon as another one is answered, the device is alive and the silent one alone is left out. Any other trouble
(an exception code, an answer that does not fit the question) is the request's own.
"""

import random
from collections.abc import Sequence
from enum import Enum, auto

from fieldline.model import Quality
from fieldline_edge.drivers.backoff import Backoff

__all__ = ["BlockHealth", "Change", "DeviceHealth", "Look"]


class Change(Enum):
    """What a poll has changed, for the log."""

    NONE = auto()
    LOST = auto()
    FOUND = auto()


class BlockHealth:
    """How one request of a device is: its quality, and when it may be asked."""

    __slots__ = ("_backoff", "quality")

    def __init__(self, backoff: Backoff) -> None:
        self.quality = Quality.GOOD
        self._backoff = backoff

    @property
    def failures(self) -> int:
        """How often it has failed since its last good answer."""
        return self._backoff.failures

    def ready(self, now_s: float) -> bool:
        """Whether it is healthy, or its pause is over."""
        return self.quality.is_good or self._backoff.ready(now_s)

    def failed(self, quality: Quality, now_s: float) -> None:
        """It has no good answer; it is asked after a pause."""
        self.quality = quality
        self._backoff.failed(now_s)

    def succeeded(self) -> None:
        """It has a good answer."""
        self.quality = Quality.GOOD
        self._backoff.succeeded()

    def hurry(self) -> None:
        """Ask it in the next poll."""
        self._backoff.hurry()


class Look:
    """One poll of some requests of a device."""

    __slots__ = ("abandoned", "answers_before", "is_probe")

    def __init__(self, answers_before: int, *, is_probe: bool) -> None:
        self.answers_before = answers_before
        self.is_probe = is_probe  # the device is lost: begin with one request, and go on if it is answered
        self.abandoned = False  # the rest of this poll should not be asked


class DeviceHealth:
    """Health of one device and of each of its requests. Times are seconds of one monotonic clock.

    Polls of several groups may go on at the same time.
    """

    def __init__(self, *, backoff_base_s: float, backoff_max_s: float, source: random.Random) -> None:
        self._base_s = backoff_base_s
        self._max_s = backoff_max_s
        self._source = source
        self._device = self._backoff()
        self._blocks: list[BlockHealth] = []
        self._answers = 0
        self._probe: Look | None = None
        self._turn = 0
        self.quality = Quality.GOOD  # while the device answers, or why it does not
        self.found = 0  # how often it was found again

    def block(self) -> BlockHealth:
        """The health of one more request."""
        health = BlockHealth(self._backoff())
        self._blocks.append(health)
        return health

    def trial(self) -> BlockHealth:
        """The health of something that is only tried: it speaks for no request, and is never asked twice in a poll."""
        health = BlockHealth(self._backoff())
        health.quality = Quality.BAD
        return health

    def drop(self, blocks: Sequence[BlockHealth]) -> None:
        """Requests that are asked no more."""
        self._blocks = [block for block in self._blocks if block not in blocks]

    def begin(self, now_s: float) -> Look | None:
        """A poll that may begin now; None while the device is left alone, or probed by another poll."""
        if self.quality.is_good:
            return Look(self._answers, is_probe=False)
        if self._probe is not None or not self._device.ready(now_s):
            return None
        self._probe = Look(self._answers, is_probe=True)
        return self._probe

    def end(self, look: Look) -> None:
        """The poll is over."""
        if look is self._probe:
            self._probe = None

    def turn(self, count: int) -> tuple[int, bool]:
        """Which of `count` requests a lost device is asked for next, and whether for all of it or the least possible.

        By turns: a device may be silent about a request because of a gap in it.
        """
        turn, self._turn = self._turn, self._turn + 1
        return turn % count, turn // count % 2 == 0

    def given_up(self, look: Look) -> bool:
        """Whether the rest of this poll should not be asked, because of what it or another poll has met."""
        return look.abandoned or (self.quality.is_bad and look is not self._probe)

    def may_retry(self, block: BlockHealth) -> bool:
        """Whether silence is worth asking again at once: only if the request was healthy so far."""
        return self.quality.is_good and block.quality.is_good

    def answered(self, block: BlockHealth) -> Change:
        """The request has a good answer."""
        if block.quality is not Quality.GOOD:
            block.succeeded()
        return self.alive()

    def refused(self, block: BlockHealth, quality: Quality, now_s: float) -> Change:
        """There was an answer, but not with what was asked for."""
        block.failed(quality, now_s)
        return self.alive()

    def silent(self, look: Look, block: BlockHealth, quality: Quality, now_s: float) -> Change:
        """Nothing came back: the rest of this poll is off."""
        look.abandoned = True
        was_healthy = block.quality.is_good
        block.failed(quality, now_s)
        if self._answers > look.answers_before:
            return Change.NONE
        # A request known to be silent proves nothing while others that are healthy can speak for the device.
        if self.quality.is_good and not was_healthy and any(each.quality.is_good for each in self._blocks):
            return Change.NONE
        self._device.failed(now_s)
        return self._lost(quality)

    def disconnected(self, look: Look) -> Change:
        """There is no connection to ask over. When to try again is the connection's business."""
        look.abandoned = True
        return self._lost(Quality.BAD_NOT_CONNECTED)

    def quality_of(self, block: BlockHealth) -> Quality:
        """Why the request has no value in this poll: never GOOD."""
        if self.quality.is_bad:
            return self.quality
        if block.quality.is_bad:
            return block.quality
        return Quality.BAD_TIMEOUT  # healthy, but its turn did not come: another request fell silent before it

    def alive(self) -> Change:
        """The device has answered something."""
        self._answers += 1
        if self.quality.is_good:
            return Change.NONE
        self._device.succeeded()
        self.quality = Quality.GOOD
        self.found += 1
        for block in self._blocks:  # they may have been silent for the device's sake: ask them in the next poll
            block.hurry()
        return Change.FOUND

    def _lost(self, quality: Quality) -> Change:
        was_good = self.quality.is_good
        self.quality = quality
        return Change.LOST if was_good else Change.NONE

    def _backoff(self) -> Backoff:
        return Backoff(base_s=self._base_s, max_s=self._max_s, source=self._source)
