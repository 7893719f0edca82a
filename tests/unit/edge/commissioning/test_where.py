"""What the command line asks a scan to look at."""

import pytest

from fieldline.errors import ConfigError
from fieldline_edge.commissioning.where import hosts_of, network_place, numbers, serial_places


def test_numbers_are_lists_of_spans() -> None:
    assert numbers("1-3, 17,2", "--units", lowest=0, highest=255) == (1, 2, 3, 17)


@pytest.mark.parametrize("text", ["", "a", "3-1", "1-", "256", "-1", "1-4;6", "9" * 30])
def test_anything_else_is_refused_with_its_place(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--units: .* is not within 0-255"):
        numbers(text, "--units", lowest=0, highest=255)


def test_a_host_says_no_more_than_it_must() -> None:
    assert network_place("10.0.0.7", 502, None).way == ("host: 10.0.0.7",)
    assert network_place("10.0.0.7", 1502, "rtu").way == ("host: 10.0.0.7", "port: 1502", "framing: rtu")


def test_a_serial_port_is_tried_in_every_setting() -> None:
    tried = [place.settings.serial for place in serial_places("/dev/ttyUSB0", (9600, 19_200), ("none", "even"), None)]
    assert [(port.baud, port.parity.value) for port in tried if port] == [
        (9600, "none"),
        (9600, "even"),
        (19_200, "none"),
        (19_200, "even"),
    ]


def test_a_subnet_has_its_hosts_and_a_bound() -> None:
    assert hosts_of("192.168.1.7/30") == ["192.168.1.5", "192.168.1.6"]
    assert len(hosts_of("10.0.0.0/22")) == 1022
    for subnet in ("10.0.0.0/21", "my-net", "10.0.0.0/40"):
        with pytest.raises(ConfigError, match="--subnet"):
            hosts_of(subnet)
