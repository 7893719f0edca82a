"""What a task says: known braces only, cut to what a task may carry, the alert's words as text."""

from dataclasses import replace

import pytest

from fieldline.wire.plant import encode_task
from fieldline_cloud.agents.maintenance.templates import Template, check_text
from tests.unit.cloud.agents.maintenance.workshop import AMIRA, alert, configured, workshop


@pytest.mark.parametrize("text", ["{nothing}", "{device.site}", "{device!r}", "{device:>9}", "{", "{}", "{0}"])
def test_a_template_with_unknown_braces_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"known|brace"):
        check_text(text)


def test_braces_in_the_alert_itself_are_only_text() -> None:
    said = replace(alert(), message="{device.__class__} {")
    _, instructions = Template("T", "{message}!", ("x",)).fill(said)
    assert instructions == "{device.__class__} {!"


def test_long_texts_are_cut_to_what_a_task_may_carry() -> None:
    more = (
        'templates: {bearing_wear: {title: "{message}{message}", instructions: "'
        + "{message}" * 20
        + '", skill: bearings}}'
    )
    shop = workshop(configured(AMIRA, more))
    shop.take(replace(alert(), message="ü" * 500))
    assert encode_task(shop.task)


def test_a_checklist_stands_below_the_instructions() -> None:
    _, instructions = Template("T", "Do it.", ("x",), checklist=("Lock out {device}", "Grease")).fill(alert())
    assert instructions == "Do it.\n[ ] Lock out pump-2\n[ ] Grease"


def test_a_task_takes_all_skills_of_its_template_from_one_person() -> None:
    people = AMIRA + "  - {name: Kim, skills: [bearings, crane], shift: {start: '06:00', end: '06:00'}}\n"
    more = "templates: {bearing_wear: {title: T, skills: [bearings, crane], work_min: 30}}"
    shop = workshop(configured(people, more))
    shop.take(alert())
    assert (shop.task.technician, shop.task.skill, shop.task.skills) == ("Kim", "bearings", ("bearings", "crane"))
    assert shop.task.work_s == 1_800
