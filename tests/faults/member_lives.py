"""Lives of a member of a group, for `spawner`: each line on stdin is the address of the hub, its name, its journal.

What it does stands in the journal before it is done, and survives its death: one line each, the monotonic clock in ns.

    life  <ns> 0 - <pid>
    start <ns> <offset> <key> <text>
    ack | nack | give_up <ns> <offset> <key> <text>
    end   <ns> <offset> <key> <text>
"""

import asyncio
import os
import random
import signal
import time
from pathlib import Path

from fieldline import Delivery, Redelivery, Runtime, Start
from tests.faults.spawner import serve

__all__ = ["DELIVERIES_MAX", "FILTER", "GROUP", "WINDOW_FRAMES", "main"]

GROUP = "workers"
FILTER = "jobs/#"
DELIVERIES_MAX = 5
WINDOW_FRAMES = 4
_REDELIVERY = Redelivery(ack_wait_s=20, deliveries_max=DELIVERIES_MAX, backoff_s=(0.0, 0.02, 0.05))
_WORK_S_MAX = 0.006


def main() -> None:
    """Serve until stdin ends."""
    serve(lambda line: asyncio.run(_work(*line.split())))


class _Journal:
    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)

    def note(self, what: str, offset: int = 0, key: str = "", text: str = "") -> None:
        os.write(self._fd, f"{what} {time.monotonic_ns()} {offset} {key or '-'} {text}\n".encode())


async def _work(address: str, name: str, path: str) -> None:
    journal = _Journal(Path(path))
    journal.note("life", text=str(os.getpid()))
    chance = random.Random(os.getpid())
    async with (
        Runtime(address, name=name) as runtime,
        runtime.subscribe(
            FILTER,
            group=GROUP,
            start=Start.EARLIEST,
            ack="manual",
            redelivery=_REDELIVERY,
            frames_max=WINDOW_FRAMES,
        ) as deliveries,
    ):
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, lambda: loop.create_task(deliveries.close()))
        print("working", flush=True)
        async for delivery in deliveries.deliveries():
            await _handle(delivery, journal, chance)


async def _handle(delivery: Delivery, journal: _Journal, chance: random.Random) -> None:
    (message,) = delivery.messages()
    about = delivery.offset, delivery.key, message.text
    journal.note("start", *about)
    await asyncio.sleep(chance.uniform(0, _WORK_S_MAX))
    dice = chance.random()
    if dice < 0.75:
        journal.note("ack", *about)
        delivery.ack()
    elif dice < 0.98:
        journal.note("nack", *about)
        delivery.nack(reason="not now", delay_s=chance.choice([None, 0.0, 0.03]))
    else:
        journal.note("give_up", *about)
        delivery.nack(reason="never", give_up=True)
    journal.note("end", *about)


if __name__ == "__main__":
    main()
