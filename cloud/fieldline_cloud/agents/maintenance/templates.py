"""What a task says and takes: a template per cause, with the alert's own words filled in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Final

from fieldline.model import Alert, Part
from fieldline.wire.plant import MESSAGE_BYTES_MAX, TEXT_BYTES_MAX
from fieldline_cloud.agents.maintenance.work import cut

__all__ = ["FIELDS", "Template", "Templates", "check_text"]

FIELDS: Final = ("area", "cause", "device", "message", "site", "tag")
"""What may stand in braces in a title, in instructions and in a checklist."""


def check_text(text: str) -> str:
    """Return `text` if its braces hold nothing but known fields; raise ValueError otherwise."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"{text[:80]!r} has a brace without its partner ({error}); double it to print one") from error
    for _, field, spec, conversion in parts:
        if field is not None and (field not in FIELDS or spec or conversion):
            raise ValueError(f"{{{field}}} is not known here; use {', '.join(f'{{{known}}}' for known in FIELDS)}")
    return text


@dataclass(frozen=True, slots=True)
class Template:
    """The text of a task, the skills, time and parts it takes, and how long the machine stands for it."""

    title: str
    instructions: str
    skills: tuple[str, ...]
    """All of one technician; the first one names the trade."""
    work_s: int = 3_600
    downtime_s: int = 0
    parts: tuple[Part, ...] = ()
    checklist: tuple[str, ...] = ()

    def fill(self, alert: Alert) -> tuple[str, str]:
        """Title and instructions for this alert, cut to what a task may carry."""
        values = {
            "area": alert.device.area,
            "cause": alert.cause,
            "device": alert.device.device,
            "message": alert.message,
            "site": alert.device.site,
            "tag": alert.tag,
        }
        title = cut(self.title.format_map(values), MESSAGE_BYTES_MAX)
        lines = [self.instructions, *(f"[ ] {line}" for line in self.checklist)]
        return title, cut("\n".join(line.format_map(values) for line in lines), TEXT_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Templates:
    """A template per cause, and one for causes nobody has described."""

    by_cause: Mapping[str, Template]
    default: Template

    def for_cause(self, cause: str) -> Template:
        """The template for this cause."""
        return self.by_cause.get(cause, self.default)
