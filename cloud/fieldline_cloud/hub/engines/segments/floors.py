"""Which frames a reader may still be given: those at or above their topic's floor. Pure.

There are two kinds of floor. One of a single topic (`purged`) is written into the log, and so holds after a restart.
The general one, of all topics that retention has no rule of their own for, is found anew by the first `retain` after a
start: until then frames may be seen again whose file was still there.
"""

from collections.abc import Mapping

__all__ = ["Floors"]


class Floors:
    """The present floors. Changed by one thread at a time; read from any."""

    __slots__ = ("_top", "exempt", "general", "purged", "unwritten")

    def __init__(self) -> None:
        self.purged: dict[int, int] = {}
        """Topic number: frames of it below this offset are gone."""
        self.unwritten: set[int] = set()
        """Topics whose floor in `purged` is not in the log yet."""
        self.general = 0
        """Frames below it are gone, but for those of topics in `exempt`."""
        self.exempt: Mapping[int, object] = {}
        self._top = 0

    def purge(self, topic: int, below_offset: int) -> None:
        """Raise the floor of one topic; never down."""
        if below_offset > self.purged.get(topic, 0):
            self.purged[topic] = below_offset
            self._top = max(self._top, below_offset)

    def written(self, topic: int, below_offset: int) -> None:
        """The log says so now."""
        self.purge(topic, below_offset)
        if self.purged.get(topic, 0) <= below_offset:
            self.unwritten.discard(topic)

    def rise(self, general: int, exempt: Mapping[int, object]) -> None:
        """Raise the general floor, and say whom it is not for."""
        self.exempt = exempt  # first, so that nobody finds a frame hidden that is not
        self.general = max(self.general, general)
        self._top = max(self._top, self.general)

    def forget(self, below_offset: int) -> None:
        """The log holds nothing below this offset any more, so floors there say nothing."""
        for topic, floor in list(self.purged.items()):
            if floor <= below_offset:
                del self.purged[topic]
                self.unwritten.discard(topic)

    def hides_at(self, offset: int) -> bool:
        """Whether a frame at this offset or above could be hidden: asked once for a chunk, before its frames."""
        return offset < self._top

    def of(self, topic: int) -> int:
        """The floor of a topic."""
        purged = self.purged.get(topic, 0)
        return purged if topic in self.exempt else max(purged, self.general)

    def shows(self, topic: int, offset: int) -> bool:
        """Whether this frame may be given."""
        return offset >= self.purged.get(topic, 0) and (offset >= self.general or topic in self.exempt)
