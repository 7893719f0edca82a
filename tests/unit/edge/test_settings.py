import time
from pathlib import Path

import pytest

from fieldline.config import load, loads
from fieldline.errors import ConfigError
from fieldline_edge.settings import GatewaySettings, split_address

HEAD = """\
kind: gateway
name: gateway-1
site: demo
hub: 127.0.0.1:50051
spool: {path: spool.db}
"""
DEVICE = "  - {driver: modbus, name: %s, area: hall, host: 127.0.0.1, tags: [{name: t, address: 0, type: int16}]}\n"


def problems_of(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, GatewaySettings, name="g.yaml")
    return list(caught.value.problems)


def test_a_small_file_gets_the_documented_defaults() -> None:
    settings = loads(HEAD + "devices:\n" + DEVICE % "pump", GatewaySettings, name="g.yaml")

    assert settings.batch.linger_ms == 250
    assert settings.batch.readings_max == 1000
    assert settings.spool.bytes_max == 256 << 20
    assert settings.metrics is None
    assert str(settings.devices[0].device_id(settings.site)) == "demo/hall/pump"


def test_the_shipped_example_is_right() -> None:
    settings = load(Path("config/gateway.yaml"), GatewaySettings, environment={})

    assert [device.driver for device in settings.devices] == ["modbus"]


def test_a_device_that_stands_twice_is_refused_with_both_places() -> None:
    text = HEAD + "devices:\n" + DEVICE % "pump" + DEVICE % "fan" + DEVICE % "pump"

    assert problems_of(text) == [
        "g.yaml:9: devices[2].name: 'pump' in area 'hall' is already devices[0]; give devices[2] another name or area"
    ]


def test_metrics_that_others_can_reach_must_be_asked_for() -> None:
    text = HEAD + "metrics: {listen: '0.0.0.0:9465'}\ndevices:\n" + DEVICE % "pump"

    (problem,) = problems_of(text)

    assert problem.startswith("g.yaml:6: metrics: listen: '0.0.0.0:9465' can be reached by other machines; ")
    assert "allow_remote: true" in problem
    allowed = text.replace("9465'}", "9465', allow_remote: true}")
    assert loads(allowed, GatewaySettings, name="g.yaml").metrics is not None


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("hub: localhost", "write host:port"),
        ("name: 'a b'", "1 to 64 of the characters"),
        ("shutdown_drain_s: -1", "greater than or equal to 0"),
        ("spool: {path: a.db, when_full: panic}", "drop_oldest"),
        ("batch: {linger: 5}", "did you mean 'linger_ms'?"),
    ],
)
def test_a_wrong_line_is_named_with_its_cure(line: str, hint: str) -> None:
    key = line.partition(":")[0]
    kept = "".join(row for row in HEAD.splitlines(keepends=True) if not row.startswith(f"{key}:"))

    (problem,) = problems_of(f"{kept}{line}\ndevices:\n{DEVICE % 'pump'}")

    assert key in problem
    assert hint in problem


def test_a_gateway_without_devices_is_refused() -> None:
    (problem,) = problems_of(HEAD + "devices: []\n")

    assert problem == "g.yaml:6: devices: is empty; add at least one device"


@pytest.mark.parametrize(
    ("options", "wrong", "key"),
    [
        ("", "type: int17", ".type"),
        (", scale: 0.1, invalid: [0x8000]", "type: int16, map: {0: stopped, x: running}", ".map.x"),
        (", map: {0: stopped, 1: running}", "type: string, length_bytes: 7, length_registers: 4", ""),
    ],
)
def test_one_wrong_tag_among_ten_thousand_is_found_in_two_seconds(options: str, wrong: str, key: str) -> None:
    tags = [f"      - {{name: t{n}, address: {n}, type: int16{options}}}\n" for n in range(10_000)]
    tags[7_777] = f"      - {{name: t7777, address: 7777, {wrong}}}\n"
    head = "devices:\n  - driver: modbus\n    name: big\n    area: hall\n    host: 127.0.0.1\n    tags:\n"

    started = time.process_time()
    (problem,) = problems_of(HEAD + head + "".join(tags))
    took_s = time.process_time() - started

    assert problem.startswith(f"g.yaml:7789: devices[0].tags[7777]{key}:")
    assert took_s < 2.0 * 3  # the promise is 2 s; a busy machine gets three times that


@pytest.mark.parametrize(
    ("text", "pair"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:0", ("::1", 0)), ("hub.lan:65535", ("hub.lan", 65535))],
)
def test_an_address_is_a_host_and_a_port(text: str, pair: tuple[str, int]) -> None:
    assert split_address(text) == pair


@pytest.mark.parametrize("text", ["", ":1", "a", "a:", "a:b", "a:65536", "a:-1", "a:²"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write host:port"):
        split_address(text)


def test_devices_that_would_throw_each_other_out_of_a_broker_are_named() -> None:
    text = "kind: gateway\nname: g\nsite: s\nhub: h:1\nspool: {path: s.db}\ndevices:\n"
    mqtt = "  - {driver: mqtt, name: %s, area: a, topic: t, tags: [{name: t, path: $.t}], broker: {host: h, %s}}\n"
    same_id = text + mqtt % ("x", "client_id: gw") + mqtt % ("y", "client_id: gw, keepalive_s: 60")
    host = "  - {driver: sparkplug, name: %s, area: a, group: g, broker: {host: h}, host_id: %s}\n"
    two_hosts = text + host % ("x", "one") + host % ("y", "two")

    with pytest.raises(ConfigError, match=r"devices\[1\].broker: 'y' and 'x' .* client_id 'gw' with other"):
        loads(same_id, GatewaySettings, name="g.yaml")
    with pytest.raises(ConfigError, match="host_id 'two' and 'one'"):
        loads(two_hosts, GatewaySettings, name="g.yaml")
