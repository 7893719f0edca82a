"""What the databases of all agents have in common: an outbox, and that they are closed."""

from fieldline_cloud.agents import outbox
from fieldline_cloud.agents.database import Database

__all__ = ["AgentStore"]


class AgentStore:
    """An agent's database file; its schema holds `outbox.SCHEMA`. Methods raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def waiting(self, count_max: int = -1) -> list[outbox.Outgoing]:
        """What is not yet known to be with the hub, oldest first; at most `count_max` of it, -1: all."""
        return await self._database.run(lambda connection: outbox.waiting(connection, count_max))

    async def sent(self, up_to_id: int) -> None:
        """Everything in the outbox up to this id is with the hub."""
        await self._database.run(lambda connection: outbox.sent(connection, up_to_id))

    async def close(self) -> None:
        """Close the file."""
        await self._database.close()
