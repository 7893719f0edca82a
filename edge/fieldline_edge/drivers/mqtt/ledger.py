"""Which messages of QoS 1 and 2 are in hand, done, or given again: so that a break of the link repeats none. Pure."""

from enum import Enum

__all__ = ["Ledger", "Rivals", "Verdict"]

_LIFE_SHORT_S = 5.0
_LIFE_LONG_S = 60.0
_SHORT_LIVES_MAX = 3
_PAUSE_FIRST_S = 5


class Verdict(Enum):
    """What to do with a message that the broker has sent."""

    TAKE = "take"
    WAIT = "wait"  # the same message is in hand already: it will be acknowledged when that is safe
    ANSWER = "answer"  # it is safe already; only the acknowledgement was lost


class Ledger:
    """The packet numbers of one session.

    A broker that resumes a session sends again what we have not acknowledged, under the same numbers (MQTT 3.1.1 and
    5, section 4.4), and a number is free again once it was acknowledged. `session` counts the sessions begun anew:
    then the old numbers mean nothing.
    """

    def __init__(self) -> None:
        self.session = 0
        self._in_hand: set[int] = set()
        self._safe: set[int] = set()  # not known to be acknowledged: no link then, or QoS 2 before its release

    def begin(self) -> None:
        """The broker has begun a new session."""
        self.session += 1
        self._in_hand.clear()
        self._safe.clear()

    def arrived(self, number: int) -> Verdict:
        """The broker has sent a message."""
        if number in self._in_hand:
            return Verdict.WAIT
        if number in self._safe:
            return Verdict.ANSWER
        self._in_hand.add(number)
        return Verdict.TAKE

    def refused(self, number: int) -> None:
        """The message was not taken after all; the broker will send it again."""
        self._in_hand.discard(number)

    def made_safe(self, number: int, session: int, *, qos: int, link_is_up: bool) -> bool:
        """The message is safe; whether to acknowledge it now."""
        if session != self.session:
            return False
        self._in_hand.discard(number)
        if qos == 2 or not link_is_up:
            self._safe.add(number)
        return link_is_up

    def answered(self, number: int) -> None:
        """An acknowledgement of QoS 1 was sent again, or the broker has released a number of QoS 2."""
        self._safe.discard(number)


class Rivals:
    """Notices that another client uses our id: the broker throws out one when the other connects.

    MQTT 5 says so (0x8E, session taken over). MQTT 3.1.1 just closes: three short lives in a row look like it.
    """

    def __init__(self, *, pause_s_max: int) -> None:
        self._pause_s_max = pause_s_max
        self._since_s: float | None = None
        self._short_lives = 0
        self._pause_s = 0

    def connected(self, now_s: float) -> None:
        """The link is up."""
        self._since_s = now_s

    def lost(self, now_s: float, *, said: bool) -> int:
        """The link is lost; how long to stay away because of a rival, in seconds. 0: it does not look like one.

        `said` is whether the broker named the reason.
        """
        since_s, self._since_s = self._since_s, None
        life_s = 0.0 if since_s is None else now_s - since_s
        if life_s >= _LIFE_LONG_S:
            self._pause_s = 0
        self._short_lives = self._short_lives + 1 if since_s is not None and life_s < _LIFE_SHORT_S else 0
        if not said and self._short_lives < _SHORT_LIVES_MAX:
            return 0
        self._pause_s = min(self._pause_s_max, max(_PAUSE_FIRST_S, 2 * self._pause_s))
        return self._pause_s
