"""Rooms that decide do no I/O, wait for nothing and ask no clock: their tests hand in bytes and times."""

import ast
import re
from pathlib import Path

import pytest

from tests.tidy.tree import PACKAGES, ROOT, python_files, text_of

PURE = [
    "protos/fieldline/access.py",
    "protos/fieldline/access_settings.py",
    "protos/fieldline/addresses.py",
    "protos/fieldline/agent.py",
    "protos/fieldline/looking_after.py",
    "protos/fieldline/errors.py",
    "protos/fieldline/headers.py",
    "protos/fieldline/limits.py",
    "protos/fieldline/model.py",
    "protos/fieldline/partitions.py",
    "protos/fieldline/scaled_clock.py",
    "protos/fieldline/topics.py",
    "protos/fieldline/_config_problems.py",
    "protos/fieldline/_config_yaml.py",
    "protos/fieldline/cli/text.py",
    "protos/fieldline/client/acks.py",
    "protos/fieldline/client/backoff.py",
    "protos/fieldline/client/batch.py",
    "protos/fieldline/client/coalescing.py",
    "protos/fieldline/client/content.py",
    "protos/fieldline/client/message.py",
    "protos/fieldline/client/outbox.py",
    "protos/fieldline/client/questions.py",
    "protos/fieldline/client/receipts.py",
    "protos/fieldline/client/spread.py",
    "protos/fieldline/client/volatile.py",
    "protos/fieldline/detectors/*.py",
    "protos/fieldline/wire/*.py",
    "edge/fieldline_edge/batcher.py",
    "edge/fieldline_edge/clock/restamp.py",
    "edge/fieldline_edge/clock/spans.py",
    "edge/fieldline_edge/clock/watch.py",
    "edge/fieldline_edge/commands/desk.py",
    "edge/fieldline_edge/commands/order.py",
    "edge/fieldline_edge/commands/settings.py",
    "edge/fieldline_edge/commissioning/guess.py",
    "edge/fieldline_edge/commissioning/landmarks.py",
    "edge/fieldline_edge/commissioning/looking.py",
    "edge/fieldline_edge/commissioning/ranges.py",
    "edge/fieldline_edge/commissioning/recognise.py",
    "edge/fieldline_edge/commissioning/report.py",
    "edge/fieldline_edge/commissioning/where.py",
    "edge/fieldline_edge/framing.py",
    "edge/fieldline_edge/reload/plan.py",
    "edge/fieldline_edge/reload/watch.py",
    "edge/fieldline_edge/service/health.py",
    "edge/fieldline_edge/service/watchdog.py",
    "edge/fieldline_edge/settings.py",
    "edge/fieldline_edge/drivers/backoff.py",
    "edge/fieldline_edge/drivers/scaling.py",
    "edge/fieldline_edge/drivers/settings.py",
    "edge/fieldline_edge/drivers/modbus/columns.py",
    "edge/fieldline_edge/drivers/modbus/group.py",
    "edge/fieldline_edge/drivers/modbus/encoding.py",
    "edge/fieldline_edge/drivers/modbus/health.py",
    "edge/fieldline_edge/drivers/modbus/line.py",
    "edge/fieldline_edge/drivers/modbus/line_settings.py",
    "edge/fieldline_edge/drivers/modbus/patience.py",
    "edge/fieldline_edge/drivers/modbus/plan.py",
    "edge/fieldline_edge/drivers/modbus/protocol/*.py",
    "edge/fieldline_edge/drivers/modbus/refusals.py",
    "edge/fieldline_edge/drivers/modbus/registers.py",
    "edge/fieldline_edge/drivers/modbus/schedule.py",
    "edge/fieldline_edge/drivers/modbus/settings.py",
    "edge/fieldline_edge/drivers/modbus/tag_settings.py",
    "edge/fieldline_edge/drivers/modbus/values.py",
    "edge/fieldline_edge/drivers/mqtt/broker_settings.py",
    "edge/fieldline_edge/drivers/modbus/write_settings.py",
    "edge/fieldline_edge/drivers/mqtt/extract.py",
    "edge/fieldline_edge/drivers/mqtt/formats/*.py",
    "edge/fieldline_edge/drivers/mqtt/ledger.py",
    "edge/fieldline_edge/drivers/mqtt/payload_route.py",
    "edge/fieldline_edge/drivers/mqtt/routes.py",
    "edge/fieldline_edge/drivers/mqtt/settings.py",
    "edge/fieldline_edge/drivers/simulator/answers.py",
    "edge/fieldline_edge/drivers/simulator/bank.py",
    "edge/fieldline_edge/drivers/simulator/blueprint.py",
    "edge/fieldline_edge/drivers/simulator/calendar.py",
    "edge/fieldline_edge/drivers/simulator/calendar_settings.py",
    "edge/fieldline_edge/drivers/simulator/campaign.py",
    "edge/fieldline_edge/drivers/simulator/control.py",
    "edge/fieldline_edge/drivers/simulator/custom.py",
    "edge/fieldline_edge/drivers/simulator/fault_settings.py",
    "edge/fieldline_edge/drivers/mqtt/sparkplug/node.py",
    "edge/fieldline_edge/drivers/mqtt/sparkplug/payload.py",
    "edge/fieldline_edge/drivers/mqtt/sparkplug/route.py",
    "edge/fieldline_edge/drivers/mqtt/sparkplug/settings.py",
    "edge/fieldline_edge/drivers/mqtt/topics.py",
    "edge/fieldline_edge/drivers/simulator/faults.py",
    "edge/fieldline_edge/drivers/simulator/framing.py",
    "edge/fieldline_edge/drivers/simulator/kinds.py",
    "edge/fieldline_edge/drivers/simulator/machine.py",
    "edge/fieldline_edge/drivers/simulator/machine_settings.py",
    "edge/fieldline_edge/drivers/simulator/machines.py",
    "edge/fieldline_edge/drivers/simulator/plant.py",
    "edge/fieldline_edge/drivers/simulator/noise.py",
    "edge/fieldline_edge/drivers/simulator/record.py",
    "edge/fieldline_edge/drivers/simulator/registers.py",
    "edge/fieldline_edge/drivers/simulator/serving_settings.py",
    "edge/fieldline_edge/drivers/simulator/settings.py",
    "edge/fieldline_edge/drivers/simulator/signal_settings.py",
    "edge/fieldline_edge/drivers/simulator/signals.py",
    "edge/fieldline_edge/spool/backlog_file.py",
    "edge/fieldline_edge/spool/bounds.py",
    "edge/fieldline_edge/spool/chunks.py",
    "edge/fieldline_edge/spool/lanes.py",
    "edge/fieldline_edge/processing/alarms.py",
    "edge/fieldline_edge/processing/anomaly.py",
    "edge/fieldline_edge/processing/anomaly_settings.py",
    "edge/fieldline_edge/processing/build.py",
    "edge/fieldline_edge/processing/checks.py",
    "edge/fieldline_edge/processing/deadband.py",
    "edge/fieldline_edge/processing/derived.py",
    "edge/fieldline_edge/processing/door.py",
    "edge/fieldline_edge/processing/limiter.py",
    "edge/fieldline_edge/processing/names.py",
    "edge/fieldline_edge/processing/pipeline.py",
    "edge/fieldline_edge/processing/settings.py",
    "edge/fieldline_edge/processing/stage.py",
    "edge/fieldline_edge/processing/waveform/*.py",
    "edge/fieldline_edge/processing/waveform_settings.py",
    "edge/fieldline_edge/processing/window.py",
    "edge/fieldline_edge/processing/expressions/*.py",
    "edge/fieldline_edge/drivers/simulator/trace.py",
    "edge/fieldline_edge/drivers/simulator/truth.py",
    "edge/fieldline_edge/drivers/simulator/vibration.py",
    "edge/fieldline_edge/profiles/expand.py",
    "edge/fieldline_edge/profiles/requests.py",
    "edge/fieldline_edge/profiles/settings.py",
    "edge/fieldline_edge/spool/policy.py",
    "edge/fieldline_edge/spool/progress.py",
    "edge/fieldline_edge/spool/rate.py",
    "edge/fieldline_edge/spool/recent.py",
    "edge/fieldline_edge/spool/rolling.py",
    "cloud/fieldline_cloud/hub/core/*.py",
    "cloud/fieldline_cloud/hub/engines/base.py",
    "cloud/fieldline_cloud/hub/engines/segments/chunk.py",
    "cloud/fieldline_cloud/hub/engines/segments/floors.py",
    "cloud/fieldline_cloud/hub/engines/segments/index.py",
    "cloud/fieldline_cloud/hub/engines/segments/retention.py",
    "cloud/fieldline_cloud/hub/engines/segments/state.py",
    "cloud/fieldline_cloud/hub/engines/segments/tally.py",
    "cloud/fieldline_cloud/hub/reports.py",
    "cloud/fieldline_cloud/hub/settings.py",
    "cloud/fieldline_cloud/agents/anomaly/alarms/*.py",
    "cloud/fieldline_cloud/agents/anomaly/detector_desk.py",
    "cloud/fieldline_cloud/agents/agent_settings.py",
    "cloud/fieldline_cloud/agents/anomaly/finding.py",
    "cloud/fieldline_cloud/agents/anomaly/handed_over.py",
    "cloud/fieldline_cloud/agents/anomaly/learn_settings.py",
    "cloud/fieldline_cloud/agents/anomaly/learned/*.py",
    "cloud/fieldline_cloud/agents/anomaly/matching.py",
    "cloud/fieldline_cloud/agents/anomaly/monitor.py",
    "cloud/fieldline_cloud/agents/anomaly/rule_settings.py",
    "cloud/fieldline_cloud/agents/anomaly/zone_settings.py",
    "cloud/fieldline_cloud/agents/anomaly/rules/*.py",
    "cloud/fieldline_cloud/agents/anomaly/settings.py",
    "cloud/fieldline_cloud/agents/anomaly/state.py",
    "cloud/fieldline_cloud/agents/anomaly/stats.py",
    "cloud/fieldline_cloud/agents/anomaly/suppression.py",
    "cloud/fieldline_cloud/agents/anomaly/tag.py",
    "cloud/fieldline_cloud/agents/anomaly/watch.py",
    "cloud/fieldline_cloud/agents/tag_pattern.py",
    "cloud/fieldline_cloud/agents/maintenance/book.py",
    "cloud/fieldline_cloud/agents/maintenance/calendar.py",
    "cloud/fieldline_cloud/agents/maintenance/crew.py",
    "cloud/fieldline_cloud/agents/maintenance/desk.py",
    "cloud/fieldline_cloud/agents/maintenance/escalation.py",
    "cloud/fieldline_cloud/agents/maintenance/inhibit.py",
    "cloud/fieldline_cloud/agents/maintenance/lifecycle.py",
    "cloud/fieldline_cloud/agents/maintenance/machines.py",
    "cloud/fieldline_cloud/agents/maintenance/nightly.py",
    "cloud/fieldline_cloud/agents/maintenance/notices.py",
    "cloud/fieldline_cloud/agents/maintenance/notify/message.py",
    "cloud/fieldline_cloud/agents/maintenance/notify/pace.py",
    "cloud/fieldline_cloud/agents/maintenance/notify/routes.py",
    "cloud/fieldline_cloud/agents/maintenance/notify/settings.py",
    "cloud/fieldline_cloud/agents/maintenance/orders.py",
    "cloud/fieldline_cloud/agents/maintenance/people_settings.py",
    "cloud/fieldline_cloud/agents/maintenance/plan_settings.py",
    "cloud/fieldline_cloud/agents/maintenance/planboard.py",
    "cloud/fieldline_cloud/agents/maintenance/priority.py",
    "cloud/fieldline_cloud/agents/maintenance/reserving.py",
    "cloud/fieldline_cloud/agents/maintenance/settings.py",
    "cloud/fieldline_cloud/agents/maintenance/shifts.py",
    "cloud/fieldline_cloud/agents/maintenance/stages.py",
    "cloud/fieldline_cloud/agents/maintenance/stock.py",
    "cloud/fieldline_cloud/agents/maintenance/templates.py",
    "cloud/fieldline_cloud/agents/maintenance/timeline.py",
    "cloud/fieldline_cloud/agents/maintenance/upkeep.py",
    "cloud/fieldline_cloud/agents/maintenance/views.py",
    "cloud/fieldline_cloud/agents/maintenance/work.py",
    "cloud/fieldline_cloud/agents/maintenance/work_settings.py",
    "cloud/fieldline_cloud/planning/*.py",
    "cloud/fieldline_cloud/planning/search/*.py",
    "cloud/fieldline_cloud/detectors/*.py",
    "cloud/fieldline_cloud/agents/prognosis/forecaster.py",
    "cloud/fieldline_cloud/agents/prognosis/machines.py",
    "cloud/fieldline_cloud/agents/prognosis/settings.py",
    "cloud/fieldline_cloud/demo/ledger.py",
    "cloud/fieldline_cloud/demo/report.py",
    "cloud/fieldline_cloud/demo/story.py",
    "cloud/fieldline_cloud/demo/truth.py",
    "cloud/fieldline_cloud/demo/view.py",
    "cloud/fieldline_cloud/prognosis/degradation.py",
    "cloud/fieldline_cloud/prognosis/features.py",
    "cloud/fieldline_cloud/prognosis/histories.py",
    "cloud/fieldline_cloud/prognosis/indicator.py",
    "cloud/fieldline_cloud/prognosis/learned.py",
    "cloud/fieldline_cloud/prognosis/passage.py",
    "cloud/fieldline_cloud/prognosis/regression.py",
    "cloud/fieldline_cloud/prognosis/tags.py",
    "cloud/fieldline_cloud/prognosis/trend.py",
]

