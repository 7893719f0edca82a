"""Which addresses a device does not let us read together: learnt from its exceptions, forgotten when it changes. Pure.

A refused range is one that the device answered with an exception, while every smaller range in it that values stand
in was answered. What holds a refused range is taken to be refused as well. A value whose own registers are refused
does not exist in the device; a longer range is a hole between values, or a border that no request may cross.
"""

import random
from collections.abc import Callable, Generator, Iterator, Sequence

from fieldline_edge.drivers.backoff import Backoff
from fieldline_edge.drivers.modbus.plan import Range

__all__ = ["Refusals", "search"]

_RECHECK_FIRST_S = 10.0
_RECHECK_LAST_S = 3600.0
_RECHECKS_PER_POLL = 16
_RANGES_MAX = 10_000

Search = Generator[tuple[int, int], bool, None]


def search(count: int, found: list[tuple[int, int]]) -> Search:
    """Find out why the request for values 0 .. count-1, in the order of their addresses, was refused.

    Yields (first, last) of the values to ask for next; send True if that was answered, False if it was refused. The
    smallest refused ones are added to `found`, as (first, last), as soon as they are known. At the end every value that
    can be read alone has been in a range that was answered. One hole costs about 2 x log2(count) requests.
    """
    return _search(0, count - 1, found)


def _search(first: int, last: int, found: list[tuple[int, int]]) -> Search:
    """The range was asked for and refused."""
    if first == last:
        found.append((first, last))
        return
    middle = (first + last) // 2
    left = yield first, middle
    right = yield middle + 1, last
    if left and right:
        found.append((yield from _border(first, middle, last)))
    if not left:
        yield from _search(first, middle, found)
    if not right:
        yield from _search(middle + 1, last, found)


def _border(first: int, middle: int, last: int) -> Generator[tuple[int, int], bool, tuple[int, int]]:
    """Both halves are answered and the whole is not: the shortest range over the middle that is refused."""
    if first == middle and middle + 1 == last:
        return first, last
    if not (yield middle, middle + 1):  # a hole, most likely
        return middle, middle + 1
    # The left half was answered, and the whole refused: where does what begins with `first` begin to be refused?
    low, high = (middle + 1 if first == middle else middle), last
    while low + 1 < high:
        probe = (low + high) // 2
        low, high = (probe, high) if (yield first, probe) else (low, probe)
    last = high
    # And what ends there, and begins in the right half, was answered.
    low, high = first, (middle if last == middle + 1 else middle + 1)
    while low + 1 < high:
        probe = (low + high) // 2
        low, high = (low, probe) if (yield probe, last) else (probe, high)
    return low, last


class Refusals:
    """The refused ranges of one device, and when each is tried again.

    Kept as long as the process lives. Each is tried again after 10 s and then ever more rarely, up to once an hour,
    one in a poll; once a try succeeds the device has changed, and the others are tried at once.
    """

    def __init__(self, configured: Sequence[Range] = (), *, source: random.Random) -> None:
        self._configured = tuple(configured)
        self._learnt: dict[Range, Backoff] = {}
        self._source = source
        self._per_poll = 1
        self._shown: tuple[int, tuple[str, ...]] = (0, ())
        self.version = 0  # grows whenever the ranges change

    def __iter__(self) -> Iterator[Range]:
        """All ranges that a request must not hold, configured and learnt."""
        yield from self._configured
        yield from self._learnt

    @property
    def learnt(self) -> list[Range]:
        """What the device has refused, in order."""
        return sorted(self._learnt)

    @property
    def shown(self) -> tuple[str, ...]:
        """The same for people."""
        if self._shown[0] != self.version:
            self._shown = self.version, tuple(map(str, self.learnt))
        return self._shown[1]

    def hit(self, asked: Range) -> bool:
        """Whether a request for this would be refused, by what is known."""
        return any(asked.holds(each) for each in self._learnt)

    def learn(self, refused: Range, now_s: float) -> None:
        """The device has refused this, and nothing shorter in it."""
        if refused in self._learnt:
            self._put_off(refused, now_s)
            return
        for longer in [each for each in self._learnt if each.holds(refused)]:
            del self._learnt[longer]
        if len(self._learnt) >= _RANGES_MAX:
            return
        self._learnt[refused] = Backoff(base_s=_RECHECK_FIRST_S, max_s=_RECHECK_LAST_S, source=self._source)
        self._put_off(refused, now_s)
        self.version += 1

    def due(self, now_s: float, concerns: Callable[[Range], bool]) -> list[Range]:
        """The ranges to try again now, of those that concern the caller."""
        found = (each for each, pause in self._learnt.items() if pause.ready(now_s) and concerns(each))
        return [each for each, _ in zip(found, range(self._per_poll), strict=False)]

    def still_refused(self, tried: Range, now_s: float) -> None:
        """A try was refused again."""
        self._per_poll = 1
        if tried in self._learnt:
            self._put_off(tried, now_s)

    def answered(self, tried: Range) -> None:
        """A try was answered: what it holds can be read."""
        gone = [each for each in self._learnt if tried.holds(each)]
        for each in gone:
            del self._learnt[each]
        if gone:
            self.version += 1
            self._per_poll = _RECHECKS_PER_POLL
            self.hurry()

    def hurry(self) -> None:
        """Try all again soon: the device may be another one now."""
        for pause in self._learnt.values():
            pause.hurry()

    def _put_off(self, refused: Range, now_s: float) -> None:
        self._learnt[refused].failed(now_s)
