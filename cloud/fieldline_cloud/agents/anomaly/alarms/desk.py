"""Carries out what people ask of alarms. Pure: a request's bytes in, the reply and the alerts to be published out.

All orders can come twice: what is as wanted already is left as it is. Who asked is the client's name, which the hub has
checked, beside the name the order gives.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from fieldline.errors import BadName
from fieldline.model import Alert, AlertState, DeviceId
from fieldline_cloud.agents.anomaly.alarms.board import split_fingerprint
from fieldline_cloud.agents.anomaly.alarms.health import health
from fieldline_cloud.agents.anomaly.alarms.orders import (
    Acknowledge,
    Health,
    List,
    OutOfService,
    Refusal,
    ReturnToService,
    Shelve,
    Unshelve,
    Wish,
    parse_order,
)
from fieldline_cloud.agents.anomaly.alarms.record import AlarmRecord, Shelf, Signed, bounded
from fieldline_cloud.agents.anomaly.monitor import Monitor
from fieldline_cloud.agents.tag_pattern import TagPattern

__all__ = ["ALARMS_TOPIC", "AlarmDesk"]

ALARMS_TOPIC = "ask/alarms"
"""Where people ask. Every anomaly agent answers, for the alarms it holds."""
_NAME_BYTES_MAX = 256


class AlarmDesk:
    """Answers for the alarms of one monitor."""

    def __init__(self, monitor: Monitor) -> None:
        self._monitor = monitor
        self._board = monitor.board

    def answer(self, content: bytes, client: str, now_ns: int) -> tuple[dict[str, Any], list[Alert]]:
        """The reply to one request of `client`, as plain data, and what is to be published before it is sent.

        `status` is done or refused; a refusal has `code` and `message`. One alarm that is refused refuses them all, and
        nothing is changed.
        """
        try:
            order = parse_order(content)
            if isinstance(order, List):
                return self._list(order, now_ns), []
            if isinstance(order, Health):
                return {"status": "done", **health(self._board, now_ns, area=order.area).as_json()}, []
            reply, alerts = self._carry_out(order, client, now_ns)
        except Refusal as refusal:
            self._monitor.stats.alarm_orders_refused += 1
            return {"status": "refused", "code": refusal.code, "message": refusal.message}, []
        self._monitor.stats.alarm_orders += 1
        return reply, alerts

    def _list(self, order: List, now_ns: int) -> dict[str, Any]:
        pattern = TagPattern(order.device, "+")
        wanted = set(order.states) or {state.value for state in AlertState if state is not AlertState.CLEARED}
        records = [
            record
            for record in self._board.records()
            if record.state.value in wanted and pattern.matches(record.alert.device, record.alert.tag)
        ]
        records.sort(key=lambda record: (-record.alert.severity, -record.alert.raised_at_ns, record.alert.fingerprint))
        shown = [_view(record, now_ns) for record in records[: order.limit]]
        return {"status": "done", "alarms": shown, "more": len(records) - len(shown)}

    def _carry_out(
        self, order: Acknowledge | Shelve | Unshelve | OutOfService | ReturnToService, client: str, now_ns: int
    ) -> tuple[dict[str, Any], list[Alert]]:
        wanted = [self._find(alarm) for alarm in order.wanted]
        for record in wanted:
            self._check(order, record)
        # Only now is anything changed, and no step below can fail.
        step = self._step(order, _signed(order, client), now_ns)
        records = [self._board.record(record.alert) for record in wanted]
        told = [self._board.told(record, step(record)) for record in records]
        views = [_view(record, now_ns) for record in records]
        alerts = [alert for each in told for alert in each]
        return {"status": "done", "changed": sum(map(bool, told)), "alarms": views}, alerts

    def _step(self, order: Wish, signed: Signed, now_ns: int) -> Callable[[AlarmRecord], list[Alert]]:
        if isinstance(order, Acknowledge):
            return lambda record: record.acknowledge(signed, now_ns)
        if isinstance(order, Shelve):
            shelf = Shelf(signed, now_ns + round(order.for_s * 1e9), order.until_clear)
            return lambda record: record.put_on_shelf(shelf, now_ns)
        if isinstance(order, Unshelve):
            return lambda record: record.take_off_shelf(signed, now_ns)
        if isinstance(order, OutOfService):
            return lambda record: record.take_out_of_service(signed, now_ns)
        return lambda record: record.put_back(signed, now_ns)

    def _check(self, order: Wish, record: AlarmRecord) -> None:
        """Refusal where the order makes no sense in the state the alarm is in."""
        what = record.alert.fingerprint
        if isinstance(order, Acknowledge) and record.state.is_aside:
            aside = record.state.value.replace("_", " ")
            raise Refusal("put_aside", f"{what} is {aside}; it can be acknowledged once it is shown again")
        if not isinstance(order, Shelve):
            return
        hours = self._board.spec.shelve_ns_max / 3_600e9
        if order.for_s * 1e9 > self._board.spec.shelve_ns_max:
            raise Refusal("too_long", f"at most {hours:g} h; for longer take it out of service")
        if record.service is not None:
            raise Refusal("out_of_service", f"{what} is out of service already; return it to service first")
        if order.until_clear and not record.is_standing:
            raise Refusal(
                "not_raised", f"{what} is not raised, so it cannot be shelved until it clears; shelve it without"
            )

    def _find(self, wanted: str) -> AlarmRecord:
        """The record of an alarm, or one that is not on the board yet; Refusal("unknown_alarm") if nothing fits."""
        parts = split_fingerprint(wanted)
        if parts is None:
            for record in self._board.records():
                if record.alert.raised_at_ns and record.alert.id == wanted:
                    return record
            raise Refusal("unknown_alarm", f"{wanted[:80]!r} is no alarm of this agent; 'list' shows those there are")
        try:
            device, tag, rule = DeviceId.from_topic(f"alarms/{parts[0]}"), parts[1], parts[2]
        except BadName as error:
            raise Refusal("bad_request", f"{wanted[:80]!r}: {error}; it is site/area/device:tag:rule") from error
        known = self._board.of_tag((device, tag)).get(rule)
        return known or self._fresh(device, tag, rule)

    def _fresh(self, device: DeviceId, tag: str, rule: str) -> AlarmRecord:
        """An alarm that has never been raised."""
        watch = self._monitor.watch_of(device, tag)
        named = {} if watch is None else {one.rule: one for one in watch.named_alarms()}
        if rule not in named:
            has = f"; {tag} has {', '.join(named)}" if named else ""
            raise Refusal("unknown_alarm", f"{device}:{tag}:{rule} is no alarm of this agent{has}"[:500])
        one = named[rule]
        alert = Alert(device, tag, rule, one.cause, one.severity, AlertState.RAISED, 0, bounded(f"{tag}: {rule}"))
        return AlarmRecord(alert, chatter=self._board.spec.chatter)


def _signed(order: Wish, client: str) -> Signed:
    name = f"{order.by} ({client})" if order.by and order.by != client else client
    return Signed(name.encode(errors="replace")[:_NAME_BYTES_MAX].decode(errors="ignore"), bounded(order.note))


def _view(record: AlarmRecord, now_ns: int) -> Mapping[str, Any]:
    """An alarm as the reply shows it; what is empty is left out."""
    told = record.told or record.alert
    said = {
        "alarm": record.alert.fingerprint,
        "id": record.alert.id if record.alert.raised_at_ns else "",
        "state": record.state.value,
        "true_state": record.true_state.value if record.state.is_aside else "",
        "severity": record.alert.severity.name.lower(),
        "cause": record.alert.cause,
        "message": told.message,
        "raised_at": _moment(record.alert.raised_at_ns),
        "changed_at": _moment(told.changed_at_ns or told.cleared_at_ns or told.raised_at_ns),
        "until": _moment(told.until_ns),
        "by": told.by,
        "note": told.note,
        "chattering": record.chatter.is_on,
        "raisings_24h": record.raisings(now_ns),
    }
    return {key: value for key, value in said.items() if value not in ("", False)}


def _moment(at_ns: int) -> str:
    if not 0 < at_ns < 253_402_300_799_000_000_000:
        return ""
    return datetime.fromtimestamp(at_ns / 1e9, UTC).isoformat(timespec="milliseconds")
