"""What is wrong with the hub is said once, on `$sys/hub`, in the log and as a metric, and once when it is over."""

import datetime
import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from fieldline.testing import HubProcess
from fieldline.v1 import hub_pb2
from fieldline.wire.frames import open_messages
from fieldline_cloud.hub.watch import HUB_TOPIC
from tests.faults.support import ballast, hub_metrics, small_disk
from tests.integration.cloud.bystander import Bystander
from tests.integration.cloud.harness import Client, Subscriber, address, frame, running_hub, until
from tests.integration.cloud.secure import Pki, TlsClient, now, replace


async def next_event(subscriber: Subscriber) -> dict[str, Any]:
    [delivery] = await subscriber.read_on(1)
    contents, _ = open_messages(delivery.frame)
    event: dict[str, Any] = json.loads(contents[0])
    return event


async def test_a_full_disk_is_said_once_and_once_that_it_is_over(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", kib=2048) as disk:
        hub = HubProcess(disk / "hub", settings={"metrics": "127.0.0.1:0"})
        async with (
            hub,
            Client(hub.address) as client,
        ):
            events = client.subscriber()
            await events.open(HUB_TOPIC)
            with ballast(disk):
                publisher = client.publisher()
                await publisher.greet()
                await publisher.publish(*[frame(n, body=bytes(1 << 16)) for n in range(1, 33)])
                began = await next_event(events)
                assert (await publisher.refusal())[0] == "UNAVAILABLE"
                assert hub_metrics(hub)["condition"] == 1

            again = client.publisher()
            await again.greet()
            await again.publish(*[frame(n) for n in range(1, 3)])
            await again.acked(2)
            over = await next_event(events)

            assert (began["condition"], began["state"]) == ("log_not_writable", "began")
            assert "space" in began["detail"]
            assert (over["condition"], over["state"]) == ("log_not_writable", "over")
            assert hub_metrics(hub)["condition"] == 0


async def test_a_certificate_in_its_last_days_is_said_until_it_is_renewed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pki = Pki(tmp_path)
    hub_folder = pki.authority.issue_hub("short", ["127.0.0.1"], days=3, now=now())
    tls = {"certificate": str(hub_folder / "short.crt"), "key": str(hub_folder / "short.key")}
    async with (
        running_hub(tmp_path / "hub", tls=tls) as hub,
        TlsClient(address(hub), pki.only_ca()) as client,
    ):
        await until(lambda: hub.conditions.keys() == {"certificate_ends"})
        assert "the hub's certificate ends in" in caplog.text
        events = client.subscriber()
        await events.open(HUB_TOPIC)

        for kind in ("crt", "key"):
            replace(hub_folder / f"short.{kind}", (pki.hub / f"hub.{kind}").read_bytes())

        over = await next_event(events)
        assert (over["condition"], over["state"]) == ("certificate_ends", "over")
        assert hub.conditions == {}
        assert datetime.datetime.fromtimestamp(over["at_ms"] / 1000, datetime.UTC) <= now()


SHIM = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* The wall clock, and no other, goes by as many seconds as the file named in WALL_SHIFT says. */
static int (*real)(clockid_t, struct timespec *);
int clock_gettime(clockid_t id, struct timespec *ts) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, ts);
    if (id == CLOCK_REALTIME) {
        FILE *file = fopen(getenv("WALL_SHIFT"), "r");
        long shift = 0;
        if (file) { if (fscanf(file, "%ld", &shift) != 1) shift = 0; fclose(file); }
        ts->tv_sec += shift;
    }
    return result;
}
"""


@pytest.fixture
def shifted_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file: processes started now have a wall clock that is as many seconds off as it says, from then on."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("needs a C compiler: sets one process's wall clock")
    (tmp_path / "shim.c").write_text(SHIM)
    library = tmp_path / "shim.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, tmp_path / "shim.c", "-ldl"], check=True)
    shift = tmp_path / "shift"
    shift.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_SHIFT", str(shift))
    return shift


@pytest.mark.parametrize("shift_s", [-3_600, 3_600])
async def test_a_wall_clock_that_jumps_moves_no_timer_of_the_hub(
    shift_s: int, tmp_path: Path, shifted_clock: Path
) -> None:
    limits = {"hello_s_max": 2}
    settings = {"limits": limits, "metrics": "127.0.0.1:0", "retention": {"check_every_s": 0.2}}
    async with (
        HubProcess(tmp_path / "run", settings=settings) as hub,
        Bystander(hub.address) as other,
        Client(hub.address) as client,
    ):
        silent, reader = client.publisher(), client.subscriber()
        await reader.open("bystander/#", start=hub_pb2.Start(earliest=True))
        [before] = await reader.take(1)
        began_s = time.monotonic()

        shifted_clock.write_text(str(shift_s))

        await other.is_served()
        [delivery] = await reader.take(1)
        went_s = (delivery.stored_at_ms - before.stored_at_ms) / 1000
        assert went_s > 3_000 if shift_s > 0 else 0 <= went_s < 600, "forward with the clock, and never back"
        assert (await silent.refusal())[0] == "DEADLINE_EXCEEDED"
        waited_s = time.monotonic() - began_s
        assert 1.5 < waited_s < 10
        await other.is_served()
        assert hub_metrics(hub)["frames_trimmed_total"] == 0
