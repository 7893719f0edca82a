"""The picture of the demo."""

import io

from rich.console import Console

from fieldline.model import Reading, TaskState
from fieldline_cloud.demo.ledger import Ledger
from fieldline_cloud.demo.story import Story
from fieldline_cloud.demo.view import render
from tests.unit.cloud.demo.test_story import ALERT, BEGAN_NS, HOUR_NS, told


def picture(story: Story) -> str:
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(render(Ledger(), {}, story, elapsed_s=3.0, now_s=3.0, mill_now_ns=BEGAN_NS + 120 * HOUR_NS))
    return console.export_text()


def test_it_tells_the_story_of_the_mill_and_what_day_it_is_there() -> None:
    text = picture(told(TaskState.VERIFIED))

    assert "time lapse: the mill, Sat 10 Jan 00:00" in text
    assert "3.2 days before it would fail" in text
    assert "verified: the signal has stayed normal since" in text


def test_until_then_it_says_how_long_the_bearing_has_left() -> None:
    assert "remaining life of its bearing: 3.0 days" in picture(told(TaskState.ACCEPTED))
    assert "remaining life" not in picture(told(TaskState.DONE))


def test_before_anything_has_happened_there_is_a_picture_as_well() -> None:
    assert "none: the plant is well" in picture(Story("mill/hall-c/pump-7"))


def test_a_device_has_one_line_and_what_an_alert_is_about_comes_first_in_it() -> None:
    ledger, device = Ledger(), str(ALERT.device)
    ledger.last[device] = {f"tag_{number}": Reading(f"tag_{number}", 1, 1.0) for number in range(30)}
    ledger.last[device][ALERT.tag] = Reading(ALERT.tag, 1, 7.25)
    ledger.note_alert(ALERT)
    console = Console(width=120, record=True, file=io.StringIO())

    console.print(render(ledger, {}, Story(device), elapsed_s=3.0, now_s=3.0, mill_now_ns=BEGAN_NS))

    (line,) = (line for line in console.export_text().splitlines() if "tag_0" in line)
    assert f"{device}  {ALERT.tag} 7.25  tag_0 1.00" in line
    assert "…" in line
