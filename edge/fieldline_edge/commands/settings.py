"""Settings of writes to devices."""

from pathlib import Path

from pydantic import Field

from fieldline.config import Settings

__all__ = ["CommandsSettings"]


class CommandsSettings(Settings):
    """Takes commands that write to devices. A tag is written only if it says `writable` itself."""

    audit: Path
    """File that gets one JSON line for each command; its folder is created. Without the line nothing is written."""
    audit_bytes_max: int = Field(default=8 << 20, ge=1 << 16, le=1 << 32)
    """Size at which the file is renamed to .1 and a new one begun."""
    audit_files_max: int = Field(default=5, ge=1, le=1000)
    """How many renamed files are kept; the oldest is deleted."""
    writes_per_minute_max: int = Field(default=60, ge=1, le=6000)
    """Most writes in a minute, all devices together; further ones are refused."""
    age_s_max: float = Field(default=10.0, gt=0, le=3600)
    """Oldest a command may be that says when it was given (`at`); an older one is refused."""
