"""Names of the message headers that the SDK itself writes and reads. Pure.

Everything under `fl-` is ours; applications name theirs otherwise.
"""

from typing import Final

__all__ = ["DEADLINE_MS", "FAILED", "REPLY_TO", "REQUEST_ID", "TRACE_PARENT", "TRACE_STATE"]

REPLY_TO: Final = "fl-reply-to"
"""On a request: the topic its reply is published to, under `$inbox/`."""
REQUEST_ID: Final = "fl-request-id"
"""On a request and on its reply: which one it is, among those of one inbox."""
DEADLINE_MS: Final = "fl-deadline-ms"
"""On a request: Unix time in ms after which nobody waits for the reply."""
FAILED: Final = "fl-failed"
"""On a reply: the responder's handler raised; why."""

TRACE_PARENT: Final = "traceparent"
"""W3C Trace Context: which trace and span this message was published in."""
TRACE_STATE: Final = "tracestate"