OUTSIDE = {
    "asyncio",
    "concurrent",
    "grpc",
    "http",
    "multiprocessing",
    "nats",
    "paho",
    "pymodbus",
    "select",
    "selectors",
    "serial",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
    "urllib",
}
ALLOWED = {
    # zstd's contexts are costly to make and not for two threads at once, so each thread keeps its own.
    ("protos/fieldline/wire/compression.py", "threading"),
}
_SHARED = r"random\.(?!Random)\w+"
CLOCKS = {"now", "utcnow", "today"}


def rooms() -> list[Path]:
    return sorted({path.relative_to(ROOT) for pattern in PURE for path in ROOT.glob(pattern)})


def imported(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return names


@pytest.mark.parametrize("pattern", PURE)
def test_every_room_on_the_list_is_there(pattern: str) -> None:
    assert list(ROOT.glob(pattern))


@pytest.mark.parametrize("room", rooms(), ids=str)
def test_a_pure_room_waits_for_nothing_and_touches_nothing_outside(room: Path) -> None:
    tree = ast.parse(text_of(room))
    shared_random = "random" in {
        alias.name for each in ast.walk(tree) if isinstance(each, ast.Import) for alias in each.names
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.AsyncFunctionDef | ast.Await | ast.AsyncFor | ast.AsyncWith):
            found.append(f"line {node.lineno}: async")
        elif (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("open", "print", "input")
        ):
            found.append(f"line {node.lineno}: {node.func.id}()")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            found.append(f"line {node.lineno}: asks the clock")
        elif shared_random and isinstance(node, ast.Attribute) and re.fullmatch(_SHARED, ast.unparse(node)):
            found.append(f"line {node.lineno}: {ast.unparse(node)} is shared state; hand in a random.Random")
    found += [
        f"imports {name}"
        for name in imported(tree)
        if name.split(".")[0] in OUTSIDE and (str(room), name) not in ALLOWED
    ]

    assert found == []


def test_pure_rooms_build_on_pure_rooms_alone() -> None:
    homes = {
        path: ".".join(path.with_suffix("").parts[1:]).removesuffix(".__init__") for path in python_files(*PACKAGES)
    }
    pure = {homes[room] for room in rooms()} | {"fieldline", "fieldline.config", "fieldline.v1"}
    packages = {name for path, name in homes.items() if path.name == "__init__.py"}

    found = [
        f"{room} imports {name}"
        for room in rooms()
        for name in sorted(imported(ast.parse(text_of(room))))
        if name in homes.values() and name not in pure | packages
    ]

    assert found == []
