"""Somebody who does nothing wrong: publishes, and subscribes with a durable, on a connection of its own."""

from typing import Self

from tests.integration.cloud.harness import Client, frame

TOPIC = "bystander/t"


class Bystander:
    """Shows that the hub serves it; whatever others do, it must go on."""

    def __init__(self, where: str, *, client: Client | None = None, name: str = "bystander") -> None:
        self._client = client or Client(where)
        self._name = name
        self.sent = 0
        self.got: list[int] = []

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        self._publisher, self._subscriber = self._client.publisher(), self._client.subscriber()
        await self._publisher.greet(self._name)
        await self._subscriber.open(TOPIC, durable=self._name)
        await self.is_served()
        return self

    async def __aexit__(self, *error: object) -> None:
        if error[:1] == (None,):
            await self.is_served()
        await self._client.__aexit__()

    async def is_served(self) -> None:
        """Publish one frame more, and see it acknowledged, delivered once and in order."""
        self.sent += 1
        await self._publisher.publish(frame(self.sent, TOPIC))
        await self._publisher.acked(self.sent)
        [delivery] = await self._subscriber.take(1)
        await self._subscriber.taken(1)
        await self._subscriber.ack(delivery.offset)
        self.got.append(delivery.frame.sequence)
        assert self.got == list(range(1, self.sent + 1))
