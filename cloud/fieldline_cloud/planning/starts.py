"""When a job may start: its release, the machine's windows and its pin as spans of start times."""

from fieldline_cloud.planning.model import Job

__all__ = ["FOREVER_S", "Starts", "first_start", "last_start", "starts_of"]

FOREVER_S = 1 << 60

Starts = tuple[tuple[int, int], ...]
"""First and last start of each span in which a job may start, in their order."""


def starts_of(job: Job, earliest_s: int) -> Starts:
    """The starts that keep the work inside one window, after the parts are there, and at the time it is pinned to.

    `earliest_s` is when any work may start at all.
    """
    first_s = max(job.release_s, earliest_s)
    if not job.windows and job.pinned is None:
        return ((first_s, FOREVER_S),)
    windows = [(window.start_s, window.end_s - job.work_s) for window in job.windows] or [(first_s, FOREVER_S)]
    if job.pinned is not None and job.pinned.start_s is not None:
        pinned_s = job.pinned.start_s
        fits = pinned_s >= first_s and any(low <= pinned_s <= high for low, high in windows)
        return ((pinned_s, pinned_s),) if fits else ()
    return tuple(sorted((max(low, first_s), high) for low, high in windows if max(low, first_s) <= high))


def first_start(starts: Starts, ready_s: int) -> int | None:
    """The first start not before `ready_s`."""
    for low, high in starts:
        if ready_s <= high:
            return max(ready_s, low)
    return None


def last_start(starts: Starts, by_s: int) -> int | None:
    """The last start not after `by_s`."""
    found = [min(by_s, high) for low, high in starts if low <= by_s]
    return max(found, default=None)
