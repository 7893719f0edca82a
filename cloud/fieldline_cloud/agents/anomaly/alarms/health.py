"""How the alarm system itself does: rates, floods, chatter, stale alarms and bad actors, as ISA-18.2 has them. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from fieldline.model import AlertState
from fieldline_cloud.agents.anomaly.alarms.area import Area, AreaFigures
from fieldline_cloud.agents.anomaly.alarms.board import AlarmBoard
from fieldline_cloud.agents.anomaly.alarms.operators import OperatorFigures, operator_figures
from fieldline_cloud.agents.anomaly.alarms.record import AlarmRecord

__all__ = ["Actor", "AlarmHealth", "alarm_gauges", "health", "is_stale", "operator_gauges"]

ACTORS_MAX: Final = 10
_LISTED_MAX: Final = 100


@dataclass(frozen=True, slots=True)
class Actor:
    """An alarm and its part of all raisings of the last 24 hours. The worst ten often make up most of the load."""

    alarm: str
    raisings: int
    share: float
    chatters: int


@dataclass(frozen=True, slots=True)
class AlarmHealth:
    """The figures. Lists of alarms are by fingerprint, and hold at most 100."""

    areas: tuple[AreaFigures, ...]
    operators: tuple[OperatorFigures, ...]
    by_state: dict[str, int]
    chattering: tuple[str, ...]
    stale: tuple[str, ...]
    bad_actors: tuple[Actor, ...]

    def as_json(self) -> dict[str, Any]:
        """As plain data."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}


def health(board: AlarmBoard, now_ns: int, *, area: str = "") -> AlarmHealth:
    """The figures of all areas and operators, or of the area called `site/area`."""
    records = [one for one in board.records() if not area or _area_of(one) == area]
    return AlarmHealth(
        areas=tuple(one.figures(now_ns) for one in sorted(board.areas(), key=_name) if area in ("", one.name)),
        operators=() if area else operator_figures(board.spec.operators, board.areas(), board.spec.flood, now_ns),
        by_state={state.value: count for state in AlertState if (count := sum(one.state is state for one in records))},
        chattering=_listed(one for one in records if one.chatter.is_on),
        stale=_listed(one for one in records if is_stale(one, board, now_ns)),
        bad_actors=_actors(records, now_ns),
    )


def alarm_gauges(board: AlarmBoard) -> Mapping[str, Callable[[], int]]:
    """The figures for metrics, each read when somebody asks; without names of areas or alarms, so they stay few."""
    gauges: dict[str, Callable[[], int]] = {
        f"alarms_{state.value}": partial(_in_state, board, state) for state in AlertState if state.is_aside
    }
    return gauges | {
        "alarms_returned": partial(_in_state, board, AlertState.RETURNED),
        "alarms_chattering": lambda: sum(one.chatter.is_on for one in board.records()),
        "alarms_stale": lambda: sum(is_stale(one, board, board.ticked_ns) for one in board.records()),
        "alarms_10_min_max": lambda: max((area.load for area in board.areas()), default=0),
        "areas_in_flood": lambda: sum(area.in_flood for area in board.areas()),
    }


def operator_gauges(board: AlarmBoard) -> Mapping[str, Callable[[], Mapping[str, float]]]:
    """The figures of each operator for metrics, by the operator's name; none where no operators are configured."""
    return {
        "operator_alarms_10_min": partial(_of_operators, board, "last_10_min"),
        "operator_alarms_10_min_mean": partial(_of_operators, board, "mean_10_min"),
        "operator_alarms_10_min_peak": partial(_of_operators, board, "peak_10_min"),
        "operator_in_flood": partial(_of_operators, board, "in_flood"),
        "operator_flood_share": partial(_of_operators, board, "flood_share"),
    }


def _of_operators(board: AlarmBoard, figure: str) -> Mapping[str, float]:
    found = operator_figures(board.spec.operators, board.areas(), board.spec.flood, board.ticked_ns)
    return {one.operator: float(getattr(one, figure)) for one in found}


def is_stale(record: AlarmRecord, board: AlarmBoard, now_ns: int) -> bool:
    """Whether an alarm stands for so long that nobody seems to act on it."""
    return record.state.is_active and now_ns - record.alert.raised_at_ns > board.spec.stale_ns


def _in_state(board: AlarmBoard, state: AlertState) -> int:
    return sum(one.state is state for one in board.records())


def _actors(records: list[AlarmRecord], now_ns: int) -> tuple[Actor, ...]:
    counted = [(raisings, one) for one in records if (raisings := one.raisings(now_ns))]
    total = sum(raisings for raisings, _ in counted)
    counted.sort(key=lambda pair: (-pair[0], pair[1].alert.fingerprint))
    return tuple(
        Actor(one.alert.fingerprint, raisings, raisings / total, one.chatters) for raisings, one in counted[:ACTORS_MAX]
    )


def _listed(records: Iterable[AlarmRecord]) -> tuple[str, ...]:
    return tuple(sorted(one.alert.fingerprint for one in records)[:_LISTED_MAX])


def _area_of(record: AlarmRecord) -> str:
    return f"{record.alert.device.site}/{record.alert.device.area}"


def _name(area: Area) -> str:
    return area.name
