"""From the settings of a device to the way of its readings. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from fieldline.model import DeviceId, Reading, Severity
from fieldline_edge.drivers.settings import DeviceSettings, TagSettings
from fieldline_edge.processing.alarms import AlarmSpec, Level, Watch
from fieldline_edge.processing.anomaly import AnomalySpec, Unusual
from fieldline_edge.processing.anomaly_settings import AnomalySettings
from fieldline_edge.processing.deadband import Deadband
from fieldline_edge.processing.derived import Derived, DerivedTag
from fieldline_edge.processing.door import Door
from fieldline_edge.processing.limiter import RateLimit
from fieldline_edge.processing.names import SeverityName
from fieldline_edge.processing.pipeline import Pipeline, Watcher
from fieldline_edge.processing.settings import LEVELS, DerivedSettings, LimitSettings, ProcessSettings
from fieldline_edge.processing.stage import Emit, ProcessingStats, Stage
from fieldline_edge.processing.waveform.captures import CaptureSpec, Shaft, Waveforms
from fieldline_edge.processing.waveform.speeds import ShaftSpec, Speeds
from fieldline_edge.processing.waveform_settings import WaveformSettings
from fieldline_edge.processing.window import Window, WindowSpec

__all__ = ["build_pipeline", "shaft_of"]

_SEVERITIES: Final[dict[SeverityName, Severity]] = {
    "info": Severity.INFO,
    "warning": Severity.WARNING,
    "critical": Severity.CRITICAL,
}
_MS: Final = 1_000_000
_SCORE_MOVED: Final = 0.1  # a score travels when it has moved by more than this
_SCORE_REPORT_NS_MAX: Final = 60_000_000_000


@dataclass(frozen=True, slots=True)
class _Feature:
    """A feature of a waveform, as a tag beside those that are read: it may have alarms, and a name in formulas."""

    name: str
    unit: str
    min: None = None
    max: None = None
    process: None = None
    alarms: None = None
    anomaly: None = None


_Tag = TagSettings | DerivedSettings | _Feature


def build_pipeline(
    settings: DeviceSettings, *, site: str, stats: ProcessingStats, now_s: float, speeds: Speeds
) -> Pipeline | None:
    """The way of the readings of a device; None if nothing at all happens to them. `speeds` are those of all shafts."""
    if not settings.is_processed:
        return None
    device = settings.device_id(site)
    units = {tag.name: tag.unit for tag in settings.read_tags}
    features: list[_Feature] = []
    captures: list[tuple[CaptureSpec, Shaft]] = []
    for waveform in settings.waveforms:
        spec = waveform.feature_spec(units[waveform.tag])
        features += [_Feature(f"{waveform.tag}.{name}", unit) for name, unit in spec.units.items()]
        capture = CaptureSpec(waveform.tag, waveform.samples, spec, waveform.keep_raw)
        captures.append((capture, _shaft(waveform, device, speeds)))
    derived = None
    if settings.derived:
        made = [DerivedTag(tag.name, tag.parsed, tag.min, tag.max) for tag in settings.derived]
        read = [tag.name for tag in settings.read_tags] + [feature.name for feature in features]
        derived = Derived(read, made)
    waveforms = Waveforms(captures, stats) if captures else None
    pipeline = Pipeline(device, derived=derived, stats=stats, waveforms=waveforms)
    limits: dict[str, LimitSettings] = {alarm.tag: alarm for alarm in settings.alarms}
    tags: list[_Tag] = [*settings.read_tags, *features, *settings.derived]
    for tag in tags:
        limit = tag.alarms if tag.alarms is not None else limits.get(tag.name)
        if tag.process is None and limit is None and tag.anomaly is None:
            continue
        watchers: list[Watcher] = []
        if limit is not None:
            watchers.append(Watch(_alarm_spec(device, tag, limit), now_s))
        if tag.anomaly is not None:
            watchers.append(_unusual(device, tag, tag.anomaly, pipeline, stats))
        stages: list[Stage] = []
        emit = _lay(tag, pipeline, stats, stages)
        timed = [stage for stage in stages if not isinstance(stage, Deadband)]
        pipeline.add(tag.name, emit, stages, timed, watchers)
    return pipeline


def shaft_of(waveform: WaveformSettings, device: DeviceId) -> ShaftSpec | None:
    """Which tag says how fast the shaft of a waveform of `device` turns; None if none does."""
    speed = waveform.speed
    if speed is None:
        return None
    if speed.device is not None:
        area, _, name = speed.device.partition("/")
        device = DeviceId(device.site, area, name)
    return ShaftSpec(device, speed.tag, speed.rpm_per_unit, speed.rpm_min, speed.age_ms_max * _MS)


def _shaft(waveform: WaveformSettings, device: DeviceId, speeds: Speeds) -> Shaft:
    spec = shaft_of(waveform, device)
    if spec is not None:
        return lambda at_ns: speeds.shaft_hz(spec, at_ns)
    shaft_hz = None if waveform.rpm is None else waveform.rpm / 60.0
    return lambda at_ns: shaft_hz


def _lay(tag: _Tag, pipeline: Pipeline, stats: ProcessingStats, stages: list[Stage]) -> Emit:
    """Where the way of a tag begins. Adds its stages in the order in which readings pass them."""
    process = tag.process
    if process is None:
        return pipeline.out
    last: list[Stage] = []

    def ending() -> Emit:
        return _thinned(tag, process, pipeline.out, stats, last)

    emit = None
    if process.aggregate is None or process.aggregate.keep_raw:
        emit = ending()
        if process.rate_limit is not None:
            limit = process.rate_limit
            stage = RateLimit(period_ns=limit.period_ms * _MS, keep=limit.keep, emit=emit, stats=stats)
            stages.append(stage)
            emit = stage.put
    if process.aggregate is not None:
        aggregate = process.aggregate
        spec = WindowSpec(
            tag=tag.name,
            period_ns=aggregate.period_ms * _MS,
            functions=aggregate.functions,
            offset_ns=aggregate.offset_ms * _MS,
            late_ns=aggregate.late_ms * _MS,
            good_percent_min=aggregate.good_percent_min,
            stamp=aggregate.stamp,
            report_empty=aggregate.report_empty,
            keep_raw=aggregate.keep_raw,
        )
        window = Window(spec, emits={function: ending() for function in spec.functions}, stats=stats)
        stages.append(window)
        emit = window.put if emit is None else _both(window.put, emit)
    stages += last
    assert emit is not None, "a tag goes on as itself, in windows, or both"
    return emit


def _both(one: Emit, other: Emit) -> Emit:
    def emit(reading: Reading, now_s: float) -> None:
        one(reading, now_s)
        other(reading, now_s)

    return emit


def _thinned(
    tag: _Tag,
    process: ProcessSettings,
    out: Emit,
    stats: ProcessingStats,
    stages: list[Stage],
) -> Emit:
    """Deadband or door before the way out, or the way out itself."""
    stage: Stage
    if process.deadband is not None:
        bound = process.deadband.bound(tag.min, tag.max)
        stage = Deadband(bound, report_ns_max=process.deadband.report_ms_max * _MS, emit=out, stats=stats)
    elif process.door is not None:
        door = process.door
        stage = Door(
            door.bound(tag.min, tag.max),
            report_ns_max=door.report_ms_max * _MS,
            hold_s_max=door.hold_ms_max / 1000,
            emit=out,
            stats=stats,
        )
    else:
        return out
    stages.append(stage)
    return stage.put


def _alarm_spec(device: DeviceId, tag: _Tag, limits: LimitSettings) -> AlarmSpec:
    return AlarmSpec(
        device=device,
        tag=tag.name,
        unit=tag.unit,
        levels=tuple(_levels(limits)),
        cause=limits.cause,
        message=limits.message,
        deadband=limits.deadband,
        on_delay_ns=limits.on_delay_ms * _MS,
        off_delay_ns=limits.off_delay_ms * _MS,
        missing_ns=None if limits.missing_ms is None else limits.missing_ms * _MS,
        missing_severity=_SEVERITIES[limits.severity.get("missing", "warning")],
    )


def _unusual(
    device: DeviceId,
    tag: _Tag,
    anomaly: AnomalySettings,
    pipeline: Pipeline,
    stats: ProcessingStats,
) -> Unusual:
    spec = AnomalySpec(
        device=device,
        tag=tag.name,
        unit=tag.unit,
        threshold=anomaly.threshold,
        every_ns=anomaly.every_ms * _MS,
        caution=anomaly.caution,
        off_delay_ns=anomaly.off_delay_ms * _MS,
        severity=_SEVERITIES[anomaly.severity],
        cause=anomaly.cause,
        message=anomaly.message,
    )
    running = None if anomaly.running is None else pipeline.running(anomaly.running, anomaly.settle_ms * _MS)
    emit = None
    if anomaly.keep_score:
        thinned = Deadband(_SCORE_MOVED, report_ns_max=_SCORE_REPORT_NS_MAX, emit=pipeline.out, stats=stats)
        emit = thinned.put
    return Unusual(spec, stats=stats, running=running, emit=emit)


def _levels(limits: LimitSettings) -> Sequence[Level]:
    levels = []
    for name in LEVELS:
        limit = getattr(limits, name)
        if limit is not None:
            usual: SeverityName = "critical" if name in ("lo_lo", "hi_hi") else "warning"
            severity = _SEVERITIES[limits.severity.get(name, usual)]
            levels.append(Level(name, limit, name.startswith("hi"), severity))
    return levels
