"""Signs of one device and cause as one episode: one alert with contributions, not one for each tag. Pure.

An episode begins when one sign has stood above its threshold for its on-delay. That sign's tag and detector name the
alert from then on, whoever joins. It ends when no sign has been above its threshold for the off-delay of the one that
named it. Time is that of the readings.
"""

from collections import Counter
from collections.abc import Callable, Iterator, KeysView
from dataclasses import dataclass, field
from typing import Any, Final

from fieldline.model import Band, Contribution, DeviceId, Period, Severity
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.learned.signs import REST, Manner, Sign, confidence

__all__ = ["Episodes", "Precision"]

MEMBERS_MAX: Final = 64
_CONTRIBUTIONS_MAX: Final = 16
_TOGETHER_NS: Final = 300 * 1_000_000_000
"""Signs this near to each other speak of the same: some detectors cry once and then call it the new normal."""
_SET_BACK_NS: Final = 60 * 1_000_000_000

Key = tuple[str, str]
"""Tag and detector."""
Precision = Callable[[str], tuple[int, int]]
"""How many alerts of a detector people have confirmed and called false."""


@dataclass(slots=True)
class _Member:
    sign: Sign
    since_ns: int
    """Since when it has been above its threshold, without falling to rest."""
    beyond_ns: int
    """When it was above it last."""
    is_beyond: bool = True


@dataclass(slots=True)
class _Episode:
    device: DeviceId
    cause: str
    began_ns: int
    last_ns: int
    """When anything was last above its threshold."""
    members: dict[Key, _Member] = field(default_factory=dict)
    lead: Key | None = None
    """Who named it; None while it is not raised."""
    off_delay_ns: int = 0

    @property
    def standing(self) -> list[_Member]:
        """The members that are above their thresholds, or were a moment ago, the highest score first."""
        oldest_ns = self.last_ns - _TOGETHER_NS
        standing = (member for member in self.members.values() if member.is_beyond or member.beyond_ns >= oldest_ns)
        return sorted(standing, key=lambda member: -member.sign.score)


class Episodes:
    """The episodes of all devices; there are as many as devices with something to say."""

    def __init__(self, precision: Precision) -> None:
        self._episodes: dict[tuple[DeviceId, str], _Episode] = {}
        self._devices: Counter[DeviceId] = Counter()
        self._precision = precision

    def __len__(self) -> int:
        return len(self._episodes)

    @property
    def devices(self) -> KeysView[DeviceId]:
        """Those that have an episode."""
        return self._devices.keys()

    def speaks(self, device: DeviceId) -> bool:
        """Whether the device has an episode: then low scores matter as well."""
        return device in self._devices

    def is_led(self, device: DeviceId, tag: str, detector: str) -> bool:
        """Whether an episode that was told of is named by this tag and detector."""
        return any(of == device and episode.lead == (tag, detector) for (of, _), episode in self._episodes.items())

    def note(self, sign: Sign) -> Finding | None:
        """Take one sign; what is to be told of its episode."""
        key = sign.device, sign.cause
        episode = self._episodes.get(key)
        if episode is None:
            if not sign.score >= 1.0:
                return None
            episode = _Episode(sign.device, sign.cause, sign.at_ns, sign.at_ns)
            self._open(episode)
        if not self._join(episode, sign):
            return None
        if sign.score >= 1.0:
            episode.last_ns = max(episode.last_ns, sign.at_ns)
        if episode.lead is None and not self._begins(episode, sign):
            if not any(member.is_beyond for member in episode.members.values()):
                self._close(episode)
            return None
        return self._finding(episode, sign.at_ns) if sign.score > REST else None

    def pass_time(self, newest_ns: Callable[[DeviceId], int]) -> Iterator[Finding]:
        """End the episodes that are over; `newest_ns` is the time of a device's newest reading."""
        for episode in list(self._episodes.values()):
            now_ns = newest_ns(episode.device)
            if now_ns < episode.last_ns - _SET_BACK_NS:
                episode.last_ns = now_ns  # the clock was set back: the delay begins again there
            if now_ns - episode.last_ns > max(episode.off_delay_ns, 0):
                self._close(episode)
                if episode.lead is not None:
                    yield self._ended(episode, now_ns)

    def forget(self, device: DeviceId, tag: str) -> None:
        """A tag is learned anew: what it said no longer counts. The episode ends by its delay."""
        for (of, _), episode in self._episodes.items():
            if of == device:
                for (name, _), member in episode.members.items():
                    member.is_beyond = member.is_beyond and name != tag

    def snapshot(self, device: DeviceId) -> list[Any]:
        """What `restore` needs of one device, as plain data."""
        return [_plain(episode) for (of, _), episode in self._episodes.items() if of == device]

    def restore(self, device: DeviceId, snapshot: list[Any]) -> None:
        """Go on where `snapshot` was taken."""
        for episode in [each for (of, _), each in self._episodes.items() if of == device]:
            self._close(episode)
        for plain in snapshot:
            self._open(_episode(device, plain))

    def _open(self, episode: _Episode) -> None:
        self._episodes[episode.device, episode.cause] = episode
        self._devices[episode.device] += 1

    def _close(self, episode: _Episode) -> None:
        del self._episodes[episode.device, episode.cause]
        self._devices[episode.device] -= 1
        if not self._devices[episode.device]:
            del self._devices[episode.device]

    def _join(self, episode: _Episode, sign: Sign) -> bool:
        """Whether the sign counts for the episode."""
        key = sign.tag, sign.detector
        member = episode.members.get(key)
        if member is None:
            if not sign.score >= 1.0 or len(episode.members) >= MEMBERS_MAX:
                return False
            episode.members[key] = _Member(sign, sign.at_ns, sign.at_ns)
            return True
        if sign.score >= 1.0:
            member.since_ns = min(member.since_ns, sign.at_ns) if member.is_beyond else sign.at_ns
            member.beyond_ns = sign.at_ns
            member.sign, member.is_beyond = sign, True
        elif not sign.score > REST:
            member.is_beyond = False
        return True

    def _begins(self, episode: _Episode, sign: Sign) -> bool:
        member = episode.members[sign.tag, sign.detector]
        if not (member.is_beyond and sign.score >= 1.0 and sign.at_ns - member.since_ns >= sign.manner.on_delay_ns):
            return False
        episode.lead = sign.tag, sign.detector
        episode.off_delay_ns = sign.manner.off_delay_ns
        return True

    def _finding(self, episode: _Episode, at_ns: int) -> Finding:
        assert episode.lead is not None
        standing = episode.standing or [episode.members[episode.lead]]
        lead = episode.members[episode.lead]
        best: dict[str, float] = {}
        for member in standing:
            best[member.sign.detector] = max(best.get(member.sign.detector, 0.0), member.sign.score)
        confirmed, refuted = self._precision(lead.sign.detector)
        return Finding(
            device=episode.device,
            tag=lead.sign.tag,
            rule=lead.sign.detector,
            cause=episode.cause,
            severity=max(member.sign.severity for member in standing),
            at_ns=at_ns,
            score=max(max(member.sign.score for member in standing), 1.0),
            rest=REST,
            value=lead.sign.value,
            message=_message(lead, standing),
            confidence=confidence(tuple(best.values()), confirmed=confirmed, refuted=refuted),
            window=Period(min(episode.began_ns, at_ns), at_ns),
            band=lead.sign.band,
            contributions=_contributions(standing),
        )

    def _ended(self, episode: _Episode, now_ns: int) -> Finding:
        assert episode.lead is not None
        sign = episode.members[episode.lead].sign
        return Finding(
            device=episode.device,
            tag=sign.tag,
            rule=sign.detector,
            cause=episode.cause,
            severity=Severity(sign.severity),
            at_ns=now_ns,
            score=0.0,
            rest=REST,
            value=sign.value,
            message=f"{sign.tag} is as usual again",
            window=Period(min(episode.began_ns, now_ns), now_ns),
            band=sign.band,
        )


