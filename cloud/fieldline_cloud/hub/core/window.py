"""What is with a subscriber and not yet taken by it: credit in frames and bytes. Pure."""

from collections import deque

__all__ = ["Window"]


class Window:
    """Open while fewer than `frames_max` frames and fewer than `bytes_max` bytes are untaken. The last may go over."""

    __slots__ = ("_bytes_max", "_frames_max", "_untaken", "_untaken_bytes")

    def __init__(self, frames_max: int, bytes_max: int) -> None:
        self._frames_max = frames_max
        self._bytes_max = bytes_max
        self._untaken: deque[int] = deque()  # bytes of each frame that is with the subscriber
        self._untaken_bytes = 0

    @property
    def is_open(self) -> bool:
        """Whether another frame may be sent."""
        return len(self._untaken) < self._frames_max and self._untaken_bytes < self._bytes_max

    def put(self, nbytes: int) -> None:
        """A frame of so many bytes is sent."""
        self._untaken.append(nbytes)
        self._untaken_bytes += nbytes

    def taken(self, frames: int) -> bool:
        """The subscriber has taken so many more frames; False, and nothing changes, if it never had so many."""
        if frames > len(self._untaken):
            return False
        for _ in range(frames):
            self._untaken_bytes -= self._untaken.popleft()
        return True
