"""A Sparkplug B node with one device, made with pysparkplug; run by an interpreter that has it. Obeys lines on stdin.

Usage: sparkplug_device.py PORT. Lines: `node VALUE`, `device VALUE`, `skip` (a message gets lost), `goodbye`.
"""

import sys
import time
from collections.abc import Callable
from typing import Any

import pysparkplug as spb


def metric(name: str, value: Any, datatype: Any = spb.DataType.DOUBLE) -> Any:
    return spb.Metric(timestamp=int(time.time() * 1000), name=name, datatype=datatype, value=value)


class Client(spb.Client):  # type: ignore[misc]  # not installed where this is checked
    """Keeps what publishes the births, because the library has no answer to a rebirth request."""

    birth: Callable[[Any], None]

    def connect(self, *args: Any, callback: Callable[[Any], None], **options: Any) -> None:
        self.birth = callback

        def connected(client: Any) -> None:
            callback(client)
            node._setup_will = lambda: None  # a rebirth keeps bdSeq
            print("born", flush=True)

        super().connect(*args, callback=connected, **options)


def command(_node: Any, message: Any) -> None:
    if any(each.name == "Node Control/Rebirth" and each.value for each in message.payload.metrics):
        time.sleep(0.01)
        client.birth(client)
        print("reborn", flush=True)


client = Client(client_id="node-1")
node = spb.EdgeNode(
    "plant-1",
    "press line",
    [metric("Temp", 20.0), metric("Count", 7, spb.DataType.INT32)],
    client=client,
    cmd_callback=command,
)
node.register(spb.Device("pump/1".replace("/", "-"), [metric("Motor/Speed", 1500.0)]))
node.connect("127.0.0.1", port=int(sys.argv[1]))
for line in sys.stdin:
    word, *rest = line.split()
    if word == "node":
        node.update([metric("Temp", float(rest[0]))])
    elif word == "device":
        node.update_device("pump-1", [metric("Motor/Speed", float(rest[0]))])
    elif word == "skip":
        assert node._seq >= 0  # taking a number and sending nothing is a lost message
    elif word == "goodbye":
        node.disconnect()
        break
