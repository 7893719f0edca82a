"""What has been learned of tags, in a file beside the spool: a restart goes on where the gateway ended.

One line of JSON for each tag, so a damaged line costs what was learned of one tag, and no tag's line is ever in memory
together with the others while the file is read. 4 to 10 kB a tag.
"""

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from fieldline.model import DeviceId
from fieldline_edge.processing.anomaly import Unusual
from fieldline_edge.processing.whole_file import write_whole

__all__ = ["SAVE_EVERY_S", "LearnedKeeper", "Learners"]

log = logging.getLogger(__name__)

SAVE_EVERY_S: Final = 3600.0
"""What a kill or a power cut can cost of what was learned. An SD card is written no more than that for it."""
_LINE_BYTES_MAX: Final = 1 << 18
"""A longer line is none of ours."""
_PER_SLICE: Final = 20  # snapshots taken before others have their turn: about 1 ms

Learners = Mapping[tuple[DeviceId, str], Unusual]
"""What learns, by device and tag."""


class LearnedKeeper:
    """Keeps snapshots between a learner that goes and the one that comes for the same tag: over a restart in the file
    `path`, over a reload in memory. `learners` says who learns now.
    """

    def __init__(self, path: Path, learners: Callable[[], Learners]) -> None:
        self._path = path
        self._learners = learners
        self._kept: dict[tuple[str, str], Mapping[str, Any]] = {}
        self._writing = threading.Lock()  # a write in a thread may outlive the task that waits for it
        self._fails = False

    def open(self) -> None:
        """Give those that learn what the file has for them. Touches the disk; never raises."""
        learners = {(str(device), tag): learner for (device, tag), learner in self._learners().items()}
        if not learners or not self._path.exists():
            return
        damaged = 0
        for name, snapshot in self._read():
            if name is None:
                damaged += 1
            elif (learner := learners.get(name)) is not None:
                self._hand_over(learner, snapshot)
        if damaged:
            log.warning("lines of what was learned cannot be read", extra={"path": str(self._path), "lines": damaged})

    def keep(self, learners: Learners) -> None:
        """Remember what these have learned, who are about to go."""
        self._kept |= {(str(device), tag): learner.snapshot() for (device, tag), learner in learners.items()}

    def hand_over(self, learners: Learners) -> None:
        """Give these what those before them have learned."""
        for (device, tag), learner in learners.items():
            snapshot = self._kept.pop((str(device), tag), None)
            if snapshot is not None:
                self._hand_over(learner, snapshot)

    def forget(self) -> None:
        """Nobody else comes for what is kept."""
        self._kept.clear()

    async def run(self) -> None:
        """Save every hour, until cancelled."""
        while True:
            await asyncio.sleep(SAVE_EVERY_S)
            lines = []
            for number, (name, learner) in enumerate(list(self._learners().items())):
                lines.append((name, learner.snapshot()))
                if number % _PER_SLICE == 0:
                    await asyncio.sleep(0)
            await asyncio.to_thread(self._write, lines)

    def save(self) -> None:
        """Save at once: at the end."""
        self._write([(name, learner.snapshot()) for name, learner in self._learners().items()])

    def _hand_over(self, learner: Unusual, snapshot: Mapping[str, Any]) -> None:
        try:
            learner.learned(snapshot)
        except ValueError as error:
            tag = f"{learner.spec.device}:{learner.spec.tag}"
            log.warning("tag learns anew: %s", error, extra={"tag": tag})

    def _read(self) -> Iterator[tuple[tuple[str, str] | None, Any]]:
        """(device and tag, snapshot) of each line; (None, None) for one that cannot be read."""
        try:
            with self._path.open("rb") as file:
                while line := file.readline(_LINE_BYTES_MAX):
                    try:
                        found = json.loads(line)
                        yield (str(found["device"]), str(found["tag"])), found["learned"]
                    except (ValueError, KeyError, TypeError, RecursionError):
                        yield None, None
        except OSError as error:
            log.warning("what was learned cannot be read: %s", error, extra={"path": str(self._path)})

    def _write(self, lines: Sequence[tuple[tuple[DeviceId, str], Mapping[str, Any]]]) -> None:
        if not lines:
            return
        texts = (
            json.dumps({"device": str(device), "tag": tag, "learned": snapshot}, separators=(",", ":")) + "\n"
            for (device, tag), snapshot in lines
        )
        try:
            with self._writing:
                write_whole(self._path, texts)
        except OSError as error:
            if not self._fails:
                log.warning("what was learned cannot be saved: %s", error, extra={"path": str(self._path)})
            self._fails = True
            return
        self._fails = False
