"""Which processes, in which order, on which ports."""

import socket
from pathlib import Path

import pytest

from fieldline.scaled_clock import ScaledClock
from fieldline_cloud.demo.plan import DEFAULT_PORTS, MILL_SCALE, MILL_START_NS, Plan, choose_ports, nats_config, plan

NOW_NS = 1_790_000_000_000_000_000
CONFIGS = ("*.yaml", "mill/*.yaml")
PORTS = {name: 40_000 + number for number, name in enumerate(DEFAULT_PORTS)}


@pytest.fixture
def planned(tmp_path: Path) -> Plan:
    return plan(Path("/config"), tmp_path, PORTS, "/bin/nats-server", now_ns=NOW_NS)


def configurations() -> str:
    return "".join(path.read_text() for pattern in CONFIGS for path in Path("config/demo").glob(pattern))


def test_who_is_needed_starts_before_who_needs_it(planned: Plan) -> None:
    names = [child.name for child in planned.children]

    mill = ["mill-anomaly", "mill-prognosis", "mill-maintenance", "mill-edge", "mill-plant"]
    assert names == ["mqtt-broker", "hub", "anomaly", "maintenance", *mill, "plant", "edge"]


def test_the_children_find_their_ports_in_the_environment(planned: Plan, tmp_path: Path) -> None:
    assert planned.environment == {
        **{name: str(port) for name, port in PORTS.items()},
        "FIELDLINE_HUB": planned.hub,
        "FIELDLINE_DATA": str(tmp_path),
        "FIELDLINE_CLOCK": str(planned.mill_clock),
    }
    assert planned.hub == f"127.0.0.1:{PORTS['FIELDLINE_HUB_PORT']}"


def test_every_environment_variable_is_used_by_the_demo_configuration(planned: Plan) -> None:
    text = configurations()

    assert [name for name in planned.environment if f"${{{name}:-" not in text] == []


def test_the_usual_ports_are_those_of_the_demo_configuration() -> None:
    text = configurations()

    assert [name for name, port in DEFAULT_PORTS.items() if f"${{{name}:-{port}}}" not in text] == []


def test_everything_that_is_written_lies_below_the_data_folder(planned: Plan, tmp_path: Path) -> None:
    for path in (*planned.spools, planned.truth, planned.mill_truth):
        assert path.is_relative_to(tmp_path)


def test_the_clock_of_the_mill_begins_with_the_demo_on_a_monday_morning_and_a_shift_passes_in_a_second(
    planned: Plan,
) -> None:
    clock = planned.mill_clock

    assert clock == ScaledClock.parse(planned.environment["FIELDLINE_CLOCK"])
    assert clock.at(NOW_NS) == MILL_START_NS
    assert clock.at(NOW_NS + 10**9) - MILL_START_NS == MILL_SCALE * 10**9 == 4 * 3600 * 10**9


def test_ports_are_all_different_and_free() -> None:
    ports = choose_ports()

    assert list(ports) == list(DEFAULT_PORTS)
    assert len(set(ports.values())) == len(ports)
    for port in ports.values():
        with socket.create_server(("127.0.0.1", port)):
            pass


def test_a_port_that_is_taken_is_replaced_by_a_free_one() -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            other.bind(("127.0.0.1", DEFAULT_PORTS["PLANT_MODBUS_PORT"]))
            other.listen()
        except OSError:
            pass  # somebody else has it, which serves as well

        assert choose_ports()["PLANT_MODBUS_PORT"] != DEFAULT_PORTS["PLANT_MODBUS_PORT"]


def test_the_broker_speaks_mqtt_on_loopback_alone() -> None:
    text = nats_config(1884, Path("/data/nats"))

    assert 'mqtt { listen: "127.0.0.1:1884" }' in text
    assert 'listen: "127.0.0.1:-1"' in text
    assert 'store_dir: "/data/nats"' in text
