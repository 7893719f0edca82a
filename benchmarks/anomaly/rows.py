"""What the groups of this bench return."""

from typing import Any

__all__ = ["Rows"]

Rows = list[dict[str, Any]]
