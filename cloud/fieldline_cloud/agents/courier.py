"""Carries an agent's outbox to the hub beside everything else the agent does: topic by topic in order."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

from fieldline_cloud.agents.bus import Bus
from fieldline_cloud.agents.outbox import Outgoing, publish

__all__ = ["Courier", "OutboxStore"]

_BATCH = 256


class OutboxStore(Protocol):
    """A store with an outbox."""

    async def waiting(self, count_max: int) -> Sequence[Outgoing]:
        """What is not yet known to be with the hub, oldest first."""

    async def sent(self, up_to_id: int) -> None:
        """Everything up to this id is with the hub."""


class Courier:
    """Publishes what is in the outbox and strikes it off; the outbox on disk is its only queue."""

    def __init__(self, bus: Bus, store: OutboxStore) -> None:
        self._bus = bus
        self._store = store
        self._posted = asyncio.Event()
        self._posted.set()  # what a former run has left
        self._moved = asyncio.Condition()
        self._empty = asyncio.Event()
        self.through = 0
        """Everything up to this id is with the hub."""

    def wake(self) -> None:
        """There is something in the outbox."""
        self._empty.clear()
        self._posted.set()

    async def until_empty(self) -> None:
        """Return once nothing is left, also of a former run."""
        await self._empty.wait()

    async def until(self, id_: int) -> None:
        """Return once everything up to this id is with the hub."""
        async with self._moved:
            await self._moved.wait_for(lambda: self.through >= id_)

    async def run(self) -> None:
        """Until cancelled. Raises StorageError, HubError."""
        while True:
            await self._posted.wait()
            self._posted.clear()
            while messages := await self._store.waiting(_BATCH):
                await self._publish(messages)
                last_id = messages[-1].id
                await self._store.sent(last_id)
                async with self._moved:
                    self.through = last_id
                    self._moved.notify_all()
            if not self._posted.is_set():
                self._empty.set()

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        """All of them, each stored by the hub before the next of its topic; topics do not wait for each other."""
        by_topic: dict[str, list[Outgoing]] = {}
        for message in messages:
            by_topic.setdefault(message.topic, []).append(message)
        async with asyncio.TaskGroup() as group:
            for batch in by_topic.values():
                group.create_task(publish(self._bus, batch))
