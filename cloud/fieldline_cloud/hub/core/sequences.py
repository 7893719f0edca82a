"""Whether a numbered frame is new, was here before, or comes too early. Pure."""

from enum import Enum

__all__ = ["Verdict", "judge"]


class Verdict(Enum):
    """What to do with a frame."""

    NEW = "new"  # store it
    DUPLICATE = "duplicate"  # acknowledge it, store nothing
    GAP = "gap"  # frames are missing before it: refuse


def judge(last_sequence: int | None, sequence: int, skipped_frames: int) -> Verdict:
    """Judge frame `sequence` of a producer whose last stored frame is `last_sequence` (None: nothing is known of it).

    An unknown producer may begin anywhere: a hub that starts with an empty log must go on serving gateways that have
    been numbering for years. `skipped_frames` frames before this one were dropped by the producer on purpose; some of
    them may have been stored here before it dropped them, so the rule bounds the first of them, not the last.
    """
    if last_sequence is None:
        return Verdict.NEW
    if sequence <= last_sequence:
        return Verdict.DUPLICATE
    if sequence - skipped_frames <= last_sequence + 1:
        return Verdict.NEW
    return Verdict.GAP
