"""Workers that share jobs: each job to one of them, what fails again later, what fails too often put aside."""

import asyncio
import contextlib
import os
import sys

from fieldline import Message, Redelivery, Runtime

HUB = os.environ.get("FIELDLINE_HUB", "127.0.0.1:50051")


async def do(message: Message) -> None:
    """One job. What is raised here has the job tried again."""
    if message.text == "impossible":
        raise ValueError("nobody can do that")
    print(f"{message.key}: {message.text}", flush=True)


async def work(name: str) -> None:
    """Work until Ctrl-C."""
    redelivery = Redelivery(ack_wait_s=30, deliveries_max=3, backoff_s=(0.2, 1.0))
    async with Runtime(HUB, name=name, connect_timeout_s=5) as runtime:
        await runtime.subscribe("jobs/#", do, group="workers", redelivery=redelivery, on_error="nack")
        await asyncio.Event().wait()


async def order(jobs: list[str]) -> None:
    """Publish jobs; those for one machine (the key) are done in order, by one worker at a time."""
    async with Runtime(HUB, name="foreman", connect_timeout_s=5) as runtime:
        for job in jobs:
            machine, what = job.split(":", 1)
            await runtime.publish("jobs/repairs", what, key=machine)
        await runtime.flush()


with contextlib.suppress(KeyboardInterrupt):
    if sys.argv[1] == "order":
        asyncio.run(order(sys.argv[2:]))
    else:
        asyncio.run(work(sys.argv[1]))
