"""Looks after the clock: has readings marked while it is wrong, and their stamps put right once it is set."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from fieldline.errors import DecodeError
from fieldline.model import DeviceId, Reading
from fieldline_edge.clock.certificates import valid_from_s
from fieldline_edge.clock.port import GatewayClock
from fieldline_edge.clock.restamp import restamped
from fieldline_edge.clock.spans import Span, parse_spans, show_spans, span_of, still_needed
from fieldline_edge.clock.synchronised import SyncSource, boot_id
from fieldline_edge.clock.watch import ClockWatch, Jumped, Synchronised
from fieldline_edge.intake import Intake
from fieldline_edge.settings import GatewaySettings
from fieldline_edge.spool import Spool
from fieldline_edge.spool.policy import Stored

__all__ = ["ClockKeeper"]

log = logging.getLogger(__name__)

_LOOK_EVERY_S = 1.0
_COMMIT_TRIES_MAX = 20
_COMMIT_RETRY_S = 0.5


class ClockKeeper:
    """Part of a gateway. `open` once the spool is open and before any reading comes; then `run`.

    When the clock becomes synchronised: what was read before is committed and closed as a span with an offset;
    `put_right` shifts its frames as they leave for the hub. What has left already stays marked, and the readings of
    the device `<gateway>/clock`, sent then, say by how much it is off. `flush` moves on all that the gateway has in
    hand, down to the spool's memory.
    """

    def __init__(
        self,
        settings: GatewaySettings,
        *,
        clock: GatewayClock,
        synchronised: SyncSource,
        spool: Spool,
        intake: Intake,
        flush: Callable[[], None] | None = None,
        look_every_s: float = _LOOK_EVERY_S,
        boot: str | None = None,
    ) -> None:
        self.synchronised = True  # what the time service said last
        self.offset_ns = 0  # of the last correction
        self.corrected_frames = 0
        self._settings = settings
        self._clock = clock
        self._ask = synchronised
        self._spool = spool
        self._intake = intake
        self._flush = flush or intake.flush
        self._look_every_s = look_every_s
        self._boot = boot_id() if boot is None else boot
        self._file = spool.path.with_name(spool.path.name + ".clock")
        self._spans: list[Span] = []
        self._watch = ClockWatch(trusted=True, anchor_ns=0, jump_ns_min=settings.clock.jump_ms_min * 1_000_000)

    @property
    def trusted(self) -> bool:
        """Whether readings carry the machine's time as it is."""
        return self._clock.trusted

    @property
    def jumps(self) -> int:
        """Steps of the synchronised clock."""
        return self._watch.jumps

    def open(self) -> None:
        """Begin to watch; from here on stamps are the machine's, or count from its time at the start of the boot."""
        state = self._spool.state
        spans = still_needed(self._read(), oldest_at_ns=state.oldest_at_ns, boot=self._boot)
        left = next((span for span in spans if span.is_open), None)
        self.synchronised = self._ask()
        if left is not None:
            self._clock.count_from(left.anchor_ns)
        elif not self.synchronised:
            self._clock.count_from(self._clock.machine_anchor_ns)
            spans.append(Span(self._boot, state.next_sequence, self._clock.anchor_ns, self._clock.time_ns()))
        self._spans = spans
        self._watch = ClockWatch(
            trusted=self._clock.trusted,
            anchor_ns=self._clock.machine_anchor_ns,
            jump_ns_min=self._settings.clock.jump_ms_min * 1_000_000,
        )
        if not self._clock.trusted:
            self._warn()
        self._save()

    async def run(self) -> None:
        """Look at the clock every second until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(self._look_every_s)

    async def look(self) -> None:
        """One look, and what follows from it."""
        self.synchronised = self._ask()
        news = self._watch.look(anchor_ns=self._clock.machine_anchor_ns, synchronised=self.synchronised)
        if isinstance(news, Synchronised):
            await self._correct()
        elif isinstance(news, Jumped):
            log.warning("the clock was set by %+.3f s while it was synchronised", news.step_ns / 1e9)
        if self._spans:
            self._forget()

    async def put_right(self, frames: Sequence[Stored]) -> Sequence[Stored]:
        """Frames on their way to the hub: those of a span with shifted stamps, the others as they are."""
        if not self._spans:
            return frames
        right = []
        for stored in frames:
            span = span_of(self._spans, stored.sequence)
            if span is not None and span.offset_ns:
                stored = replace(stored, frame=restamped(stored.frame, span))
                self.corrected_frames += 1
                await asyncio.sleep(0)  # a backlog is many frames, and polls must not be late for them
            right.append(stored)
        return right

    async def _correct(self) -> None:
        to_ns = self._clock.time_ns()
        self._flush()
        with self._intake.held():
            # From here on stamps are right, and no frame is made until all those before have their sequence.
            self.offset_ns = offset_ns = self._clock.adopt()
            for _ in range(_COMMIT_TRIES_MAX):
                if await self._spool.flush():
                    break
                await asyncio.sleep(_COMMIT_RETRY_S)
            last = self._spool.state.next_sequence - 1
            span = next(span for span in self._spans if span.is_open)
            await self._spool.shift_times(span.first, last, offset_ns)
            self._clock.settle()
        closed = span.closed(last=last, to_ns=to_ns, offset_ns=offset_ns)
        self._spans = [
            closed if each is span else each for each in self._spans if each is not span or last >= each.first
        ]
        self._save()
        log.warning(
            "the clock is synchronised: readings before it were stamped %+.3f s off and are put right",
            -offset_ns / 1e9,
            extra={"frames": max(0, last - span.first + 1)},
        )
        if last >= span.first:
            self._announce(closed)

    def _announce(self, span: Span) -> None:
        """Tell the hub as readings, which every grant of a gateway covers; tags are those of Span."""
        now_ns = self._clock.time_ns()
        values: dict[str, int | float] = {
            "offset_s": span.offset_ns / 1e9,
            "first_sequence": span.first,
            "last_sequence": span.last,
            "from_ns": span.from_ns,
            "to_ns": span.to_ns,
        }
        device = DeviceId(self._settings.site, self._settings.name, "clock")
        self._intake.put(device, [Reading(tag, now_ns, value) for tag, value in values.items()])

    def _forget(self) -> None:
        kept = still_needed(self._spans, oldest_at_ns=self._spool.state.oldest_at_ns, boot=self._boot)
        if kept != self._spans:
            self._spans = kept
            self._save()

    def _warn(self) -> None:
        shown = datetime.fromtimestamp(self._clock.time_ns() / 1e9, UTC).isoformat(timespec="seconds")
        log.warning(
            "the clock of this machine is not synchronised: readings are marked, and put right when it is",
            extra={"clock_says": shown},
        )
        tls = self._settings.hub_tls
        if tls is None:
            return
        begins_s = valid_from_s(file for file in (tls.ca, tls.certificate) if file)
        if begins_s is not None and begins_s > self._clock.time_ns() / 1e9:
            valid = datetime.fromtimestamp(begins_s, UTC).isoformat(timespec="seconds")
            log.error(
                "the hub's certificates look not yet valid, because the clock is wrong: they begin at %s, it says %s; "
                "the hub is out of reach until it is set: check the time service (timedatectl)",
                valid,
                shown,
            )

    def _read(self) -> list[Span]:
        try:
            return parse_spans(self._file.read_text())
        except FileNotFoundError:
            return []
        except (OSError, DecodeError) as error:
            log.error("clock corrections cannot be read, frames of an earlier start keep their time: %s", error)
            return []

    def _save(self) -> None:
        """Keep the spans beside the spool; no file if there are none. A disk that fails costs the correction alone."""
        try:
            if not self._spans:
                self._file.unlink(missing_ok=True)
                return
            _write(self._file, show_spans(self._spans))
        except OSError as error:
            log.error("clock corrections cannot be kept beside the spool: %s", error)


def _write(path: Path, text: str) -> None:
    """Replace the file so that a power cut leaves the old one or the new one."""
    aside = path.with_name(path.name + ".new")
    with aside.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    aside.rename(path)
