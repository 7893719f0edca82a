"""The identities of hub.yaml, read again while the hub runs."""

import logging
from pathlib import Path

from fieldline.config import load
from fieldline.errors import ConfigError
from fieldline_cloud.hub.core.access import Identity
from fieldline_cloud.hub.settings import HubSettings

__all__ = ["GrantsFile"]

log = logging.getLogger(__name__)


class GrantsFile:
    """The file a hub was started with. Of it only `auth.identities` is read again; everything else needs a restart.

    A file that cannot be used leaves what was there in force, and the log says why, once for each change.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = self._look()
        self.failures = 0
        """Changed files that could not be used."""

    def read(self, *, even_unchanged: bool = False) -> tuple[Identity, ...] | None:
        """All identities, if the file has changed; None: nothing new, or nothing of use. Blocks on the disk."""
        stamp = self._look()
        if not even_unchanged and stamp in (self._stamp, None):
            return None
        self._stamp = stamp
        try:
            auth = load(self._path, HubSettings).auth
            if auth is None:
                raise ConfigError(f"{self._path}: auth: is missing; to open the hub to everybody, restart it")
        except ConfigError as error:
            self.failures += 1
            log.error("changed grants cannot be used, the old ones stay in force: %s", error)
            return None
        return tuple(one.identity() for one in auth.identities)

    def _look(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None  # in the middle of being replaced, say
        return (found.st_mtime_ns, found.st_size, found.st_ino)
