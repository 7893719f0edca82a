"""Addresses, and /metrics and /healthz of any process."""

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator

import pytest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from fieldline.errors import ConfigError
from fieldline.observe import MetricsServer, is_loopback, scrape, split_address


class Numbers(Collector):
    def collect(self) -> Iterable[Metric]:
        by_quality = CounterMetricFamily("test_readings", "Readings.", labels=["quality"])
        by_quality.add_metric(["good"], 5)
        by_quality.add_metric(["bad"], 2)
        return [by_quality, GaugeMetricFamily("test_backlog", "Frames.", 3)]


class Watched:
    def __init__(self) -> None:
        self.ok = True
        self.server = MetricsServer("127.0.0.1:0", Numbers(), lambda: {"ok": self.ok, "devices": 2})

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.server.port}{path}", timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()


@pytest.fixture
def watched() -> Iterator[Watched]:
    watched = Watched()
    yield watched
    watched.server.close()


@pytest.mark.parametrize(
    ("text", "pair"),
    [("127.0.0.1:1", ("127.0.0.1", 1)), ("[::1]:0", ("::1", 0)), ("hub.lan:65535", ("hub.lan", 65535))],
)
def test_an_address_is_a_host_and_a_port(text: str, pair: tuple[str, int]) -> None:
    assert split_address(text, "listen") == pair


@pytest.mark.parametrize("text", ["", ":1", "a", "a:", "a:b", "a:65536", "a:-1", "a:²", "a:٣", "a: 1"])
def test_what_is_no_address_is_refused_with_a_right_one(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^listen: .* is not an address; write it like 127\.0\.0\.1:50051$"):
        split_address(text, "listen")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_alone_reaches_loopback(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "127.example.org", "127.0.0.1.example.org", "", "*"])
def test_a_name_that_only_begins_like_loopback_is_not_trusted(host: str) -> None:
    assert not is_loopback(host)


def test_numbers_are_read_when_somebody_asks(watched: Watched) -> None:
    status, page = watched.get("/metrics")

    assert status == 200
    assert 'test_readings_total{quality="good"} 5.0' in page


def test_scrape_sums_over_labels(watched: Watched) -> None:
    found = scrape(f"http://127.0.0.1:{watched.server.port}/metrics")

    assert found == {"test_readings_total": 7.0, "test_backlog": 3.0}


def test_health_is_json_and_its_status_says_whether_all_is_well(watched: Watched) -> None:
    assert watched.get("/healthz") == (200, '{"ok": true, "devices": 2}\n')

    watched.ok = False

    status, page = watched.get("/healthz")
    assert (status, json.loads(page)["ok"]) == (503, False)


def test_any_other_page_says_what_to_try(watched: Watched) -> None:
    assert watched.get("/") == (404, "try /metrics or /healthz\n")


def test_after_close_nobody_answers() -> None:
    watched = Watched()
    watched.server.close()

    assert scrape(f"http://127.0.0.1:{watched.server.port}/metrics") == {}


def test_a_port_that_is_taken_is_named_with_its_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"

        with pytest.raises(ConfigError, match=f"metrics: cannot listen on {address}: .*; choose another port"):
            MetricsServer(address, Numbers(), lambda: {"ok": True})


def test_a_page_that_is_no_metrics_page_gives_nothing() -> None:
    assert scrape("http://127.0.0.1:1/metrics") == {}
    assert scrape("no address at all") == {}
