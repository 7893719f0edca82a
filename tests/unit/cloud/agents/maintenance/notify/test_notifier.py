"""Messages against a real HTTP server: signed, tried again, repeated until somebody answers, given up in the end."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from fieldline.errors import ConfigError
from fieldline.model import Severity
from fieldline_cloud.agents.maintenance.book import Changes, MaintenanceStats
from fieldline_cloud.agents.maintenance.notices import NoticeKind
from fieldline_cloud.agents.maintenance.notify.channels import (
    AppriseChannel,
    NotDelivered,
    WebhookChannel,
    build_channels,
)
from fieldline_cloud.agents.maintenance.notify.message import Delivery
from fieldline_cloud.agents.maintenance.notify.notifier import Notifier
from fieldline_cloud.agents.maintenance.notify.pace import Repeats
from fieldline_cloud.agents.maintenance.notify.settings import ChannelSettings
from fieldline_cloud.agents.maintenance.store import MaintenanceStore
from tests.unit.cloud.agents.maintenance.workshop import MINUTE, MONDAY_8, H

SECRET = "a secret that nobody knows"


@dataclass
class Receiver:
    """Takes messages, and answers with the statuses it was told, 200 after that."""

    url: str = ""
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((dict(self.headers), body))
            self.send_response(found.statuses.pop(0) if found.statuses else 200)
            self.send_header("Location", found.url)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}/hook"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def delivery(key: str = "t:1:assigned:Amira:0", severity: Severity = Severity.WARNING) -> Delivery:
    title, body = "A task for you", "Check the pump"
    return Delivery(key, "ops", MONDAY_8, NoticeKind.ASSIGNED, "t", "Amira", severity, title, body)


class Clock:
    now_ns = MONDAY_8

    def __call__(self) -> int:
        return self.now_ns


@dataclass
class Bench:
    """A notifier with its store, a clock that is set by hand, and a switch for whether messages are still wanted."""

    store: MaintenanceStore
    notifier: Notifier
    clock: Clock
    stats: MaintenanceStats
    unwanted: set[str]

    async def after(self, ns: int) -> int:
        self.clock.now_ns += ns
        return await self.notifier.round()


async def bench(folder: Path, url: str, *deliveries: Delivery, per_minute_max: int = 30) -> Bench:
    store, clock, stats, unwanted = await MaintenanceStore.open(folder), Clock(), MaintenanceStats(), set[str]()
    await store.save(Changes(), deliveries)
    notifier = Notifier(
        store,
        {"ops": WebhookChannel(url, SECRET, timeout_s=5)},
        Repeats(15 * MINUTE, 2.0, H, 2),
        stats,
        is_wanted=lambda one: one.task not in unwanted,
        per_minute_max=per_minute_max,
        attempts_max=3,
        now_ns=clock,
    )
    return Bench(store, notifier, clock, stats, unwanted)


async def closed(table: Bench) -> None:
    table.notifier.close()
    await table.store.close()


async def test_a_message_is_signed_so_that_its_receiver_can_tell_who_speaks(tmp_path: Path, receiver: Receiver) -> None:
    table = await bench(tmp_path, receiver.url, delivery())
    assert await table.after(0) == 1
    await closed(table)
    ((headers, body),) = receiver.got
    signed = headers["X-Fieldline-Timestamp"].encode() + b"." + body
    expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert headers["X-Fieldline-Signature"] == f"sha256={expected}"
    assert json.loads(body)["title"] == "A task for you"


async def test_a_message_that_is_not_taken_is_tried_again_later(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [503]
    table = await bench(tmp_path, receiver.url, delivery())
    counts = [await table.after(0), await table.after(MINUTE // 12), await table.after(MINUTE // 12)]
    await closed(table)
    assert (counts, len(receiver.got), table.stats.notices_sent) == ([1, 0, 1], 2, 1)


async def test_a_message_that_nobody_takes_is_given_up_and_counted(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500, 302, 404]
    table = await bench(tmp_path, receiver.url, delivery())
    for _ in range(5):
        await table.after(MINUTE)
    await closed(table)
    assert (len(receiver.got), table.stats.notices_failed) == (3, 1)


async def test_a_message_is_repeated_until_somebody_acknowledges(tmp_path: Path, receiver: Receiver) -> None:
    table = await bench(tmp_path, receiver.url, delivery())
    await table.after(0)
    await table.after(15 * MINUTE)
    table.unwanted.add("t")  # accepted
    await table.after(H)
    await closed(table)
    assert [json.loads(body)["round"] for _, body in receiver.got] == [0, 1]
    assert table.stats.notices_dropped == 1


async def test_a_message_that_is_known_is_not_sent_twice(tmp_path: Path, receiver: Receiver) -> None:
    table = await bench(tmp_path, receiver.url, delivery(), delivery())
    await table.store.save(Changes(), [delivery()])
    assert await table.after(0) == 1
    await table.store.save(Changes(), [delivery()])
    assert await table.after(0) == 0
    await closed(table)


async def test_more_than_so_many_in_a_minute_wait_and_the_worst_goes_first(tmp_path: Path, receiver: Receiver) -> None:
    two = (delivery("a:0"), delivery("b:0", Severity.CRITICAL))
    table = await bench(tmp_path, receiver.url, *two, per_minute_max=1)
    await table.after(0)
    first = [json.loads(body)["key"] for _, body in receiver.got]
    await table.after(MINUTE)
    await closed(table)
    assert first == ["b:0"]
    assert [json.loads(body)["key"] for _, body in receiver.got] == ["b:0", "a:0"]


async def test_what_waits_has_a_bound_and_the_worst_stay(tmp_path: Path, receiver: Receiver) -> None:
    table = await bench(tmp_path, receiver.url)
    many = [delivery(f"{number}:0") for number in range(20)] + [delivery("worst:0", Severity.CRITICAL)]
    await table.store.save(Changes(), many, waiting_max=5)
    assert await table.after(0) == 5
    await closed(table)
    assert "worst:0" in [json.loads(body)["key"] for _, body in receiver.got]


async def test_a_channel_that_is_no_longer_in_the_file_is_told_in_the_log(tmp_path: Path) -> None:
    table = await bench(tmp_path, "http://127.0.0.1:9", delivery())
    table.notifier._channels = {}
    await table.after(0)
    outcome = await table.store._database.run(
        lambda connection: connection.execute("SELECT outcome, said FROM deliveries").fetchone()
    )
    await closed(table)
    assert outcome == ("dropped", "the channel is not in the file any more")


async def test_a_test_says_why_nobody_was_reached(tmp_path: Path) -> None:
    table = await bench(tmp_path, "http://127.0.0.1:9")
    said = await table.notifier.test(delivery())
    await closed(table)
    assert said == "the receiver did not answer: URLError"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that Apprise's plug-ins import
def test_apprise_reaches_a_server(receiver: Receiver) -> None:
    pytest.importorskip("apprise")
    AppriseChannel(receiver.url.replace("http://", "json://")).send(delivery(), MONDAY_8)
    ((_, body),) = receiver.got
    assert json.loads(body)["title"] == "A task for you"


def test_a_missing_apprise_is_said_with_the_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apprise", None)
    with pytest.raises(NotDelivered, match=r"pip install 'fieldline\[notify\]'"):
        AppriseChannel("json://localhost").send(delivery(), MONDAY_8)


def test_a_secret_that_is_empty_is_refused_by_name() -> None:
    settings = {"ops": ChannelSettings.model_validate({"webhook": "http://x", "secret": ""})}
    with pytest.raises(ConfigError, match=r"notify\.channels\.ops\.secret: is empty"):
        build_channels(settings, timeout_s=1)
