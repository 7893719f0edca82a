"""Which processes the demo starts, in which order, with which ports and environment."""

import socket
import sys
from dataclasses import dataclass
from pathlib import Path

from fieldline.scaled_clock import ScaledClock

__all__ = ["DEFAULT_PORTS", "MILL_SCALE", "MILL_START_NS", "Child", "Plan", "choose_ports", "nats_config", "plan"]

DEFAULT_PORTS = {
    "FIELDLINE_HUB_PORT": 50051,
    "FIELDLINE_HUB_METRICS_PORT": 9464,
    "FIELDLINE_EDGE_METRICS_PORT": 9465,
    "PLANT_MODBUS_PORT": 5020,
    "PLANT_MQTT_PORT": 1883,
    "MILL_CONTROL_PORT": 5021,
    "MILL_EDGE_METRICS_PORT": 9466,
}
MILL_SCALE = 14_400.0
"""How many seconds pass at the mill in one: half a shift, four hours."""
MILL_START_NS = 1_767_592_800_000_000_000
"""Where the time of the mill begins: Monday, 5 January 2026, 06:00 UTC."""


@dataclass(frozen=True, slots=True)
class Child:
    """One process: its name, its command, and the port that answers once it is ready (None: ready at once)."""

    name: str
    command: tuple[str, ...]
    port: int | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """All processes in starting order, and what they find in their environment."""

    children: tuple[Child, ...]
    environment: dict[str, str]
    hub: str
    spools: tuple[Path, ...]
    truth: Path
    edge_metrics: str
    mill_truth: Path
    mill_clock: ScaledClock
    mill_control_port: int


def choose_ports() -> dict[str, int]:
    """The usual ports where they are free, any free ones where they are not."""
    ports: dict[str, int] = {}
    held = []
    try:
        for name, usual in DEFAULT_PORTS.items():
            listener = _bind(usual) or _bind(0)
            assert listener is not None
            held.append(listener)
            ports[name] = listener.getsockname()[1]
    finally:
        for listener in held:
            listener.close()
    return ports


def _bind(port: int) -> socket.socket | None:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError:
        listener.close()
        return None
    return listener


def nats_config(port: int, data: Path) -> str:
    """A NATS server that is nothing but an MQTT 3.1.1 broker on loopback."""
    return (
        'server_name: "plant"\nlisten: "127.0.0.1:-1"\n'
        f'jetstream {{ store_dir: "{data}" }}\nmqtt {{ listen: "127.0.0.1:{port}" }}\n'
    )


def plan(config: Path, data: Path, ports: dict[str, int], broker: str, *, now_ns: int) -> Plan:
    """The demo with its configuration in `config` and everything it writes below `data`, begun at `now_ns`."""
    hub = f"127.0.0.1:{ports['FIELDLINE_HUB_PORT']}"
    truth, mill, mill_truth = data / "truth.jsonl", config / "mill", data / "mill-truth.jsonl"
    clock = ScaledClock(now_ns, MILL_START_NS, MILL_SCALE)
    environment = {name: str(port) for name, port in ports.items()}
    environment |= {"FIELDLINE_HUB": hub, "FIELDLINE_DATA": str(data), "FIELDLINE_CLOCK": str(clock)}

    def fieldline(*words: object) -> tuple[str, ...]:
        return (sys.executable, "-m", "fieldline.cli", *map(str, words))

    def gateway(file: Path) -> tuple[str, ...]:
        return (sys.executable, "-m", "fieldline_edge.cli", "run", str(file))

    children = (
        Child("mqtt-broker", (broker, "-c", str(data / "nats.conf")), ports["PLANT_MQTT_PORT"]),
        Child("hub", fieldline("hub", config / "hub.yaml"), ports["FIELDLINE_HUB_PORT"]),
        Child("anomaly", fieldline("agent", "anomaly", config / "anomaly.yaml")),
        Child("maintenance", fieldline("agent", "maintenance", config / "maintenance.yaml")),
        Child("mill-anomaly", fieldline("agent", "anomaly", mill / "anomaly.yaml")),
        Child("mill-prognosis", fieldline("agent", "prognosis", mill / "prognosis.yaml")),
        Child("mill-maintenance", fieldline("agent", "maintenance", mill / "maintenance.yaml")),
        Child("mill-edge", gateway(mill / "gateway.yaml"), ports["MILL_EDGE_METRICS_PORT"]),
        # The plants as late as can be, for their time begins to pass at once.
        Child(
            "mill-plant",
            fieldline("simulate", mill / "plant.yaml", "--truth", mill_truth),
            ports["MILL_CONTROL_PORT"],
        ),
        Child(
            "plant",
            fieldline("simulate", config / "plant.yaml", "--truth", truth),
            ports["PLANT_MODBUS_PORT"],
        ),
        Child("edge", gateway(config / "gateway.yaml"), ports["FIELDLINE_EDGE_METRICS_PORT"]),
    )
    return Plan(
        children=children,
        environment=environment,
        hub=hub,
        spools=(data / "gateway-1" / "spool.db", data / "gateway-mill" / "spool.db"),
        truth=truth,
        edge_metrics=f"http://127.0.0.1:{ports['FIELDLINE_EDGE_METRICS_PORT']}/metrics",
        mill_truth=mill_truth,
        mill_clock=clock,
        mill_control_port=ports["MILL_CONTROL_PORT"],
    )
