"""Where a running plant takes commands, and how a command is sent there: lines of JSON over TCP, on loopback only."""

import asyncio
import json
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from fieldline.errors import FieldlineError
from fieldline_edge.drivers.simulator.control import LINE_BYTES_MAX, obey
from fieldline_edge.drivers.simulator.plant import Plant

__all__ = ["ControlServer", "send_command"]

_CLIENTS_MAX = 16
_TIMEOUT_S = 5.0
_ANSWER_BYTES_MAX = 1 << 24


class ControlServer:
    """Takes commands for `plant`. An async context manager; `port` is the real one."""

    def __init__(self, host: str, port: int, plant: Plant) -> None:
        self.host = host
        self.port = port
        self._plant = plant
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        """Listen; FieldlineError with the cure if that cannot be."""
        try:
            self._server = await asyncio.start_server(self._serve, self.host, self.port, limit=LINE_BYTES_MAX)
        except OSError as error:
            place = f"cannot take commands on {self.host}:{self.port}"
            raise FieldlineError(f"{place}: {error.strerror or error}; set another address in control:") from error
        self.port = int(self._server.sockets[0].getsockname()[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close; clients are cut off."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._clients):
                writer.transport.abort()
            await self._server.wait_closed()
            while self._clients:  # noqa: ASYNC110 - each leaves in a turn of the loop, and none waits for anything
                await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._clients) >= _CLIENTS_MAX:
            writer.close()
            return
        self._clients.add(writer)
        try:
            while line := await reader.readline():
                writer.write(json.dumps(obey(self._plant, line)).encode() + b"\n")
                await writer.drain()
        except ValueError:  # readline: the line is longer than the limit
            told = {"ok": False, "error": f"a command has at most {LINE_BYTES_MAX} bytes"}
            writer.write(json.dumps(told).encode() + b"\n")
        except ConnectionError:
            pass  # the client is gone, which is its right
        finally:
            self._clients.discard(writer)
            writer.close()


def send_command(host: str, port: int, command: Mapping[str, Any]) -> dict[str, Any]:
    """Send one command to a running plant and wait for its answer; FieldlineError if there is none, or if it is no."""
    place = f"{host}:{port}"
    try:
        with socket.create_connection((host, port), timeout=_TIMEOUT_S) as link:
            link.sendall(json.dumps(command).encode() + b"\n")
            with link.makefile("rb") as file:
                answer = json.loads(file.readline(_ANSWER_BYTES_MAX) or b"null")
    except (OSError, ValueError) as error:
        cure = "start the plant with --control, or control: in its file, and give that address"
        raise FieldlineError(f"no plant takes commands on {place}: {error}; {cure}") from error
    if not isinstance(answer, dict) or not answer.get("ok"):
        reason = answer.get("error") if isinstance(answer, dict) else "it hung up"
        raise FieldlineError(f"the plant on {place} refuses: {reason}")
    return answer
