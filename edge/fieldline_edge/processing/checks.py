"""What can be wrong with the processing of a device as a whole: names, formulas, alarms. Pure."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Protocol

from pydantic_core import InitErrorDetails, PydanticCustomError

from fieldline_edge.processing.anomaly_settings import AnomalySettings
from fieldline_edge.processing.derived import DerivedProblem, order_of
from fieldline_edge.processing.settings import AlarmSettings, DerivedSettings, LimitSettings, ProcessSettings
from fieldline_edge.processing.waveform_settings import WaveformSettings

__all__ = ["TagLike", "device_problems"]

_PROBLEMS_MAX = 20
"""Of one kind: more are not shown, and to look for the nearest of many names costs milliseconds each."""

Place = tuple[str | int, ...]


class TagLike(Protocol):
    """What is needed of a tag: drivers have more to say about theirs."""

    @property
    def name(self) -> str:
        """Name of the tag."""
        ...

    @property
    def unit(self) -> str:
        """Unit of its values."""
        ...

    @property
    def process(self) -> ProcessSettings | None:
        """What happens to its readings."""
        ...

    @property
    def alarms(self) -> LimitSettings | None:
        """Alarms on it."""
        ...

    @property
    def anomaly(self) -> AnomalySettings | None:
        """How it is learned."""
        ...


def device_problems(
    tags: Sequence[TagLike],
    derived: Sequence[DerivedSettings],
    alarms: Sequence[AlarmSettings],
    waveforms: Sequence[WaveformSettings] = (),
) -> list[InitErrorDetails]:
    """Everything wrong, each with its place within the device's settings."""
    units = {tag.name: tag.unit for tag in tags}
    features = {
        f"{waveform.tag}.{name}": waveform.tag
        for waveform in waveforms
        for name in waveform.feature_spec(units.get(waveform.tag, "")).units
    }
    gone = {waveform.tag for waveform in waveforms if not waveform.keep_raw}
    names = [name for name in (*units, *features) if name not in gone]
    rules = (
        _waveforms(tags, waveforms),
        _twice(tags, derived, features),
        _formulas(names, derived),
        _alarms(names, tags, derived, alarms),
        _running(names, tags, derived),
    )
    found = [problem for rule in rules for problem in islice(rule, _PROBLEMS_MAX)]
    return [_detail(place, message) for place, message in found]


def _waveforms(tags: Sequence[TagLike], waveforms: Sequence[WaveformSettings]) -> Iterator[tuple[Place, str]]:
    by_name = {tag.name: tag for tag in tags}
    first: dict[str, int] = {}
    for index, waveform in enumerate(waveforms):
        tag = by_name.get(waveform.tag)
        if tag is None:
            yield ("waveforms", index, "tag"), _unknown(waveform.tag, by_name)
            continue
        earlier = first.setdefault(waveform.tag, index)
        if earlier != index:
            yield ("waveforms", index, "tag"), f"{waveform.tag!r} is already in waveforms[{earlier}]; keep one of them"
        keys = [key for key in ("process", "alarms", "anomaly") if getattr(tag, key) is not None]
        if keys and not waveform.keep_raw:
            yield (
                ("waveforms", index),
                f"the samples of {waveform.tag!r} do not travel, so its {keys[0]!r} sees none; "
                "remove that, or write 'keep_raw: true'",
            )
        speed = waveform.speed
        if speed is not None and speed.device is None and speed.tag not in by_name:
            yield ("waveforms", index, "speed", "tag"), _unknown(speed.tag, by_name)


def _unknown(name: str, known: Collection[str]) -> str:
    from difflib import get_close_matches  # for mistakes alone: memory that a gateway needs not hold

    near = get_close_matches(name, known, n=1)
    cure = f"did you mean {near[0]!r}?" if near else f"the device has {', '.join(sorted(known)[:8]) or 'none'}"
    return f"{name!r} is no tag of this device; {cure}"


