"""Plays the technicians of the time lapse: accepts, goes to work, repairs, all through what every client may use."""

import asyncio
import json
import logging
import time
from dataclasses import dataclass

from fieldline import Runtime
from fieldline.errors import FieldlineError
from fieldline.model import Task, TaskState
from fieldline.scaled_clock import ScaledClock
from fieldline_cloud.demo.story import Story

__all__ = ["Crew", "next_order"]

log = logging.getLogger(__name__)

_LOOK_S = 0.1
_TIMEOUT_S = 2.0
"""Eight hours at the mill: asking again is better than waiting longer."""


def next_order(task: Task, now_ns: int) -> str | None:
    """What its technician says next of a task at `now_ns`: accept, start, done; None while there is nothing to say."""
    if task.state is TaskState.ASSIGNED and task.planned_start_ns:
        return "accept"
    if task.state is TaskState.ACCEPTED and now_ns >= task.planned_start_ns:
        return "start"
    if task.state is TaskState.IN_PROGRESS and now_ns >= task.planned_end_ns:
        return "done"
    return None


@dataclass(slots=True)
class Crew:
    """Does what the tasks of `story` ask for. `control_port` is where the simulated plant takes commands."""

    hub: str
    story: Story
    clock: ScaledClock
    control_port: int
    topic: str = "ask/mill/tasks"

    async def run(self) -> None:
        """Until cancelled. What does not work is tried again."""
        async with Runtime(self.hub, name="mill-crew") as runtime:
            while True:
                for task in list(self.story.tasks.values()):
                    order = next_order(task, self.clock.at(time.time_ns()))
                    if order is not None:
                        await self._say(runtime, task, order)
                await asyncio.sleep(_LOOK_S)

    async def _say(self, runtime: Runtime, task: Task, order: str) -> None:
        """Say it; the same words for the same revision carry the same id, so that saying them twice is harmless."""
        try:
            if order == "done":
                await self._repair(task)
            content = {"do": order, "id": f"{task.id}-{task.revision}-{order}", "task": task.id, "by": task.technician}
            await runtime.request(self.topic, json.dumps(content), timeout_s=_TIMEOUT_S)
        except (FieldlineError, OSError, ValueError) as error:
            log.info("tried again", extra={"order": order, "task": task.id, "reason": str(error)})

    async def _repair(self, task: Task) -> None:
        """The simulated machine gets its new bearing, as `fieldline plant clear` would give it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.control_port)
        try:
            writer.write(json.dumps({"do": "clear", "machine": task.device.device}).encode() + b"\n")
            answer = json.loads(await asyncio.wait_for(reader.readline(), _TIMEOUT_S))
            if not answer.get("ok"):
                raise ValueError(f"the plant refuses: {answer.get('error')}")
        finally:
            writer.close()
