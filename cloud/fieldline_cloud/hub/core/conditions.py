"""What is wrong with a hub at the moment: each thing is said once when it begins and once when it is over. Pure."""

from dataclasses import dataclass, field

__all__ = ["CERTIFICATE_ENDS", "CERTIFICATE_ENDS_S", "CONDITIONS", "LOG_NOT_WRITABLE", "Change", "Conditions", "ending"]

LOG_NOT_WRITABLE = "log_not_writable"
CERTIFICATE_ENDS = "certificate_ends"
CONDITIONS = (LOG_NOT_WRITABLE, CERTIFICATE_ENDS)

CERTIFICATE_ENDS_S = 7 * 86_400.0
"""How long before its end a certificate is a matter for somebody."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something has begun, or is over. `detail` says what it is about, or was."""

    condition: str
    began: bool
    detail: str


@dataclass(slots=True)
class Conditions:
    """What holds now, by name, with a sentence each."""

    active: dict[str, str] = field(default_factory=dict)

    def note(self, condition: str, detail: str) -> Change | None:
        """How it stands with one of CONDITIONS now (empty: well). Returns what there is to say, if anything."""
        assert condition in CONDITIONS, condition
        before = self.active.get(condition, "")
        if detail:
            self.active[condition] = detail
        else:
            self.active.pop(condition, None)
        if bool(before) == bool(detail):
            return None  # it may be worded anew ("in 6 days"), but it is the same thing
        return Change(condition, bool(detail), detail or before)


def ending(not_after_s: float, now_s: float) -> str:
    """What to say about a certificate that ends at that time (Unix seconds); empty while that is far off."""
    left_s = not_after_s - now_s
    if left_s >= CERTIFICATE_ENDS_S:
        return ""
    if left_s <= 0:
        return "the hub's certificate has expired, so no client can connect; issue a new one"
    return f"the hub's certificate ends in {left_s / 86_400:.1f} days; issue a new one"
