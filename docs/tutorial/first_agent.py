"""Notes every pump that shakes: readings in, a message out."""

import asyncio
import contextlib
import os

from fieldline import Runtime

HUB = os.environ.get("FIELDLINE_HUB", "127.0.0.1:50051")


async def main() -> None:
    """Run until Ctrl-C."""
    async with (
        Runtime(HUB, name="first-agent", connect_timeout_s=5) as runtime,
        runtime.subscribe("readings/+/+/+", durable="first-agent") as frames,
    ):
        async for frame in frames.deliveries():
            for reading in frame.readings():
                if reading.tag != "vibration" or not reading.quality.is_good:
                    continue
                if isinstance(reading.value, float) and reading.value > 4.5:
                    note = f"{frame.topic} shakes: {reading.value} mm/s"
                    await runtime.publish(frame.topic.replace("readings/", "notes/", 1), note, stored=True)


with contextlib.suppress(KeyboardInterrupt):
    asyncio.run(main())
