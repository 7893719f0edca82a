"""Mosquitto, QoS 1 on both sides, with paho.

Each message is acknowledged by the broker to the publisher and by the subscriber to the broker, 200 in flight on either
way. At least once while everybody stays connected. Nothing is on disk when it is acknowledged, and by default nothing
ever is: after a crash of the broker what it held is gone. It promises less than our hub does. Its defaults of 20 in
flight to a subscriber and 1,000 waiting would slow this run and drop most of it, so they are raised. The rate is mostly
that of paho, which is written in Python and sends and acknowledges messages one by one; the broker itself, in C, could
do more.
"""

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.contest import Absent
from benchmarks.harness import Worker, free_port, hear, say, wait_for_port
from benchmarks.hub.messages import check_in_order, expected, publishing

__all__ = ["broker", "path"]

_MODULE = "benchmarks.hub.peers.mosquitto"
_TOPIC = "bench/path"
_IN_FLIGHT = 200


@contextmanager
def broker() -> Iterator[int]:
    """The port of a fresh broker."""
    program = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if program is None:
        raise Absent("mosquitto is not installed; on Debian: sudo apt-get install mosquitto")
    port = free_port()
    lines = [
        f"listener {port} 127.0.0.1",
        f"user {getpass.getuser()}",  # started by root it would change to a user who may not read this folder
        "allow_anonymous true",
        f"max_inflight_messages {_IN_FLIGHT}",
        "max_queued_messages 0",
    ]
    with tempfile.TemporaryDirectory(prefix="mosquitto-bench-") as folder:
        config = Path(folder) / "mosquitto.conf"
        config.write_text("\n".join(lines) + "\n")
        command = [program, "-c", str(config)]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as broker:
            try:
                wait_for_port(port)
                yield port
            finally:
                broker.terminate()


def path(messages: int) -> dict[str, float]:
    """One publisher, one subscriber: messages acknowledged, and delivered, per second."""
    with (
        broker() as port,
        Worker(_MODULE, "subscribe", port, messages) as subscriber,
        Worker(_MODULE, "publish", port, messages) as publisher,
    ):
        subscriber.hear()
        publisher.hear()
        publisher.say(go=True)
        times, ended = publisher.hear(), subscriber.hear()["ended"]
    return {
        "acknowledged": messages / (times["acknowledged"] - times["began"]),
        "delivered": messages / (ended - times["began"]),
    }


def _client(name: str, port: str) -> Client:
    client = Client(CallbackAPIVersion.VERSION2, client_id=name)
    client.max_inflight_messages_set(_IN_FLIGHT)
    client.max_queued_messages_set(0)
    client.connect("127.0.0.1", int(port))
    return client


def _wait_until_connected(client: Client) -> None:
    while not client.is_connected():
        time.sleep(0.01)


def subscribe(port: str, count: str) -> None:
    """Take so many messages."""
    client = _client("subscriber", port)
    taken, wrong, wanted, done, ended = 0, 0, expected(), threading.Event(), 0.0

    def take(_: Client, __: Any, message: MQTTMessage) -> None:
        nonlocal taken, wrong, ended
        if message.payload != next(wanted):
            wrong += 1
        taken += 1
        if taken == int(count):
            ended = time.perf_counter()
            done.set()

    client.on_message = take
    client.on_subscribe = lambda *_: say(ready=True)
    client.loop_start()
    _wait_until_connected(client)
    client.subscribe(_TOPIC, qos=1)
    done.wait()
    time.sleep(0.25)
    check_in_order(taken, wrong, int(count))
    say(ended=ended)
    client.disconnect()
    client.loop_stop()


def publish(port: str, count: str) -> None:
    """Publish so many messages, a window in flight; paho holds the rest back."""
    client = _client("publisher", port)
    client.loop_start()
    _wait_until_connected(client)
    say(ready=True)
    hear()
    began = time.perf_counter()
    for content in publishing(int(count)):
        last = client.publish(_TOPIC, content, qos=1)
    last.wait_for_publish()  # the broker acknowledges in order
    say(began=began, acknowledged=time.perf_counter())
    client.disconnect()
    client.loop_stop()


ROLES: dict[str, Callable[..., None]] = {"subscribe": subscribe, "publish": publish}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
