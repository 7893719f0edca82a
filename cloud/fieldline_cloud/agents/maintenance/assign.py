"""Who does it. Pure and deterministic: the same bench and the same moment give the same name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from fieldline_cloud.agents.maintenance.shifts import Shift, working_from_ns

__all__ = ["Bench", "Technician"]


@dataclass(frozen=True, slots=True)
class Technician:
    """Somebody who can be given work."""

    name: str
    skills: frozenset[str]
    shifts: tuple[Shift, ...]


class Bench:
    """The technicians of a plant, and the time zone their shifts are written in."""

    def __init__(self, technicians: Sequence[Technician], zone: tzinfo) -> None:
        self._technicians = {technician.name: technician for technician in technicians}
        self._zone = zone

    def choose(self, skill: str, open_tasks: Mapping[str, int], *, now_ns: int, due_ns: int) -> str | None:
        """The name of who should do it, or None where nobody has both the skill and a shift.

        Order: at work now; else the first at work before it is due; else (all too late) the first at work.
        Among equals the one with the fewest open tasks, and among those the first by name.
        """
        ranked = []
        for technician in self._technicians.values():
            begins_ns = self.begins_ns(technician.name, skill, now_ns)
            if begins_ns is not None:
                late = begins_ns > due_ns
                ranked.append((late, begins_ns, open_tasks.get(technician.name, 0), technician.name))
        return min(ranked)[-1] if ranked else None

    def begins_ns(self, name: str, skill: str, now_ns: int) -> int | None:
        """When this technician could begin; None if unknown, without the skill, or never at work."""
        technician = self._technicians.get(name)
        if technician is None or skill not in technician.skills:
            return None
        return working_from_ns(technician.shifts, self._zone, now_ns)
