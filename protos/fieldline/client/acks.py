"""Which deliveries of a durable subscription are done, and what the hub is still to hear of it. Pure.

The hub covers with one number (`up_to`) all that came in ascending order on a stream, up to that offset. What is done
out of turn, and what came out of order because it was tried before, is told by name. After a loss of the link the hub
delivers again whatever it has not heard of; what the application has in hand, or has done, is not handed out twice.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

__all__ = ["AckTracker", "Nack", "News"]

# Of a group, others' frames lie in between, so the last offset does not say what was done here before.
_REMEMBERED_MAX = 4096


class Nack(NamedTuple):
    """A delivery that could not be handled. `delay_s` None: the durable's backoff; no messages: all of them."""

    offset: int
    delay_s: float | None = None
    messages: tuple[int, ...] = ()
    reason: str = ""
    give_up: bool = False


@dataclass(slots=True)
class News:
    """What the hub is to hear now. `up_to` -1: nothing new. Nacks must reach it before `up_to`."""

    up_to: int = -1
    done: list[int] = field(default_factory=list)
    nacks: list[Nack] = field(default_factory=list)


class _State(Enum):
    OUT = "out"  # with the application
    DONE = "done"
    NACKED = "nacked"


class AckTracker:
    """Deliveries of one durable subscription. `group`: the durable is shared with other clients."""

    def __init__(self, *, group: bool = False) -> None:
        self.last_added = -1
        self._group = group
        self._state: dict[int, _State] = {}
        self._out = 0
        self._here: dict[int, bool] = {}  # unresolved deliveries of this stream; True: it came in order
        self._run: deque[int] = deque()  # those that came in order, not yet covered
        self._highest_here = -1
        self._up_to = self._up_to_told = -1
        self._done: dict[int, bool] = {}  # done and not told; True: it came in order
        self._nacks: OrderedDict[int, Nack] = OrderedDict()  # not told
        self._remembered: OrderedDict[int, None] = OrderedDict()

    def __len__(self) -> int:
        """Deliveries that are with the application."""
        return self._out

    @property
    def has_news(self) -> bool:
        """Whether `collect` would give something."""
        return self._up_to > self._up_to_told or bool(self._done or self._nacks)

    def begin_stream(self) -> None:
        """The link was lost: whatever the hub has not heard of comes again."""
        for offset in [one for one, state in self._state.items() if state is _State.DONE]:
            self._forget(offset)
        for offset in self._done:
            self._remember(offset)
        self._here.clear()
        self._run.clear()
        self._done.clear()
        self._highest_here = self._up_to = self._up_to_told = -1

    def add(self, offset: int, *, replay: bool = False) -> bool:
        """A delivery has come; False if it is not to be handed out, because it was before.

        `replay`: a dead letter that is tried again; its offset is out of any order.
        """
        in_order = offset > self._highest_here
        came_here_before = offset in self._here
        if in_order:
            self._highest_here = offset
            self._run.append(offset)
        self._here[offset] = in_order
        state = self._state.get(offset)
        if state is None and self._was_settled(offset, replay):
            self._resolve(offset)
            return False
        if offset in self._nacks or (state is _State.OUT and not came_here_before):
            return False  # the hub is about to be told; or the application still has it from an earlier stream
        if state is not _State.OUT:
            self._out += 1
        self._state[offset] = _State.OUT
        if not replay:
            self.last_added = max(self.last_added, offset)
        return True

    def done(self, offset: int) -> bool:
        """This delivery is finished; True if the hub has something to hear. Saying it twice changes nothing."""
        if self._state.get(offset) is not _State.OUT:
            return False
        self._out -= 1
        self._state[offset] = _State.DONE
        if offset not in self._here:
            return False  # it is told when it comes again
        self._resolve(offset)
        return True

    def done_through(self, offset: int) -> bool:
        """This delivery and all with a lower offset are finished; True if the hub has something to hear."""
        finished = [one for one, state in self._state.items() if one <= offset and state is _State.OUT]
        return sum(self.done(one) for one in finished) > 0

    def nack(self, nack: Nack) -> bool:
        """This delivery could not be handled; True if the hub has something to hear."""
        if self._state.get(nack.offset) is not _State.OUT:
            return False
        self._out -= 1
        self._state[nack.offset] = _State.NACKED
        self._nacks[nack.offset] = nack
        return nack.offset in self._here

    def is_out(self, offset: int) -> bool:
        """Whether it came on this stream and is neither done nor nacked."""
        return offset in self._here and self._state.get(offset) is _State.OUT

    def collect(self) -> News:
        """What the hub is to hear; taken as told."""
        news = News()
        for offset in [one for one in self._nacks if one in self._here]:
            news.nacks.append(self._nacks.pop(offset))
            self._leave(offset)
            if self._group:
                self._state.pop(offset, None)  # it may go to another, and this one never hears of it again
        if self._up_to > self._up_to_told:
            news.up_to = self._up_to_told = self._up_to
        news.done = [one for one, in_order in self._done.items() if not (in_order and one <= self._up_to)]
        for offset in self._done:
            self._remember(offset)
        self._done.clear()
        return news

    def _was_settled(self, offset: int, replay: bool) -> bool:
        if replay or self._group:
            return offset in self._remembered
        return offset <= self.last_added

    def _resolve(self, offset: int) -> None:
        self._done[offset] = self._here[offset]
        self._forget(offset)
        self._leave(offset)

    def _leave(self, offset: int) -> None:
        """Nothing more is to come of this delivery on this stream: the run moves on over it."""
        del self._here[offset]
        while self._run and self._run[0] not in self._here:
            self._up_to = self._run.popleft()

    def _forget(self, offset: int) -> None:
        self._state.pop(offset, None)
        self._remember(offset)

    def _remember(self, offset: int) -> None:
        self._remembered[offset] = None
        if len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
