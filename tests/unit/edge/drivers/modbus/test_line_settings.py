"""The way to a device: what may be written, and what line comes of it."""

from pathlib import Path
from typing import Any

import pydantic
import pytest

from fieldline.config import loads
from fieldline.errors import ConfigError
from fieldline_edge.drivers.modbus.line import Framing, Line, Network, Parity, SerialPort, TlsFiles
from fieldline_edge.drivers.modbus.line_settings import LineSettings, disagreements
from fieldline_edge.settings import GatewaySettings

PORT = "/dev/ttyUSB0"


def settings(**given: Any) -> LineSettings:
    return LineSettings.model_validate(given)


@pytest.mark.parametrize(
    ("given", "line"),
    [
        pytest.param({"host": "plc"}, Line(Network("plc", 502), Framing.TCP), id="tcp"),
        pytest.param(
            {"host": "plc", "tls": {"ca": "ca.pem", "server_name": "plc-1"}},
            Line(Network("plc", 802, TlsFiles(Path("ca.pem"), None, None, "plc-1")), Framing.TCP),
            id="tls",
        ),
        pytest.param(
            {"host": "plc", "port": 4001, "framing": "rtu"},
            Line(Network("plc", 4001), Framing.RTU, quiet_s=0.5),
            id="rtu over tcp",
        ),
        pytest.param(
            {"serial": {"device": PORT}},
            Line(SerialPort(PORT), Framing.RTU, pause_s=3.5 * 10 / 9600, quiet_s=0.5),
            id="serial",
        ),
        pytest.param(
            {"serial": {"device": PORT, "baud": 19200, "parity": "even", "local_echo": True}, "quiet_ms": 80},
            Line(SerialPort(PORT, 19200, Parity.EVEN), Framing.RTU, 3.5 * 11 / 19200, 0.08, local_echo=True),
            id="serial of the standard",
        ),
        pytest.param(
            {"serial": {"device": PORT, "baud": 115_200, "data_bits": 7}, "framing": "ascii"},
            Line(SerialPort(PORT, 115_200, data_bits=7), Framing.ASCII, 0.001_75, 0.5),
            id="fast ascii",
        ),
        pytest.param(
            {"host": "plc", "pause_ms": 2.5, "quiet_ms": 20, "close_after_poll": True},
            Line(Network("plc", 502), Framing.TCP, 0.0025, 0.02, close_after_poll=True),
            id="pace",
        ),
        pytest.param(
            {"host": "PLC", "in_flight_max": 4},
            Line(Network("plc", 502), Framing.TCP, in_flight_max=4),
            id="pipelined",
        ),
    ],
)
def test_settings_come_down_to_a_line(given: dict[str, Any], line: Line) -> None:
    assert settings(**given).line == line


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, "exactly one"),
        ({"host": "plc", "serial": {"device": PORT}}, "exactly one"),
        ({"serial": {"device": PORT}, "port": 502}, "port: belongs to a host"),
        ({"serial": {"device": PORT}, "tls": {}}, "tls: belongs to a host"),
        ({"serial": {"device": PORT}, "framing": "tcp"}, "write rtu or ascii"),
        ({"serial": {"device": PORT, "data_bits": 7}}, "goes with framing ascii"),
        ({"serial": {"device": PORT, "parity": "mark"}}, "parity"),
        ({"serial": {"device": PORT, "stop_bits": 3}}, "stop_bits"),
        ({"host": "plc", "tls": {"key": "k.pem"}}, "go together"),
        ({"host": "plc", "tls": {}, "framing": "rtu"}, "does not go with tls"),
        ({"host": "plc", "framing": "rtu", "unit": 0}, "broadcasts"),
        ({"host": "plc", "framing": "rtu", "in_flight_max": 2}, "needs framing tcp"),
        ({"host": "plc", "pause_ms": 5, "in_flight_max": 2}, "does not go with several requests at once"),
    ],
)
def test_what_cannot_work_is_said_before_anything_starts(given: dict[str, Any], why: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=why):
        settings(**given)


@pytest.mark.parametrize(
    ("way", "shown", "key"),
    [
        (Network("plc-1", 502), "plc-1:502", "plc-1:502"),
        (SerialPort(PORT, 19200, Parity.EVEN), f"{PORT} 19200 8E1", PORT),
    ],
)
def test_a_line_is_shown_with_what_matters_and_known_by_its_port(
    way: Network | SerialPort, shown: str, key: str
) -> None:
    line = Line(way, Framing.RTU)
    assert (str(line), line.key) == (shown, key)


@pytest.mark.parametrize(
    ("other", "said"),
    [
        ({"serial": {"device": PORT, "baud": 19200}}, f"{PORT} 19200 8N1 and {PORT} 9600 8N1"),
        ({"serial": {"device": PORT, "local_echo": True}}, "serial.local_echo true and false"),
        ({"serial": {"device": PORT}, "framing": "ascii"}, "framing ascii and rtu"),
        ({"serial": {"device": PORT}, "pause_ms": 20}, "pause_ms 20 and 3.64583"),
        ({"serial": {"device": PORT}, "quiet_ms": 1}, "quiet_ms 1 and 500"),
    ],
)
def test_devices_on_one_line_must_agree_on_it(other: dict[str, Any], said: str) -> None:
    first = settings(serial={"device": PORT})
    assert list(disagreements([first, settings(host="plc"), settings(**other)])) == [(2, 0, said)]


def test_what_is_a_devices_own_need_not_be_the_same() -> None:
    devices = [settings(host="plc"), settings(host="PLC", unit=2, timeout_ms=50, retries=0, backoff_ms_max=500)]
    assert list(disagreements(devices)) == []


def test_the_gateway_file_names_both_devices_and_the_line_of_the_file() -> None:
    tags = "tags: [{name: t, address: 0, type: int16}]"
    text = f"""kind: gateway
name: g
site: s
hub: 127.0.0.1:50051
spool: {{path: spool.db}}
devices:
  - {{driver: modbus, name: meter, area: a, serial: {{device: {PORT}}}, {tags}}}
  - {{driver: modbus, name: drive, area: a, serial: {{device: {PORT}, parity: even}}, {tags}}}
"""
    with pytest.raises(ConfigError) as caught:
        loads(text, GatewaySettings, name="gateway.yaml")
    assert "gateway.yaml:8:" in str(caught.value)
    assert f"'drive' shares the line {PORT} with 'meter' (devices[0])" in str(caught.value)
    assert "9600 8E1 and /dev/ttyUSB0 9600 8N1; write the same in both" in str(caught.value)
