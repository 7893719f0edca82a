"""The clock all parts of the gateway read: it does not jump until the machine's clock has been synchronised."""

from fieldline_edge.drivers.base import Clock

__all__ = ["GatewayClock"]

_NS = 1_000_000_000


class GatewayClock:
    """A clock over the machine's.

    Trusted (the normal case), it says what the machine's clock says. Not trusted, it counts on from an anchor by the
    monotonic clock, whatever the machine's clock does meanwhile: so all stamps of that time are wrong by one and the
    same offset, and `adopt` ends it at one moment of our own choice.
    """

    def __init__(self, machine: Clock) -> None:
        self._machine = machine
        self._anchor_ns: int | None = None
        self._age_anchor_ns: int | None = None

    @property
    def trusted(self) -> bool:
        """Whether stamps are the machine's own."""
        return self._anchor_ns is None

    @property
    def anchor_ns(self) -> int:
        """Unix time at which the monotonic clock stood at 0, by the stamps given out."""
        return self.machine_anchor_ns if self._anchor_ns is None else self._anchor_ns

    @property
    def machine_anchor_ns(self) -> int:
        """The same by the machine's clock; changes when that is set."""
        return self._machine.time_ns() - round(self._machine.monotonic() * _NS)

    def count_from(self, anchor_ns: int) -> None:
        """Do not trust the machine's clock from now on."""
        self._anchor_ns = anchor_ns

    def adopt(self) -> int:
        """Trust the machine's clock from now on; the nanoseconds that stamps were behind it before."""
        offset_ns = self.machine_anchor_ns - self.anchor_ns
        self._age_anchor_ns, self._anchor_ns = self._anchor_ns, None
        return offset_ns

    def settle(self) -> None:
        """What was stamped before `adopt` has been shifted: its age may be judged by the new time."""
        self._age_anchor_ns = None

    def age_ns(self) -> int:
        """The time to judge the age of frames in the spool by: as `time_ns`, but behind `adopt` only once settled.

        Else frames of a minute ago would look two weeks old at the moment the clock is set, and be dropped for it.
        """
        if self._age_anchor_ns is None:
            return self.time_ns()
        return self._age_anchor_ns + round(self._machine.monotonic() * _NS)

    def time_ns(self) -> int:
        """Unix time in nanoseconds."""
        if self._anchor_ns is None:
            return self._machine.time_ns()
        return self._anchor_ns + round(self._machine.monotonic() * _NS)

    def monotonic(self) -> float:
        """Seconds since some fixed moment; never goes back."""
        return self._machine.monotonic()
