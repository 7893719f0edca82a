"""Counters of the anomaly agent. Pure."""

from dataclasses import dataclass

__all__ = ["AnomalyStats"]


@dataclass(slots=True)
class AnomalyStats:
    """Counters since the start; plain integers, cheap to keep."""

    frames: int = 0
    frames_repeated: int = 0
    frames_undecodable: int = 0
    frames_misplaced: int = 0
    readings: int = 0
    readings_not_good: int = 0
    readings_not_finite: int = 0
    readings_not_numeric: int = 0
    readings_late: int = 0
    clocks_set_back: int = 0
    readings_refused: int = 0
    graces: int = 0
    alerts_raised: int = 0
    alerts_cleared: int = 0
    saves: int = 0
    findings: int = 0
    findings_refused: int = 0
    alarms_chattered: int = 0
    alarms_held_back: int = 0
    floods: int = 0
    alarm_orders: int = 0
    alarm_orders_refused: int = 0
