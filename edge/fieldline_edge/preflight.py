"""Looks before the start at what would fail behind it, and says what to do: the spool's folder, the serial ports."""

import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from pathlib import Path

from fieldline.errors import ConfigError

__all__ = ["check_spool_folder", "serial_ports", "serial_troubles"]


def check_spool_folder(spool: Path) -> None:
    """ConfigError that names folder, user and cure if the spool's file cannot be made or written."""
    if spool.is_dir():
        raise ConfigError(f"spool.path: {spool} is a folder; write the name of a file in it, like {spool}/spool.db")
    if spool.exists():
        if not os.access(spool, os.R_OK | os.W_OK):
            raise ConfigError(_not_ours(spool, "write to"))
        return
    folder = spool.absolute().parent
    while not folder.exists():
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigError(f"spool.path: {folder} is a file, so {spool} cannot be below it; choose another spool.path")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(_not_ours(folder, "make files in"))


def serial_ports(devices: Iterable[object]) -> list[str]:
    """Paths of the serial ports that devices are on, each once."""
    found = (getattr(getattr(device, "serial", None), "device", None) for device in devices)
    return list(dict.fromkeys(path for path in found if isinstance(path, str)))


def serial_troubles(paths: Iterable[str]) -> Iterator[str]:
    """One sentence for each port that cannot be opened now: an adapter may still be plugged in, so none is fatal."""
    for path in paths:
        port = Path(path)
        if not port.exists():
            yield f"serial port {path} is not there; plug the adapter in, or find its name with ls /dev/serial/by-id"
        elif not os.access(port, os.R_OK | os.W_OK):
            group = _group(port)
            yield (
                f"serial port {path}: user {_user()} may not open it; "
                f"run 'sudo usermod -aG {group} {_user()}' and start the gateway again"
            )


def _not_ours(path: Path, what: str) -> str:
    owner = _name_of(path.stat().st_uid)
    return (
        f"spool.path: user {_user()} may not {what} {path}, which belongs to {owner}; "
        f"run 'sudo chown -R {_user()} {path}', start the gateway as {owner}, or choose another spool.path"
    )


def _user() -> str:
    return _name_of(os.geteuid())


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group(path: Path) -> str:
    gid = path.stat().st_gid
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
