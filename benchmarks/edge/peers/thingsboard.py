"""ThingsBoard IoT Gateway 3.8.5, as pip brings it, with its MQTT going to a real Mosquitto.

It sends nothing before its platform has told it its limits: the counter beside the broker answers that there are none.

Its own defaults, but for what would reach beyond this machine: no remote configuration, and its call to an update
service meets a proxy that is not there. Storage is in memory (its default): it promises less than our spool. What it
would install by itself at its first start (pymodbus 3.9.2, pyserial) is there beforehand. Its pins exclude ours: it
lives in an environment of its own.
"""

import json
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

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from benchmarks.edge.footprint import REGISTERS, Footprint, plant
from benchmarks.environment import python_of
from benchmarks.harness import Worker, cpu_seconds, hear, rss_mib, say
from benchmarks.hub.peers.mosquitto import broker

__all__ = ["footprint"]

_MODULE = "benchmarks.edge.peers.thingsboard"
_WANTED = ("thingsboard-gateway==3.8.5", "pymodbus==3.9.2", "pyserial", "pyserial-asyncio", "setuptools<81")
_TOPIC = "v1/gateway/telemetry"
_ASKS, _ANSWERS = "v1/devices/me/rpc/request/", "v1/devices/me/rpc/response/"
_NO_LIMITS = {
    "maxPayloadSize": 65_536,
    "maxInflightMessages": 100,
    "rateLimits": {"messages": "0:0,", "telemetryMessages": "0:0,", "telemetryDataPoints": "0:0,"},
    "gatewayRateLimits": {"messages": "0:0,", "telemetryMessages": "0:0,", "telemetryDataPoints": "0:0,"},
}
_WARM_UP_S = 10.0


def footprint(devices: int, seconds: float) -> Footprint:
    """CPU, memory and readings/s of one gateway that polls so many devices, each register a tag of its own."""
    python = python_of("thingsboard", "3.8.5", *_WANTED)
    with (
        tempfile.TemporaryDirectory(prefix="thingsboard-bench-") as folder,
        plant(Path(folder), devices) as ports,
        broker() as port,
        Worker(_MODULE, "count", port) as counter,
        _gateway(python, Path(folder), ports, port) as pid,
    ):
        counter.hear()
        time.sleep(_WARM_UP_S)
        counter.say(now=True)
        before, cpu = counter.hear()["readings"], cpu_seconds(pid)
        time.sleep(seconds)
        cpu = cpu_seconds(pid) - cpu
        counter.say(now=True)
        readings = counter.hear()["readings"] - before
        if not readings:
            raise RuntimeError("the gateway brought no readings")
        return {"cpu_percent": cpu / seconds * 100, "resident_mib": rss_mib(pid), "readings_s": readings / seconds}


@contextmanager
def _gateway(python: Path, home: Path, ports: list[int], broker_port: int) -> Iterator[int]:
    """The process id of a gateway that polls these ports."""
    package = next(python.parent.parent.glob("lib/*/site-packages/thingsboard_gateway"))
    config = home / "config"
    config.mkdir()
    shutil.copy(package / "config" / "logs.json", config)
    _write(
        config / "tb_gateway.json",
        _service(json.loads((package / "config" / "tb_gateway.json").read_text()), broker_port),
    )
    _write(config / "modbus.json", {"master": {"slaves": [_slave(number, port) for number, port in enumerate(ports)]}})
    environment = {**os.environ, "TB_GW_CONFIG_DIR": str(config)}
    environment |= dict.fromkeys(("http_proxy", "https_proxy"), "http://127.0.0.1:9")
    with (
        (home / "output").open("wb") as output,
        subprocess.Popen(
            [str(python), "-m", "thingsboard_gateway.tb_gateway"],
            cwd=home,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process.pid
        finally:
            process.kill()  # it takes half a minute to end by itself


def _service(defaults: dict[str, object], broker_port: int) -> dict[str, object]:
    """Its own configuration, pointed at our broker."""
    thingsboard = defaults["thingsboard"]
    assert isinstance(thingsboard, dict)
    thingsboard |= {"host": "127.0.0.1", "port": broker_port, "remoteConfiguration": False}
    defaults["connectors"] = [{"type": "modbus", "name": "modbus", "configuration": "modbus.json"}]
    return defaults


def _slave(number: int, port: int) -> dict[str, object]:
    tags = [
        {"tag": f"r{register:02}", "type": "16uint", "functionCode": 3, "objectsCount": 1, "address": register}
        for register in range(REGISTERS)
    ]
    return {
        "host": "127.0.0.1",
        "port": port,
        "type": "tcp",
        "method": "socket",
        "unitId": 1,
        "deviceName": f"device-{number:03}",
        "timeout": 5,
        "byteOrder": "BIG",
        "wordOrder": "BIG",
        "pollPeriod": 1000,
        "timeseries": tags,
        "attributes": [],
    }


def _write(path: Path, content: object) -> None:
    path.write_text(json.dumps(content))


def count(port: str) -> None:
    """Count the values that arrive, and say how many whenever asked."""
    readings = 0
    client = Client(CallbackAPIVersion.VERSION2, client_id="counter")
    subscribed = threading.Event()

    def take(_: Client, __: object, message: MQTTMessage) -> None:
        nonlocal readings
        if message.topic.startswith(_ASKS):  # as the platform would: there are no limits
            client.publish(_ANSWERS + message.topic.removeprefix(_ASKS), json.dumps(_NO_LIMITS), qos=1)
            return
        for samples in json.loads(message.payload).values():
            readings += sum(len(sample["values"]) for sample in samples)

    client.on_message = take
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", int(port))
    client.subscribe([(_TOPIC, 1), (f"{_ASKS}+", 1)])
    client.loop_start()
    subscribed.wait()
    say(ready=True)
    while hear():
        say(readings=readings)


ROLES: dict[str, Callable[..., None]] = {"count": count}

if __name__ == "__main__":
    ROLES[sys.argv[1]](*sys.argv[2:])
