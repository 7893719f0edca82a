"""One agent that knows how fast the pumps run, and one that asks it."""

import asyncio
import contextlib
import os
import sys

from fieldline import NoReceiver, Request, RequestFailed, RequestTimeout, Runtime

HUB = os.environ.get("FIELDLINE_HUB", "127.0.0.1:50051")
SPEEDS = {"pump-1": 2950, "pump-2": 2610}


async def answer(request: Request) -> str:
    """The reply. What is raised here is told to the one who asks."""
    if request.text not in SPEEDS:
        raise LookupError(f"no pump of that name: {request.text}")
    return f"{SPEEDS[request.text]} 1/min"


async def serve() -> None:
    """Answer until Ctrl-C."""
    async with Runtime(HUB, name="pump-expert", connect_timeout_s=5) as runtime:
        await runtime.respond("ask/pumps/speed", answer)
        await asyncio.Event().wait()


async def ask(pump: str) -> str:
    """What the expert says, in at most two seconds."""
    async with Runtime(HUB, name="curious", connect_timeout_s=5) as runtime:
        try:
            reply = await runtime.request("ask/pumps/speed", pump, timeout_s=2)
        except NoReceiver:
            return "nobody knows about pumps; start this program without an argument in another terminal"
        except RequestTimeout:
            return "somebody should know, and has not said it in time"
        except RequestFailed as error:
            return f"{error.by} cannot say: {error.reason}"
        return f"{reply.by} says: {reply.text}"


with contextlib.suppress(KeyboardInterrupt):
    if len(sys.argv) > 1:
        print(asyncio.run(ask(sys.argv[1])))
    else:
        asyncio.run(serve())