def _message(lead: _Member, standing: list[_Member]) -> str:
    others = sorted({member.sign.tag for member in standing} - {lead.sign.tag})
    if not others:
        return lead.sign.message
    more = f" and {len(others) - 4} more" if len(others) > 4 else ""
    return f"{lead.sign.message}; with {', '.join(others[:4])}{more}"


def _contributions(standing: list[_Member]) -> tuple[Contribution, ...]:
    """By tag: each sign has its score to give, a sign of tags together shares it among them; the sum is 1."""
    found: dict[str, Contribution] = {}
    for member in standing:
        sign = member.sign
        own = Contribution(sign.tag, 1.0, sign.value, _middle(sign.band, sign.value))
        for each in sign.contributions or (own,):
            given = sign.score * each.share
            before = found.get(each.tag)
            value, expected = (each.value, each.expected) if before is None else (before.value, before.expected)
            found[each.tag] = Contribution(each.tag, given + (before.share if before else 0.0), value, expected)
    total = sum(each.share for each in found.values()) or 1.0
    shares = (
        Contribution(each.tag, min(each.share / total, 1.0), each.value, each.expected) for each in found.values()
    )
    return tuple(sorted(shares, key=lambda each: (-each.share, each.tag))[:_CONTRIBUTIONS_MAX])


def _middle(band: Band | None, value: float) -> float:
    return value if band is None else (band.low + band.high) / 2.0


def _plain(episode: _Episode) -> dict[str, Any]:
    return {
        "cause": episode.cause,
        "began_ns": episode.began_ns,
        "last_ns": episode.last_ns,
        "lead": episode.lead,
        "off_delay_ns": episode.off_delay_ns,
        "members": [_plain_member(member) for member in episode.members.values()],
    }


def _plain_member(member: _Member) -> dict[str, Any]:
    sign = member.sign
    return {
        "tag": sign.tag,
        "detector": sign.detector,
        "at_ns": sign.at_ns,
        "score": sign.score,
        "value": sign.value,
        "severity": int(sign.severity),
        "delays_ns": [sign.manner.on_delay_ns, sign.manner.off_delay_ns],
        "message": sign.message,
        "band": None if sign.band is None else [sign.band.low, sign.band.high],
        "contributions": [[each.tag, each.share, each.value, each.expected] for each in sign.contributions],
        "since_ns": member.since_ns,
        "beyond_ns": member.beyond_ns,
        "is_beyond": member.is_beyond,
    }


def _episode(device: DeviceId, plain: dict[str, Any]) -> _Episode:
    members = [_member(device, plain["cause"], each) for each in plain["members"]]
    return _Episode(
        device,
        plain["cause"],
        plain["began_ns"],
        plain["last_ns"],
        {(member.sign.tag, member.sign.detector): member for member in members},
        None if plain["lead"] is None else (plain["lead"][0], plain["lead"][1]),
        plain["off_delay_ns"],
    )


def _member(device: DeviceId, cause: str, plain: dict[str, Any]) -> _Member:
    sign = Sign(
        device,
        plain["tag"],
        plain["detector"],
        plain["at_ns"],
        plain["score"],
        plain["value"],
        cause,
        Severity(plain["severity"]),
        Manner(*plain["delays_ns"]),
        plain["message"],
        None if plain["band"] is None else Band(*plain["band"]),
        tuple(Contribution(*each) for each in plain["contributions"]),
    )
    return _Member(sign, plain["since_ns"], plain["beyond_ns"], plain["is_beyond"])
