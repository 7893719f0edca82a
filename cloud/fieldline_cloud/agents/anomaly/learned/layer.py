"""The learned layer: readings of all tags in, findings out. Pure: no clock, no disk, no network.

    frame ─► rest? ─► pending columns ─► stuck? ─► stretches ─► counters? units? ─► per-tag detectors ─┐
                                                          └───► rows of a device ─► joint detector ──┴► episodes

Frames are gathered and scored together (`flush`), so that the cost is that of a few vector operations over all tags.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from typing import Any, Final

import numpy as np

from fieldline.model import Band, DeviceId
from fieldline.wire.plant import TAG_BYTES_MAX
from fieldline.wire.readings import Series
from fieldline_cloud.agents.anomaly.finding import Finding
from fieldline_cloud.agents.anomaly.learned import words
from fieldline_cloud.agents.anomaly.learned.at_rest import take_at_rest
from fieldline_cloud.agents.anomaly.learned.columns import Floats, Ints, Pending, is_number
from fieldline_cloud.agents.anomaly.learned.episodes import Episodes
from fieldline_cloud.agents.anomaly.learned.layer_settings import LearnedSettings
from fieldline_cloud.agents.anomaly.learned.layouts import SKIPPED, UNSURE
from fieldline_cloud.agents.anomaly.learned.rest import Rest, Roles
from fieldline_cloud.agents.anomaly.learned.row_state import RowState
from fieldline_cloud.agents.anomaly.learned.scorers import Feature, Scorer
from fieldline_cloud.agents.anomaly.learned.signs import Manner, Sign
from fieldline_cloud.agents.anomaly.learned.spec import Treatment
from fieldline_cloud.agents.anomaly.learned.stats import LearnStats, Tally
from fieldline_cloud.agents.anomaly.learned.stretches import Told
from fieldline_cloud.agents.anomaly.learned.telling import joint_sign, sensor_sign
from fieldline_cloud.agents.anomaly.learned.thresholds import Thresholds
from fieldline_cloud.agents.anomaly.learned.together import Judged, Together
from fieldline_cloud.agents.anomaly.learned.tracks import DeviceTracks, Rows, Track
from fieldline_cloud.agents.anomaly.learned.worth import QUICK, Worth

__all__ = ["Learned"]

_HOUR_NS: Final = 3_600_000_000_000
_NEAR: Final = 0.5
"""Scores below this share of a threshold are not looked at one by one: no verdict moves a threshold so far."""
STUCK: Final = "stuck"
JOINT: Final = "joint"
UNIT: Final = "unit"
_UNIT_CAUSE: Final = "unit_change"
_AT_REST: Final = 0.5
"""What a score of a machine at rest counts: it can wait, and hardly anything moves there, so a little is far off."""
_LASTING: Final = Manner(0, _HOUR_NS)


class Learned:
    """All devices and tags that are learned."""

    def __init__(self, settings: LearnedSettings, thresholds: Thresholds, tally: Tally, stats: LearnStats) -> None:
        self.stats = stats
        self.shadowed = Tally()
        self._settings = settings
        self._worth = Worth(settings.manners, settings.caution, thresholds)
        self._devices: dict[DeviceId, DeviceTracks] = {}
        self._rows = Rows()
        self._tags = 0
        self._roles = Roles(settings.rest)
        self._pending = Pending()
        self._known = known = RowState(settings)
        self._stretches, self._repeats, self._natures = known.stretches, known.repeats, known.natures
        self._levels, self._growth, self._jumps, self._scorers = known.levels, known.growth, known.jumps, known.scorers
        self._threshold_min = 1.0
        self._numbers = count(1)
        self._episodes, self._shadows = Episodes(tally.precision), Episodes(tally.precision)
        self._with_rows: dict[DeviceId, DeviceTracks] = {}
        self._changed: dict[DeviceId, None] = {}
        self._now_ns = 0

    @property
    def pending(self) -> int:
        """Readings that wait for `flush`."""
        return len(self._pending)

    @property
    def series(self) -> int:
        """Tags that are learned."""
        return self._rows.used

    @property
    def changed(self) -> int:
        """Devices that have learned since they were last taken."""
        return len(self._changed)

    @property
    def rules(self) -> frozenset[str]:
        """The rules that its findings can have."""
        return frozenset({JOINT, STUCK, UNIT, *(scorer.rule for scorer in self._scorers)})

    @property
    def devices(self) -> int:
        """Devices known."""
        return len(self._devices)

    @property
    def episodes(self) -> int:
        """Episodes that go on now."""
        return len(self._episodes)

    def knows(self, device: DeviceId) -> bool:
        """Whether anything was heard of a device."""
        return device in self._devices

    def take(self, device: DeviceId, frame: Sequence[Series]) -> None:
        """Readings of one device, to be scored with the next `flush`."""
        watch = self._devices.get(device) or self._new_device(device)
        if watch is None:
            self.stats.learned_tags_refused += len(frame)
            return
        found = watch.layouts.find(frame)
        said = self._roles.of(frame) if found is None else [(role, frame[place]) for role, place in found[0].roles]
        if watch.rest.pauses(frame, said):
            self.stats.learned_readings_paused += sum(len(series.at_ns) for series in frame)
            watch.is_paused = True
            if take_at_rest(watch, frame):
                self._with_rows[device] = watch
                self._mark(watch)
            return
        if watch.is_paused:
            self._resume(watch)
        before = len(self._pending)
        if found is None:
            watch.layouts.note(frame, said, [self._take_series(watch, series) for series in frame])
        else:
            watch.newest_ns = found[0].add_to(self._pending, found[1]) or watch.newest_ns
        self.stats.learned_readings += len(self._pending) - before
        self._mark(watch)

    def _take_series(self, watch: DeviceTracks, series: Series) -> int:
        """Its row, or what stands in place of one."""
        tag, at_ns, values, _ = series
        if not values or (type(values[0]) is not float and not is_number(values)):
            return SKIPPED
        track = watch.tracks[tag] if tag in watch.tracks else self._new_track(watch, tag)
        if track is None:
            return SKIPPED if tag in watch.tracks else UNSURE
        if track.codes is not None and track.is_code(series) and self._is_left_out(track):
            return UNSURE
        self._pending.add(track.row, series)
        watch.newest_ns = at_ns[-1]
        if not track.since_ns:
            track.since_ns = at_ns[0]
        return track.row if track.codes is None and track.since_ns else UNSURE

    def _mark(self, watch: DeviceTracks) -> None:
        """It has learned: there is something to save."""
        if not watch.is_changed:
            watch.is_changed = True
            self._changed[watch.device] = None

    def flush(self, now_ns: int) -> list[Finding]:
        """Score what is pending; what is to be told of episodes that begin, go on or end."""
        self._now_ns = now_ns
        findings: list[Finding] = []
        if self._pending:
            raw = self._pending.take()
            self.stats.learned_batches += 1
            self.stats.learned_readings_not_good += int(np.count_nonzero(np.isnan(raw.values)))
            findings += self._look_for_stuck(*self._repeats.add(raw))
            for told in self._stretches.add(raw):
                findings += self._take_told(told)
            self.stats.learned_readings_late = self._stretches.late
            self.stats.learned_clocks_set_back = self._stretches.set_back
        for watch in self._with_rows.values():
            findings += self._judge_together(watch, watch.together, watch.since_ns, 1.0)
            findings += self._judge_together(watch, watch.at_rest, watch.rest_since_ns, _AT_REST)
        self._with_rows.clear()
        newest = lambda device: self._devices[device].newest_ns  # noqa: E731  # short, and used twice
        list(self._shadows.pass_time(newest))
        return [*findings, *self._episodes.pass_time(newest)]

    def is_raised(self, device: DeviceId, tag: str, rule: str) -> bool:
        """Whether an episode that goes on is known by this name."""
        return self._episodes.is_led(device, tag, rule)

    def relearn(self, device: DeviceId, tag: str = "") -> bool:
        """Learn a device, or one tag of it, anew, such as after a repair. False if it is not known."""
        watch = self._devices.get(device)
        if watch is None or (tag and watch.tracks.get(tag) is None):
            return False
        for track in watch.tracks.values():
            if track is not None and tag in ("", track.tag):
                self._relearn_row(track)
        if watch.together is not None:
            watch.together.relearn()
            watch.since_ns = 0
        if watch.at_rest is not None:
            watch.at_rest.relearn()
            watch.rest_since_ns = 0
        self.stats.learned_relearned += 1
        self._mark(watch)
        return True

    def take_changed(self, devices_max: int) -> list[DeviceId]:
        """Devices that have learned since they were last asked for, those that wait longest first."""
        chosen = list(self._changed)[:devices_max]
        for device in chosen:
            del self._changed[device]
            self._devices[device].is_changed = False
        return chosen

    def snapshot(self, device: DeviceId) -> dict[str, Any]:
        """All that is known of a device as plain data. Flush first: what is pending is no part of it."""
        watch = self._devices[device]
        return {
            "rest": watch.rest.snapshot(),
            "newest_ns": watch.newest_ns,
            "since_ns": watch.since_ns,
            "rest_since_ns": watch.rest_since_ns,
            "tracks": {track.tag: self._plain(track) for track in watch.tracks.values() if track is not None},
            "together": None if watch.together is None else watch.together.snapshot(),
            "at_rest": None if watch.at_rest is None else watch.at_rest.snapshot(),
            "episodes": self._episodes.snapshot(device),
        }

    def restore(self, device: DeviceId, snapshot: Mapping[str, Any]) -> None:
        """Go on with a device where `snapshot` was taken; what was known of it is forgotten.

        KeyError, TypeError, ValueError or IndexError for what is no snapshot of ours: the device is then unknown.
        """
        self.forget(device)
        watch = self._new_device(device)
        if watch is None:
            return
        try:
            watch.rest.restore(snapshot["rest"])
            watch.newest_ns, watch.since_ns = int(snapshot["newest_ns"]), int(snapshot["since_ns"])
            watch.rest_since_ns = int(snapshot["rest_since_ns"])
            for tag, plain in snapshot["tracks"].items():
                track = self._new_track(watch, tag)
                if track is not None:
                    self._restore_track(track, plain)
            if watch.together is not None and snapshot["together"] is not None:
                watch.together.restore(snapshot["together"])
            if watch.at_rest is not None and snapshot["at_rest"] is not None:
                watch.at_rest.restore(snapshot["at_rest"])
            self._episodes.restore(device, snapshot["episodes"])
        except BaseException:
            self.forget(device)
            raise

    def forget(self, device: DeviceId) -> None:
        """Know nothing of a device any more."""
        watch = self._devices.pop(device, None)
        if watch is None:
            return
        for track in watch.tracks.values():
            if track is not None:
                self._forget_row(track)
        self._tags -= len(watch.tracks)
        self._episodes.restore(device, [])
        self._shadows.restore(device, [])
        self._with_rows.pop(device, None)
        self._changed.pop(device, None)

    def _new_device(self, device: DeviceId) -> DeviceTracks | None:
        settings = self._settings
        if len(self._devices) >= settings.tags_max:
            return None
        together, at_rest = (
            None if settings.joint is None else Together(settings.joint, settings.every_ns) for _ in range(2)
        )
        watch = self._devices[device] = DeviceTracks(device, Rest(self._roles), together, at_rest, next(self._numbers))
        return watch

    def _new_track(self, watch: DeviceTracks, tag: str) -> Track | None:
        if self._tags >= self._settings.tags_max or not 0 < len(tag.encode(errors="replace")) <= TAG_BYTES_MAX:
            self.stats.learned_tags_refused += 1
            return None
        self._tags += 1
        spec = self._settings.book.spec_for(watch.device, tag)
        if spec.treatment is Treatment.NOTHING:
            self.stats.learned_tags_left_out += 1
            watch.tracks[tag] = None
            return None
        track = Track(self._rows.next(), watch.device, tag, spec, spec.treatment or Treatment.VALUE)
        if spec.treatment is not None:
            track.codes = None
        watch.tracks[tag] = track
        self._rows.put(track)
        self._known.reserve(len(self._rows))
        self._threshold_min = min(self._threshold_min, spec.threshold)
        self._growth.is_counter[track.row] = track.treatment is Treatment.RATE
        if spec.joint and watch.together is not None and track.treatment is Treatment.VALUE:
            self._known.company.join(track.row, watch.number)
        for scorer in self._scorers:
            if scorer.detector in spec.detectors and (
                scorer.feature is Feature.MEAN or not self._growth.is_counter[track.row]
            ):
                scorer.add(track.row)
        return track

    def _is_left_out(self, track: Track) -> bool:
        """A code of few whole numbers: learned no more."""
        self.stats.learned_codes_found += 1
        self._forget_row(track)
        self._devices[track.device].tracks[track.tag] = None
        return True

    def _forget_row(self, track: Track) -> None:
        self._known.forget(track.row)
        self._rows.free(track.row)

    def _resume(self, watch: DeviceTracks) -> None:
        """A counter's growth is not measured across a pause."""
        watch.is_paused = False
        rows = [track.row for track in watch.tracks.values() if track is not None]
        self._growth.pause(rows)

    def _relearn_row(self, track: Track) -> None:
        self._known.relearn(track.row)
        track.since_ns = 0
        self._devices[track.device].layouts.clear()
        self._episodes.forget(track.device, track.tag)

    def _count_from_now(self, row: int) -> None:
        """A row has shown to be a counter: from now on its growth is learned."""
        track = self._rows[row]
        if track.spec.treatment is None:
            track.treatment, self._growth.is_counter[row] = Treatment.RATE, True
            self._known.company.forget(row)
            self.stats.learned_counters_found += 1
            self._relearn_row(track)
            if self._natures.is_coarse(row):
                for scorer in self._scorers:
                    scorer.remove(row)

    def _take_told(self, told: Told) -> Iterator[Finding]:
        self.stats.learned_scores += len(told)
        for row in self._natures.counters(told).tolist():
            self._count_from_now(row)
        values = self._growth.values(told)
        values, signs = self._follow_jumps(told, values)
        yield from self._note_all(signs)
        for scorer in self._scorers:
            looked_at = values if scorer.feature is Feature.MEAN else told.spreads
            scores = scorer.scores(told.rows, told.at_ns, looked_at)
            yield from self._note_all(self._signs(scorer, told, looked_at, scores))
        quiet = np.isfinite(values)
        if self._jumps:
            quiet &= ~np.isin(told.rows, list(self._jumps))
        self._levels.learn(told.rows[quiet], values[quiet])
        self._put_together(told, values)

    def _signs(self, scorer: Scorer, told: Told, values: Floats, scores: Floats) -> Iterator[Sign]:
        near = scores >= self._worth.least(scorer.rule) * self._threshold_min
        for place in self._worth_a_look(told.rows, near):
            if np.isnan(scores[place]):
                continue
            row, at_ns = int(told.rows[place]), int(told.at_ns[place])
            track = self._rows[row]
            score = self._worth.score(track, scorer.rule, float(scores[place]), at_ns - track.since_ns, self._now_ns)
            if score < 1.0 and not self._speaks(track.device):
                continue  # it begins nothing, and there is nothing that it could end
            sign = self._sign(scorer, track, at_ns, float(values[place]), score)
            is_new = scorer.feature is Feature.MEAN and sign.score >= 1.0 and row not in self._jumps
            known = self._levels.known(row)
            is_alone = is_new and not self._others_moved(row, told, values)
            if is_alone and self._jumps.begin(row, known, sign.value, float(told.spreads[place]), sign):
                continue
            if row not in self._jumps:
                yield sign

    def _worth_a_look(self, rows: Ints, near: Any) -> list[int]:
        """Places whose scores are near a threshold, and all of devices that have something to say already."""
        if len(self._episodes) or len(self._shadows):
            speaks = np.zeros(len(self._rows), np.bool_)
            for device in {*self._episodes.devices, *self._shadows.devices}:
                watch = self._devices.get(device)
                tracks = () if watch is None else watch.tracks.values()
                speaks[[track.row for track in tracks if track is not None]] = True
            near = near | speaks[rows]
        found: list[int] = np.flatnonzero(near).tolist()
        return found

    def _speaks(self, device: DeviceId) -> bool:
        return self._episodes.speaks(device) or self._shadows.speaks(device)

    def _sign(self, scorer: Scorer, track: Track, at_ns: int, value: float, effective: float) -> Sign:
        spec, band = track.spec, None
        if effective >= 1.0:  # to ask for the band costs more than the score
            low, high = scorer.band(track.row)
            band = Band(low, high) if np.isfinite(low) and np.isfinite(high) else None
        return Sign(
            track.device,
            track.tag,
            scorer.rule,
            at_ns,
            effective,
            value,
            spec.cause,
            spec.severity,
            self._worth.manner(scorer.rule, spec),
            words.unusual(track.tag, value, band, scorer.feature, spec.unit),
            band,
            shadow=spec.shadow,
        )

    def _note_all(self, signs: Iterable[Sign]) -> Iterator[Finding]:
        for sign in signs:
            self.stats.learned_scores_beyond += sign.score >= 1.0
            episodes = self._shadows if sign.shadow else self._episodes
            finding = episodes.note(sign)
            if finding is not None and not sign.shadow:
                yield finding
            elif finding is not None and finding.window is not None and finding.window.from_ns == finding.at_ns:
                self.stats.learned_shadow_alerts += 1
                self.shadowed.raised[finding.rule] += 1

    def _look_for_stuck(self, rows: Ints, scores: Floats) -> Iterator[Finding]:
        with np.errstate(invalid="ignore"):
            beyond = scores >= 1.0
        for place in self._worth_a_look(rows, beyond):
            track = self._rows[int(rows[place])]
            if np.isnan(scores[place]):
                continue
            value = self._repeats.value(track.row)
            message = words.stuck(track.tag, value, track.spec.unit)
            at_ns = self._devices[track.device].newest_ns
            score = self._worth.score(track, STUCK, float(scores[place]), _HOUR_NS * 24, self._now_ns)
            yield from self._note_all([sensor_sign(track, STUCK, "sensor_fault", at_ns, score, value, message, QUICK)])

    def _follow_jumps(self, told: Told, values: Floats) -> tuple[Floats, list[Sign]]:
        """What has come of the rows that seem to speak in another unit; they are nothing to learn from meanwhile."""
        if not self._jumps:
            return values, []
        values, signs = values.copy(), []
        for place, row in enumerate(told.rows.tolist()):
            if row not in self._jumps or not np.isfinite(values[place]):
                continue
            value = float(values[place])
            jump, held = self._jumps.follow(row, value)
            if held is not None:
                signs.append(held)
                continue
            values[place] = np.nan
            if jump is not None:
                track = self._rows[row]
                message = words.changed_unit(track.tag, jump.before, value, jump.conversion)
                at_ns = int(told.at_ns[place])
                signs.append(sensor_sign(track, UNIT, _UNIT_CAUSE, at_ns, 1.0, value, message, _LASTING))
                self.stats.learned_units_changed += 1
                self.relearn(track.device, track.tag)
        return values, signs

    def _others_moved(self, row: int, told: Told, values: Floats) -> bool:
        """Whether other tags of the device have moved too: one sensor changes its unit, a start moves them all."""
        device = self._rows[row].device
        own = np.array([other != row and self._rows[other].device == device for other in told.rows.tolist()])
        moved = self._levels.have_moved(told.rows[own], values[own])
        return 3 * int(np.count_nonzero(moved)) >= max(int(np.count_nonzero(own)), 1)

    def _put_together(self, told: Told, values: Floats) -> None:
        for rows, at_ns, means, spreads in self._known.company.meet(told, values):
            device = self._rows[rows[0]].device
            watch = self._with_rows[device] = self._devices[device]
            assert watch.together is not None
            watch.together.take_all(at_ns, [self._rows[row].tag for row in rows], means, spreads)
            watch.since_ns = watch.since_ns or at_ns[0]

    def _judge_together(
        self, watch: DeviceTracks, together: Together | None, since_ns: int, counts: float
    ) -> Iterator[Finding]:
        tracks = watch.tracks.values() if self._jumps else ()
        if together is None or any(track is not None and track.row in self._jumps for track in tracks):
            return
        for judged in together.judge(threshold=_NEAR):
            self.stats.learned_rows_judged += 1
            sign = self._joint_sign(watch, judged, counts * judged.score, judged.at_ns - since_ns)
            if sign is not None:
                yield from self._note_all([sign])

    def _joint_sign(self, watch: DeviceTracks, judged: Judged, score: float, learned_ns: int) -> Sign | None:
        if judged.channels:
            watch.joint_lead = judged.channels[0][0]
        track = watch.tracks.get(watch.joint_lead)
        if track is None or not (judged.channels or self._speaks(watch.device)) or judged.score != judged.score:
            return None
        score = self._worth.score(track, JOINT, score, learned_ns, self._now_ns)
        return joint_sign(track, judged, JOINT, score, self._worth.manner(JOINT, track.spec))

    def _plain(self, track: Track) -> dict[str, Any]:
        known = self._known.snapshot(track.row)
        return {"since_ns": track.since_ns, "may_be_code": track.codes is not None, **known}

    def _restore_track(self, track: Track, plain: Mapping[str, Any]) -> None:
        self._known.restore(track.row, plain)
        if track.spec.treatment is not None:  # the file has the last word
            self._growth.is_counter[track.row] = track.treatment is Treatment.RATE
        elif self._growth.is_counter[track.row]:
            track.treatment = Treatment.RATE
            self._known.company.forget(track.row)
        track.since_ns = int(plain["since_ns"])
        if not plain["may_be_code"]:
            track.codes = None