def _twice(
    tags: Sequence[TagLike], derived: Sequence[DerivedSettings], features: Mapping[str, str]
) -> Iterator[tuple[Place, str]]:
    """Names that two tags would share; those among the tags that are read are found by the driver's settings."""
    taken = {tag.name: f"tag {tag.name!r}" for tag in tags}
    for name, waveform in features.items():
        if name in taken:
            yield ("waveforms",), f"make the tag {name!r}, which is already {taken[name]}; rename one"
        taken.setdefault(name, f"a feature of {waveform!r}")
    for index, made in enumerate(derived):
        if made.name in taken:
            yield ("derived", index, "name"), f"{made.name!r} is already the name of {taken[made.name]}; choose another"
        taken.setdefault(made.name, f"derived tag {made.name!r}")
    for key, group in (("tags", tags), ("derived", derived)):
        for index, tag in enumerate(group):
            for place, name, maker in _made(tag):
                if name in taken:
                    message = f"makes the tag {name!r}, which is already {taken[name]}; rename one"
                    yield (key, index, *place), message
                taken.setdefault(name, f"made by {maker} of {tag.name!r}")


def _made(tag: TagLike | DerivedSettings) -> Iterator[tuple[Place, str, str]]:
    """(place in the tag's settings, name, what makes it) of tags that are made of this one."""
    for name in tag.process.names_for(tag.name) if tag.process is not None else ():
        yield ("process", "aggregate"), name, "windows"
    if tag.anomaly is not None and (score := tag.anomaly.name_for(tag.name)) is not None:
        yield ("anomaly", "keep_score"), score, "the score"


def _formulas(known: Sequence[str], derived: Sequence[DerivedSettings]) -> Iterator[tuple[Place, str]]:
    read = set(known)
    names = read | {made.name for made in derived}
    wrong = False
    for index, made in enumerate(derived):
        try:  # by itself, with all the others taken as read: so that every unknown name is found at once
            order_of(names, [(f"{made.name} ", made.parsed)])
        except DerivedProblem as problem:
            wrong = True
            yield ("derived", index, "expression"), str(problem)
    if wrong:
        return
    try:
        order_of(read, [(made.name, made.parsed) for made in derived])
    except DerivedProblem as problem:
        yield ("derived", problem.index, "expression"), str(problem)


def _alarms(
    known: Sequence[str], tags: Sequence[TagLike], derived: Sequence[DerivedSettings], alarms: Sequence[AlarmSettings]
) -> Iterator[tuple[Place, str]]:
    own = dict.fromkeys(known, False)
    own |= {tag.name: tag.alarms is not None for tag in tags if tag.name in own}
    own |= {tag.name: tag.alarms is not None for tag in derived}
    first: dict[str, int] = {}
    for index, alarm in enumerate(alarms):
        if alarm.tag not in own:
            yield ("alarms", index, "tag"), _unknown(alarm.tag, own)
        elif own[alarm.tag]:
            yield ("alarms", index, "tag"), f"{alarm.tag!r} has alarms of its own already; keep one of the two"
        elif first.setdefault(alarm.tag, index) != index:
            earlier = first[alarm.tag]
            yield ("alarms", index, "tag"), f"{alarm.tag!r} is already in alarms[{earlier}]; put all its limits there"


def _running(
    known: Sequence[str], tags: Sequence[TagLike], derived: Sequence[DerivedSettings]
) -> Iterator[tuple[Place, str]]:
    """Tags that are to say whether the machine runs, and are none of its device."""
    names = {*known, *(made.name for made in derived)}
    for key, group in (("tags", tags), ("derived", derived)):
        for index, tag in enumerate(group):
            running = None if tag.anomaly is None else tag.anomaly.running
            if running is not None and running not in names:
                yield (key, index, "anomaly", "running"), _unknown(running, names)


def _detail(place: Place, message: str) -> InitErrorDetails:
    values: dict[str, Any] = {"message": message}
    return InitErrorDetails(type=PydanticCustomError("value_error", "{message}", values), loc=place, input=None)
