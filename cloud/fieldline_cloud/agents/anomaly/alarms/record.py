"""What people are told of one alarm: its state after ISA-18.2 (IEC 62682). Pure; time is handed in.

The condition (`state.py`) says whether something is wrong. What people see of that depends on what they have said:

    from \\ by       condition   condition ends   acknow-   shelve    expiry,     suppressed   condition of
                    begins                       ledge               unshelve    by design    that is over
    CLEARED         RAISED      -                -         SHELVED   -           (1)          -
    RAISED          -           CLEARED, (2)     ACKN.     SHELVED   -           SUPPRESSED   -
    ACKNOWLEDGED    (3)         CLEARED          -         SHELVED   -           SUPPRESSED   -
    RETURNED        RAISED (4)  -                CLEARED   SHELVED   -           -            -
    SHELVED         -           - (5)            refused   SHELVED   true state  -            -
    SUPPRESSED      -           CLEARED          refused   SHELVED   -           -            true state
    OUT_OF_SERVICE  -           -                refused   refused   -           -            -

(1) Nothing is told of an alarm that is well; once its condition begins it is told as SUPPRESSED.
(2) RETURNED if the rule latches and nobody has acknowledged.
(3) A condition that got worse (a higher severity) is RAISED again and wants to be acknowledged again.
(4) Under the id it had: it is the same trouble, and nobody has seen it yet.
(5) Unless it was shelved until it clears: then CLEARED.

Every state can be taken OUT_OF_SERVICE, and comes back as its true state: what it would be had nothing put it aside.
Out of service goes before shelved, shelved before suppressed; each ends by itself alone. An alarm that chatters holds
its state as if the condition held.
"""

import base64
from dataclasses import dataclass, replace
from typing import Any, Final

from fieldline.model import Alert, AlertState, Evidence
from fieldline.wire.plant import MESSAGE_BYTES_MAX, decode_alert, encode_alert
from fieldline_cloud.agents.anomaly.alarms.chatter import Chatter, ChatterSpec

__all__ = ["AlarmRecord", "Shelf", "Signed", "bounded"]

_HOUR_NS: Final = 3_600 * 1_000_000_000
_HOURS_KEPT: Final = 24


@dataclass(frozen=True, slots=True)
class Signed:
    """Who said something, and why."""

    by: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Shelf:
    """An alarm put aside by a person until `until_ns`, or until it clears if that is sooner."""

    signed: Signed
    until_ns: int
    until_clear: bool = False

    def snapshot(self) -> list[Any]:
        """What a shelf is made of, as plain data."""
        return [self.signed.by, self.signed.note, self.until_ns, self.until_clear]


