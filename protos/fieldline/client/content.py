"""What a caller hands in, checked at the door. Pure."""

from fieldline.errors import LimitError
from fieldline.limits import TTL_S_MAX

__all__ = ["as_bytes", "check_timeout"]


def as_bytes(content: bytes | bytearray | memoryview | str) -> bytes:
    """What travels; a copy where the caller could change it afterwards. LimitError for text no UTF-8 can hold."""
    if isinstance(content, bytes):
        return content
    if not isinstance(content, str):
        return bytes(content)
    try:
        return content.encode()
    except UnicodeEncodeError as error:
        raise LimitError(
            f"text {content[:40]!r} is not valid Unicode: {error.reason}; publish bytes instead"
        ) from error


def check_timeout(timeout_s: float) -> None:
    """LimitError unless a caller can wait so long."""
    if not 0 < timeout_s <= TTL_S_MAX:
        raise LimitError(f"timeout_s {timeout_s} must be over 0 and at most {TTL_S_MAX} (49 days)")
