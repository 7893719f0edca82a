"""Which frames were stamped by a clock that was wrong, and by how much: the memory of a correction. Pure.

It is kept beside the spool, as JSON, because the frames it speaks of may be sent by a later process.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields, replace

from fieldline.errors import DecodeError

__all__ = ["SPANS_MAX", "Span", "parse_spans", "show_spans", "span_of", "still_needed"]

SPANS_MAX = 32
"""Spans kept; one comes with each boot that begins with a wrong clock while the hub is away."""


@dataclass(frozen=True, slots=True)
class Span:
    """Frames `first` to `last` of the spool, stamped by one anchor.

    Open (`last` is 0) while the clock is not synchronised; `offset_ns` is to be added to every stamp in
    [from_ns, to_ns] of these frames.
    """

    boot: str
    first: int
    anchor_ns: int
    from_ns: int
    last: int = 0
    to_ns: int = 0
    offset_ns: int = 0

    @property
    def is_open(self) -> bool:
        """Whether the offset is not known yet."""
        return self.last == 0

    def closed(self, *, last: int, to_ns: int, offset_ns: int) -> "Span":
        """The same, with what is known once the clock is synchronised."""
        return replace(self, last=last, to_ns=to_ns, offset_ns=offset_ns)


def span_of(spans: Sequence[Span], sequence: int) -> Span | None:
    """The closed span a frame belongs to."""
    for span in spans:
        if span.first <= sequence <= span.last:
            return span
    return None


def still_needed(spans: Iterable[Span], *, oldest_at_ns: int | None, boot: str) -> list[Span]:
    """Spans that may have frames that are still to be sent, and the open one of this boot; the newest SPANS_MAX.

    `oldest_at_ns` is when the oldest frame of the spool was made, shifted or not; None: the spool is empty. An open
    span of an earlier boot can never be closed: the clock it counted by ended with that boot.
    """
    kept = [
        span
        for span in spans
        if (
            span.boot == boot != ""
            if span.is_open
            else oldest_at_ns is not None and oldest_at_ns <= span.to_ns + max(0, span.offset_ns)
        )
    ]
    return kept[-SPANS_MAX:]


def show_spans(spans: Sequence[Span]) -> str:
    """The spans as the text of their file."""
    return json.dumps([asdict(span) for span in spans], indent=1) + "\n"


def parse_spans(text: str) -> list[Span]:
    """The spans in a file's text; DecodeError if it is none of ours."""
    kinds = {field.name: field.type for field in fields(Span)}
    try:
        spans = [Span(**each) for each in json.loads(text)]
    except (ValueError, TypeError) as error:
        raise DecodeError(f"not a list of clock corrections: {error}") from error
    for span in spans:
        for name, kind in kinds.items():
            if type(getattr(span, name)) is not kind:
                raise DecodeError(f"clock correction: {name} is {getattr(span, name)!r}")
    return spans
