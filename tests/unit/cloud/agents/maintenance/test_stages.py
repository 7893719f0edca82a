"""From alert to task: joining, pulling in, giving out, clearing."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from fieldline.model import Alert, AlertState, DeviceId, Severity, TaskState, task_id
from fieldline.wire.plant import ALERT_IDS_MAX, encode_task
from fieldline_cloud.agents.maintenance.assign import Bench, Technician
from fieldline_cloud.agents.maintenance.book import Book, Changes
from fieldline_cloud.agents.maintenance.shifts import Shift
from fieldline_cloud.agents.maintenance.stages import NOBODY, OpenTask, Policy, handle
from fieldline_cloud.agents.maintenance.templates import Template, Templates, check_text
from tests.unit.cloud.agents.doubles import PUMP

H = 3_600 * 1_000_000_000
MONDAY_8 = int(datetime(2026, 3, 2, 8, tzinfo=UTC).timestamp()) * 1_000_000_000
WEEKDAYS = frozenset(range(5))
EARLY, LATE = Shift(WEEKDAYS, 360, 840), Shift(WEEKDAYS, 840, 1320)
AMIRA = Technician("Amira", frozenset({"bearings"}), (EARLY,))
LUCA = Technician("Luca", frozenset({"bearings"}), (LATE,))
ZOE = Technician("Zoe", frozenset({"bearings"}), (EARLY,))
JONAS = Technician("Jonas", frozenset({"electrical", "inspection"}), (EARLY,))


def policy(*technicians: Technician) -> Policy:
    return Policy(
        templates=Templates(
            {"bearing_wear": Template("Check {device}", "{message}!", "bearings")},
            Template("Inspect {device}: {cause}", "{message}", "inspection"),
        ),
        due_ns={Severity.CRITICAL: 4 * H, Severity.WARNING: 24 * H, Severity.INFO: 168 * H},
        bench=Bench(technicians or (AMIRA, LUCA, JONAS), UTC),
    )


def alert(
    rule: str = "range_hi",
    severity: Severity = Severity.WARNING,
    *,
    raised_at_ns: int = MONDAY_8,
    cause: str = "bearing_wear",
    device: DeviceId = PUMP,
) -> Alert:
    return Alert(device, "vibration", rule, cause, severity, AlertState.RAISED, raised_at_ns, "too high")


def cleared(raised: Alert) -> Alert:
    return replace(raised, state=AlertState.CLEARED, cleared_at_ns=raised.raised_at_ns + H)


def run(*alerts: Alert, rules: Policy | None = None, now_ns: int = MONDAY_8) -> OpenTask:
    current: OpenTask | None = None
    for each in alerts:
        current = handle(each, current, rules or policy(), {}, now_ns) or current
    assert current is not None
    return current


def test_an_alert_opens_a_task_for_somebody_at_work() -> None:
    task = run(alert()).task
    assert task.id == task_id(alert().id, "bearing_wear")
    assert (task.state, task.technician, task.revision) == (TaskState.ASSIGNED, "Amira", 1)
    assert (task.title, task.instructions, task.skill) == ("Check pump-2", "too high!", "bearings")
    assert task.due_at_ns == MONDAY_8 + 24 * H
    assert task.alert_ids == (alert().id,)


def test_a_second_alert_of_the_same_cause_joins_the_task() -> None:
    task = run(alert(), alert("rate")).task
    assert task.alert_ids == (alert().id, alert("rate").id)
    assert (task.revision, task.due_at_ns) == (2, MONDAY_8 + 24 * H)


def test_a_worse_alert_pulls_the_due_date_in_and_a_milder_one_does_not_push_it_out() -> None:
    worse = alert("range_hi_hi", Severity.CRITICAL)
    task = run(alert(), worse, alert("rate", Severity.INFO)).task
    assert (task.severity, task.due_at_ns, task.revision) == (Severity.CRITICAL, MONDAY_8 + 4 * H, 3)


def test_a_worse_alert_never_gives_more_time_than_there_was() -> None:
    first = run(alert())
    later_ns = MONDAY_8 + 23 * H
    following = handle(alert("range_hi_hi", Severity.CRITICAL), first, policy(), {}, later_ns)
    assert following is not None
    assert following.task.due_at_ns == MONDAY_8 + 24 * H


def test_the_condition_has_cleared_when_the_last_alert_has() -> None:
    first, second = alert(), alert("range_hi_hi", Severity.CRITICAL)
    half = run(first, second, cleared(second))
    whole = run(first, second, cleared(second), cleared(first))
    assert (half.task.condition_cleared, half.task.revision) == (False, 2)
    assert (whole.task.condition_cleared, whole.task.revision) == (True, 3)
    assert whole.task.state is TaskState.ASSIGNED


def test_a_relapse_takes_the_all_clear_back() -> None:
    again = alert(raised_at_ns=MONDAY_8 + H)
    task = run(alert(), cleared(alert()), again).task
    assert (task.condition_cleared, task.revision, len(task.alert_ids)) == (False, 3, 2)


def test_the_all_clear_of_an_older_raising_does_not_clear_a_newer_one() -> None:
    again = alert(raised_at_ns=MONDAY_8 + H)
    assert not run(alert(), again, cleared(alert())).task.condition_cleared


def test_an_all_clear_without_a_task_changes_nothing() -> None:
    assert handle(cleared(alert()), None, policy(), {}, MONDAY_8) is None


def test_an_unknown_cause_gets_the_default_template() -> None:
    task = run(alert(cause="gremlins")).task
    assert (task.title, task.technician) == ("Inspect pump-2: gremlins", "Jonas")


def test_a_task_nobody_can_do_stays_open_and_says_so() -> None:
    task = run(alert(), rules=policy(JONAS)).task
    assert (task.state, task.technician) == (TaskState.OPEN, "")
    assert task.instructions == NOBODY + "too high!"


def test_a_task_nobody_could_do_goes_to_the_first_who_can() -> None:
    stuck = run(alert(), rules=policy(JONAS))
    following = handle(alert("rate"), stuck, policy(AMIRA), {}, MONDAY_8)
    assert following is not None
    assert (following.task.state, following.task.technician) == (TaskState.ASSIGNED, "Amira")
    assert following.task.instructions == "too high!"


def test_work_stays_with_whoever_is_in_time() -> None:
    first = run(alert())
    following = handle(alert("rate"), first, policy(AMIRA, ZOE), {"Amira": 9}, MONDAY_8)
    assert following is not None
    assert following.task.technician == "Amira"


def test_work_that_became_urgent_goes_to_whoever_is_in_time() -> None:
    evening_ns = MONDAY_8 + 7 * H  # 15:00, Amira is gone until tomorrow at six
    first = OpenTask(replace(run(alert()).task, technician="Amira", due_at_ns=evening_ns + 20 * H))
    following = handle(alert("range_hi_hi", Severity.CRITICAL), first, policy(), {}, evening_ns)
    assert following is not None
    assert following.task.technician == "Luca"


@pytest.mark.parametrize(
    ("hours", "due_h", "load", "expected"),
    [
        (0, 24, {}, "Amira"),  # at work, with Zoe: by name
        (0, 24, {"Amira": 1}, "Zoe"),  # fewest open tasks
        (0, 24, {"Amira": 1, "Zoe": 1}, "Amira"),
        (7, 24, {"Luca": 5}, "Luca"),  # at work beats idle
        (15, 4, {"Amira": 1}, "Zoe"),  # 23:00, nobody: the soonest, though too late
    ],
)
def test_who_gets_the_work(hours: int, due_h: int, load: dict[str, int], expected: str) -> None:
    now_ns = MONDAY_8 + hours * H
    bench = Bench((ZOE, LUCA, AMIRA), UTC)
    assert bench.choose("bearings", load, now_ns=now_ns, due_ns=now_ns + due_h * H) == expected


def test_the_list_of_alerts_keeps_the_first_and_the_newest() -> None:
    alerts = [alert(raised_at_ns=MONDAY_8 + number) for number in range(400)]
    task = run(*alerts).task
    assert len(task.alert_ids) == ALERT_IDS_MAX
    assert (task.alert_ids[0], task.alert_ids[-1]) == (alerts[0].id, alerts[-1].id)
    assert encode_task(task)


def test_long_texts_are_cut_to_what_a_task_may_carry() -> None:
    long = Template("{message}" * 2, "{message}" * 20, "bearings")
    rules = replace(policy(JONAS), templates=Templates({}, long))
    assert encode_task(run(replace(alert(), message="ü" * 500), rules=rules).task)


@pytest.mark.parametrize("text", ["{nothing}", "{device.site}", "{device!r}", "{device:>9}", "{", "{}", "{0}"])
def test_a_template_with_unknown_braces_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"known|brace"):
        check_text(text)


def test_braces_in_the_alert_itself_are_only_text() -> None:
    task = run(replace(alert(), message="{device.__class__} {")).task
    assert task.instructions == "{device.__class__} {!"


def test_the_book_knows_what_it_has_dealt_with() -> None:
    book, changes = Book(policy(), open_tasks_max=10), Changes()
    for each in (alert(), alert(), cleared(alert()), cleared(alert())):
        book.take(each, changes, MONDAY_8)
    assert [current.task.revision for current in changes.revisions] == [1, 2]
    assert book.stats.alerts_repeated == 2


def test_a_done_task_does_not_swallow_new_alerts() -> None:
    done = OpenTask(replace(run(alert()).task, state=TaskState.DONE))
    book, changes = Book(policy(), open_tasks_max=10, tasks=[done]), Changes()
    again = alert(raised_at_ns=MONDAY_8 + H)
    task = book.take(again, changes, MONDAY_8)
    assert task is not None
    assert (task.task.id != done.task.id, task.task.revision) == (True, 1)


def test_work_is_spread_over_those_who_are_there() -> None:
    book, changes = Book(policy(AMIRA, ZOE), open_tasks_max=100), Changes()
    for number in range(10):
        book.take(alert(device=DeviceId("demo", "hall-a", f"pump-{number}")), changes, MONDAY_8)
    assert Counter(current.task.technician for current in book.open) == {"Amira": 5, "Zoe": 5}


def test_more_open_tasks_than_allowed_are_refused_and_may_come_later() -> None:
    book, changes = Book(policy(), open_tasks_max=1), Changes()
    book.take(alert(), changes, MONDAY_8)
    assert book.take(alert("stale", cause="other"), changes, MONDAY_8) is None
    assert book.take(alert("rate"), changes, MONDAY_8) is not None
    assert (book.stats.alerts_refused, len(changes.handled)) == (1, 2)


def test_a_technician_who_left_hands_over_at_the_next_start() -> None:
    current = run(alert(), rules=policy(AMIRA))
    book = Book(policy(ZOE), open_tasks_max=10, tasks=[current])
    (following,) = book.reassess(MONDAY_8).revisions
    assert (following.task.technician, following.task.revision) == ("Zoe", 2)
    assert book.reassess(MONDAY_8).revisions == []
