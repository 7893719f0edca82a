"""One member of a group of anomaly agents: which devices it holds, and how they come and go.

The hub gives all frames of a device to one member. What that member knows of the device lies with the hub as the last
value of a topic; whoever is given a frame of a device it does not hold takes the state from there first.

    state/<group>/<site>/<area>/<device>            rules, alarms, episodes; with every transition, before the ack
    state/<group>/<site>/<area>/<device>/learned    what was learned; every `save_every_s`, and on leaving
    state/<group>                                   a mark: who has read its own has read all that was left before

Order of events: leave the state with the alerts in it, publish the alerts, acknowledge the frames. A member that dies
in between leaves alerts that its successor publishes again, with the same ids.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Final

from fieldline import Start
from fieldline.errors import DecodeError
from fieldline.model import Alert, DeviceId
from fieldline.wire.plant import encode_alert
from fieldline_cloud.agents.anomaly.handed_over import (
    HandedOver,
    SeenByDevice,
    device_of,
    learned_topic,
    state_topic,
)
from fieldline_cloud.agents.anomaly.learned.blobs import from_blob, to_blob
from fieldline_cloud.agents.anomaly.watch import LearnedState, Watch
from fieldline_cloud.agents.bus import Bus, FrameIn

__all__ = ["Handover"]

log = logging.getLogger(__name__)

DEVICES_MAX: Final = 100_000
"""Devices whose left states are remembered; those of further ones are forgotten, the oldest first."""
LEARNED_WAIT_S: Final = 5.0
"""How long what was learned is waited for; past that the device learns anew."""
MARK_WAIT_S: Final = 5.0
"""After so long without it, a mark is set again."""
_BLOB_BYTES_MAX: Final = 900_000
"""What was learned of one device, packed; a frame has no room for more."""


class Handover:
    """The devices of one member. Construct, then `async with handover.listening(bus)`."""

    def __init__(self, group: str, watch: Watch) -> None:
        self.member = f"{group}-{uuid.uuid4().hex[:12]}"
        self.seen = SeenByDevice()
        self.held: set[DeviceId] = set()
        self.taken_over = 0
        self.given_up = 0
        self.left = 0
        self.learned_lost = 0
        self._group = group
        self._watch = watch
        self._left: dict[DeviceId, bytes] = {}
        self._has_learned: set[DeviceId] = set()
        self._contested: set[DeviceId] = set()
        self._marks = asyncio.Condition()
        self._mark = ""
        self._opened = asyncio.Event()

    @asynccontextmanager
    async def listening(self, bus: Bus) -> AsyncIterator[None]:
        """Hear what other members leave, all that is there first."""
        hearing = asyncio.create_task(self._hear(bus))
        try:
            await self._opened.wait()
            await self.catch_up(bus)
            yield
        finally:
            hearing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await hearing

    async def catch_up(self, bus: Bus) -> None:
        """Return once everything that was left before this call is known here."""
        while True:
            mark = f"{self.member} {uuid.uuid4().hex}"
            await bus.publish(f"state/{self._group}", mark, stored=True)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(MARK_WAIT_S), self._marks:
                    while self._mark != mark:
                        await self._marks.wait()
                    return

    async def hold(self, bus: Bus, device: DeviceId, now_ns: int) -> None:
        """Take a device over as whoever held it last has left it, and tell everybody; no change if it is held."""
        if device in self.held:
            return
        await self.catch_up(bus)
        self._contested.discard(device)
        self.held.add(device)
        state = self._take_state(device)
        if state is None:
            return
        self.taken_over += 1
        alerts = self._watch.monitor.restore(state.tags, [], now_ns)
        for producer, epoch, sequence in state.seen:
            self.seen.is_new(device, producer, epoch, sequence)
        if state.has_learned:
            await self._take_learned(bus, device)
        alerts += self._watch.reconcile(now_ns)
        await self.leave_states(bus, [device], [*state.alerts, *alerts], [])

    def _take_state(self, device: DeviceId) -> HandedOver | None:
        content = self._left.pop(device, None)
        try:
            return None if content is None else HandedOver.decode(content)
        except ValueError as error:
            log.warning("state of a device refused", extra={"device": str(device), "reason": str(error)})
            return None

    def give_up(self) -> set[DeviceId]:
        """Give up what another member has left a state of since; which devices these are.

        Call it where nothing is under way: all that is known here of these devices is forgotten.
        """
        given_up, self._contested = self._contested & self.held, set()
        for device in given_up:
            self.held.discard(device)
            self._has_learned.discard(device)
            self.given_up += 1
            self._watch.release(device)
            self.seen.forget(device)
        return given_up

    async def leave_states(
        self, bus: Bus, devices: Iterable[DeviceId], alerts: list[Alert], learned: Iterable[LearnedState]
    ) -> None:
        """Leave the states of these devices, so that another member may go on with them; then publish the alerts."""
        by_device: dict[DeviceId, list[Alert]] = {}
        for alert in alerts:
            by_device.setdefault(alert.device, []).append(alert)
        for each in learned:
            if each.device in self.held:
                await self._leave_learned(bus, each)
        for device in self.held.intersection(devices):
            state = HandedOver(
                self.member,
                device,
                tuple(self._watch.monitor.states_of(device)),
                self.seen.of(device),
                tuple(by_device.get(device, ())),
                device in self._has_learned,
            )
            await bus.publish(state_topic(self._group, device), state.encode(), key=str(device), stored=True)
            self.left += 1
        for alert in alerts:
            await bus.publish(alert.device.alerts_topic, encode_alert(alert), stored=True)

    async def _leave_learned(self, bus: Bus, learned: LearnedState) -> None:
        blob = await asyncio.to_thread(to_blob, learned.snapshot)
        if len(blob) > _BLOB_BYTES_MAX:
            self.learned_lost += 1
            return
        await bus.publish(learned_topic(self._group, learned.device), blob, key=str(learned.device), stored=True)
        self._has_learned.add(learned.device)

    async def _take_learned(self, bus: Bus, device: DeviceId) -> None:
        try:
            async with (
                asyncio.timeout(LEARNED_WAIT_S),
                bus.subscribe(learned_topic(self._group, device), start=Start.LAST_VALUES) as frames,
            ):
                delivery = await anext(aiter(frames.deliveries()))
                (message,) = delivery.messages()
            snapshot = await asyncio.to_thread(from_blob, message.content)
        except (TimeoutError, ValueError, DecodeError) as error:
            self.learned_lost += 1
            log.warning("a device learns anew", extra={"device": str(device), "reason": str(error) or "not there"})
            return
        if self._watch.adopt(device, snapshot):
            self._has_learned.add(device)

    async def _hear(self, bus: Bus) -> None:
        """Read what is left. Who reads too slowly misses some of it, and then reads all last values once more."""
        while True:
            async with bus.subscribe(f"state/{self._group}/#", start=Start.LAST_VALUES) as frames:
                await frames.wait_open()
                self._opened.set()
                async for frame in frames.deliveries():
                    if frame.missed_frames:
                        break
                    await self._take_frame(frame)

    async def _take_frame(self, frame: FrameIn) -> None:
        device = device_of(frame.topic)
        try:
            contents = [message.content for message in frame.messages()]
        except DecodeError as error:
            log.warning("state skipped", extra={"topic": frame.topic, "reason": str(error)})
            return
        for content in contents:
            if device is not None:
                self._was_left(device, content)
            elif frame.topic == f"state/{self._group}":
                async with self._marks:
                    self._mark = content.decode(errors="replace")
                    self._marks.notify_all()

    def _was_left(self, device: DeviceId, content: bytes) -> None:
        if f'"member":"{self.member}"'.encode() in content[:200]:
            return
        if device in self.held:
            self._contested.add(device)
        self._left.pop(device, None)
        self._left[device] = content
        if len(self._left) > DEVICES_MAX:
            del self._left[next(iter(self._left))]