class AlarmRecord:
    """One alarm. Every method returns the alerts to be published, in order: mostly none."""

    __slots__ = (
        "_cleared_ns",
        "_cleared_text",
        "_evidence",
        "_hours",
        "_told",
        "acknowledged",
        "alert",
        "chatter",
        "chatters",
        "condition",
        "latch",
        "service",
        "shelf",
        "suppressed_by",
        "unseen",
    )

    def __init__(self, alert: Alert, *, chatter: ChatterSpec) -> None:
        self.alert = replace(alert, state=AlertState.RAISED)
        """As it was raised the last time; `raised_at_ns` is 0 if it never was."""
        self.condition = False
        self.latch = False
        self.unseen = False
        """People were told that it is raised, and nobody has acknowledged it."""
        self.acknowledged: Signed | None = None
        self.shelf: Shelf | None = None
        self.service: Signed | None = None
        self.suppressed_by: dict[str, str] = {}
        """By what, and in which words."""
        self.chatter = Chatter(chatter)
        self.chatters = 0
        """How often it began to chatter."""
        self._cleared_ns = 0
        self._cleared_text = ""
        self._evidence: tuple[Evidence, ...] = ()
        self._told: Alert | None = None
        self._hours: dict[int, int] = {}

    @property
    def is_standing(self) -> bool:
        """Whether the condition holds, or is held because it chatters."""
        return self.condition or self.chatter.is_on

    @property
    def state(self) -> AlertState:
        """The state people are to see."""
        if self.service is not None:
            return AlertState.OUT_OF_SERVICE
        if self.shelf is not None:
            return AlertState.SHELVED
        return self.true_state if not self.is_standing or not self.suppressed_by else AlertState.SUPPRESSED

    @property
    def true_state(self) -> AlertState:
        """The state it would have if nothing put it aside."""
        if self.is_standing:
            return AlertState.RAISED if self.acknowledged is None else AlertState.ACKNOWLEDGED
        return AlertState.RETURNED if self.latch and self.unseen else AlertState.CLEARED

    @property
    def told(self) -> Alert | None:
        """What was published last."""
        return self._told

    @property
    def is_timed(self) -> bool:
        """Whether time alone can change it: `tick` is to be called."""
        return self.shelf is not None or self.chatter.is_on

    def raisings(self, now_ns: int) -> int:
        """How often it was raised in the last 24 hours, held or not; whole hours."""
        since = now_ns // _HOUR_NS - _HOURS_KEPT
        return sum(count for hour, count in self._hours.items() if hour > since)

    def begin(self, alert: Alert, now_ns: int, *, latch: bool = False, counts: bool = True) -> list[Alert]:
        """The condition begins; `alert` says so. `counts` is whether it is one more raising to somebody."""
        was_standing, was_returned = self.is_standing, self.true_state is AlertState.RETURNED
        self.condition, self.latch = True, latch
        if counts:
            self._count(now_ns)
            self.chatters += self.chatter.raised(alert.raised_at_ns, now_ns)
        if was_standing:
            return self._settle(now_ns)
        raised_at_ns = self.alert.raised_at_ns if was_returned else alert.raised_at_ns
        self.alert = replace(alert, state=AlertState.RAISED, raised_at_ns=raised_at_ns)
        self.acknowledged = None
        self.unseen = was_returned
        return self._settle(now_ns, is_new=not was_returned)

    def worsen(self, alert: Alert, now_ns: int) -> list[Alert]:
        """The condition holds and matters more: it wants to be acknowledged again."""
        if not self.is_standing or alert.severity <= self.alert.severity:
            return []
        self.alert = replace(alert, state=AlertState.RAISED, raised_at_ns=self.alert.raised_at_ns)
        self.acknowledged = None
        return self._settle(now_ns)

    def end(self, at_ns: int, text: str, evidence: tuple[Evidence, ...], now_ns: int) -> list[Alert]:
        """The condition ends."""
        self.condition = False
        self._cleared_ns, self._cleared_text, self._evidence = at_ns, text, evidence
        return self._ended(now_ns, is_new=True)

    def acknowledge(self, signed: Signed, now_ns: int) -> list[Alert]:
        """Somebody has seen it. Nothing happens if there is nothing to be seen."""
        if self.state is AlertState.RAISED:
            self.acknowledged = signed
        elif self.state is not AlertState.RETURNED:
            return []
        self.unseen = False
        return self._settle(now_ns, signed)

    def put_on_shelf(self, shelf: Shelf, now_ns: int) -> list[Alert]:
        """Put it aside for a while; again, if that is the wish, for another while."""
        if shelf == self.shelf:
            return []
        self.shelf = shelf
        return self._settle(now_ns, again=True)

    def take_off_shelf(self, signed: Signed, now_ns: int) -> list[Alert]:
        """Show its true state again."""
        self.shelf = None
        return self._settle(now_ns, signed)

    def take_out_of_service(self, signed: Signed, now_ns: int) -> list[Alert]:
        """Put it aside until it is put back."""
        if self.service is None:
            self.service = signed
        return self._settle(now_ns)

    def put_back(self, signed: Signed, now_ns: int) -> list[Alert]:
        """Show its true state again."""
        self.service = None
        return self._settle(now_ns, signed)

    def suppress(self, by: str, words: str, now_ns: int) -> list[Alert]:
        """Put it aside for a reason of the design, called `by`."""
        self.suppressed_by[by] = words
        return self._settle(now_ns)

    def release(self, by: str, now_ns: int) -> list[Alert]:
        """That reason is gone."""
        self.suppressed_by.pop(by, None)
        return self._settle(now_ns)

    def tick(self, now_ns: int, *, live: bool) -> list[Alert]:
        """Time has passed. While not `live` (nothing arrives) nobody knows whether it is quiet."""
        found: list[Alert] = []
        if self.shelf is not None and now_ns >= self.shelf.until_ns:
            self.shelf = None
            found += self._settle(now_ns, Signed("", "the time on the shelf is over"))
        if live and self.chatter.pass_to(now_ns):
            found += self._settle(now_ns) if self.condition else self._ended(now_ns)
        return found

    def snapshot(self) -> dict[str, Any]:
        """What `restored` needs, as JSON-able data."""
        return {
            "alert": _packed(self.alert),
            "told": _packed(self._told),
            "condition": self.condition,
            "latch": self.latch,
            "unseen": self.unseen,
            "acknowledged": _signed(self.acknowledged),
            "shelf": None if self.shelf is None else self.shelf.snapshot(),
            "service": _signed(self.service),
            "suppressed_by": self.suppressed_by,
            "cleared": [self._cleared_ns, self._cleared_text],
            "chatter": self.chatter.snapshot(),
            "chatters": self.chatters,
            "hours": list(self._hours.items()),
        }

    @classmethod
    def restored(cls, snapshot: dict[str, Any], *, chatter: ChatterSpec) -> "AlarmRecord":
        """The alarm as it was when `snapshot` was taken."""
        alert = _unpacked(snapshot["alert"])
        assert alert is not None, "a record has an alert"
        record = cls(alert, chatter=chatter)
        record._told = _unpacked(snapshot["told"])
        record.condition, record.latch, record.unseen = snapshot["condition"], snapshot["latch"], snapshot["unseen"]
        record.acknowledged = _signature(snapshot["acknowledged"])
        if snapshot["shelf"]:
            by, note, until_ns, until_clear = snapshot["shelf"]
            record.shelf = Shelf(Signed(by, note), until_ns, until_clear)
        record.service = _signature(snapshot["service"])
        record.suppressed_by = dict(snapshot["suppressed_by"])
        record._cleared_ns, record._cleared_text = snapshot["cleared"]
        record.chatter.restore(snapshot["chatter"])
        record.chatters = snapshot["chatters"]
        record._hours = dict(snapshot["hours"])
        return record

    def adopt(self, told: Alert) -> None:
        """`told` was published by an earlier version, which kept nothing else of it."""
        self._told, self.condition, self.unseen = told, True, True

    def _ended(self, now_ns: int, *, is_new: bool = False) -> list[Alert]:
        if self.is_standing:
            return []
        if self.shelf is not None and self.shelf.until_clear:
            self.shelf = None
        return self._settle(now_ns, is_new=is_new)

    def _settle(
        self, now_ns: int, signed: Signed | None = None, *, is_new: bool = False, again: bool = False
    ) -> list[Alert]:
        """Publish the state if it is another one than people know, or `again`.

        `is_new` says that the condition began or ended just now: the state is as old as that, not as this call.
        """
        state, before = self.state, self._told
        known = AlertState.CLEARED if before is None else before.state
        is_worse = before is not None and state.is_active and self.alert.severity > before.severity
        if state is known and not is_worse and not again:
            return []
        told = self._told = self._message(now_ns, signed, is_new=is_new)
        self.unseen = self.unseen or state is AlertState.RAISED
        if before is None or known is AlertState.CLEARED or not 0 < before.raised_at_ns < told.raised_at_ns:
            return [told]
        # It was cleared and raised anew while nobody was to see that: the earlier raising must end for everybody.
        ended = replace(before, state=AlertState.CLEARED, until_ns=0, by="", note="", changed_at_ns=now_ns)
        text = bounded(f"{before.tag}: was cleared while put aside")
        return [replace(ended, message=text, cleared_at_ns=max(before.cleared_at_ns, before.raised_at_ns)), told]

    def _message(self, now_ns: int, signed: Signed | None, *, is_new: bool) -> Alert:
        state, alert = self.state, self.alert
        changed_ns = 0 if is_new and not state.is_aside else now_ns
        over_ns = 0 if self.is_standing or not alert.raised_at_ns else max(self._cleared_ns, alert.raised_at_ns)
        signed = signed or Signed("")
        if state is AlertState.SHELVED and self.shelf is not None:
            signed = self.shelf.signed
        elif state is AlertState.OUT_OF_SERVICE and self.service is not None:
            signed = self.service
        elif state is AlertState.ACKNOWLEDGED and self.acknowledged is not None:
            signed = self.acknowledged
        elif state is AlertState.SUPPRESSED:
            signed = Signed("", "; ".join(self.suppressed_by.values()))
        elif state.is_active and self.chatter.is_on:
            signed = Signed(signed.by, "; ".join(filter(None, (signed.note, self.chatter.spec.note))))
        message = replace(
            alert,
            state=state,
            changed_at_ns=changed_ns,
            cleared_at_ns=over_ns,
            by=signed.by,
            note=bounded(signed.note),
            until_ns=self.shelf.until_ns if state is AlertState.SHELVED and self.shelf else 0,
        )
        if state in (AlertState.CLEARED, AlertState.RETURNED):
            return self._over(message, now_ns)
        return message

    def _over(self, message: Alert, now_ns: int) -> Alert:
        """The message of an alarm whose condition does not hold."""
        if not message.raised_at_ns:  # it was put aside while all was well, and all is well
            text = f"{message.tag}: is watched again, and all is well"
            return replace(message, raised_at_ns=now_ns, cleared_at_ns=now_ns, message=bounded(text))
        return replace(message, message=self._cleared_text or message.message, evidence=self._evidence)

    def _count(self, now_ns: int) -> None:
        hour = now_ns // _HOUR_NS
        self._hours[hour] = self._hours.get(hour, 0) + 1
        if len(self._hours) > _HOURS_KEPT:
            del self._hours[min(self._hours)]


def bounded(text: str) -> str:
    """A message or note no longer than the wire takes."""
    return text.encode(errors="replace")[:MESSAGE_BYTES_MAX].decode(errors="ignore")


def _signed(signed: Signed | None) -> list[str] | None:
    return None if signed is None else [signed.by, signed.note]


def _signature(kept: list[str] | None) -> Signed | None:
    return None if kept is None else Signed(*kept)


def _packed(alert: Alert | None) -> str | None:
    """As text. An alert that was never raised travels as one that is out of service: no other may say so."""
    if alert is None:
        return None
    if not alert.raised_at_ns and not alert.state.is_aside:
        alert = replace(alert, state=AlertState.OUT_OF_SERVICE)
    return base64.b64encode(encode_alert(alert)).decode()


def _unpacked(text: str | None) -> Alert | None:
    return None if text is None else decode_alert(base64.b64decode(text))
