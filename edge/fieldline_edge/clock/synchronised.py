"""Whether a time service has set this machine's clock since it booted.

The kernel knows: adjtimex(2) reports STA_UNSYNC until a time service (systemd-timesyncd, chrony, ntpd) has set the
clock and disciplines it.
"""

import struct
import time
from collections.abc import Callable
from pathlib import Path

from fieldline_edge.settings import Unsynchronised

__all__ = ["SyncSource", "boot_id", "kernel_synchronised", "sync_source"]

SyncSource = Callable[[], bool]
"""Whether the clock is synchronised, asked once a second; always True where it need not be."""

_STA_UNSYNC = 0x0040  # <sys/timex.h>
_TIME_ERROR = 5
# struct timex of adjtimex(2): unsigned modes; long offset, freq, maxerror, esterror; int status; more, 208 in all.
_STATUS_AT = struct.calcsize("@Illll")
_TIMEX_BYTES = 512
_TIMESYNCD_SAYS = Path("/run/systemd/timesync/synchronized")
_TIME_SERVICES = (Path("/run/systemd/timesync"), Path("/run/chrony"), Path("/run/ntpd.pid"), Path("/run/ntpsec"))
_RTC = Path("/sys/class/rtc/rtc0/since_epoch")
_RTC_OFF_S_MAX = 86_400  # kept in local time it is off by hours; without a battery it is off by years


def kernel_synchronised() -> bool:
    """What the kernel says; True where it cannot be asked, because then nobody could ever say otherwise."""
    import ctypes  # costs half a mebibyte, and most gateways never ask

    timex = ctypes.create_string_buffer(_TIMEX_BYTES)  # all 0, so `modes` is: it only reads, which needs no privilege
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(timex)
    except (OSError, AttributeError):
        return True
    if state < 0:
        return True
    (status,) = struct.unpack_from("@i", timex, _STATUS_AT)
    return (state != _TIME_ERROR and not status & _STA_UNSYNC) or _TIMESYNCD_SAYS.exists()


def sync_source(choice: Unsynchronised) -> SyncSource:
    """Whom to ask, by the settings. `auto` asks where a time service is that will set the clock, and no battery has
    kept it right meanwhile: elsewhere nobody would ever say otherwise."""
    if choice is Unsynchronised.TRUST:
        return _always
    if choice is Unsynchronised.AUTO and not _worth_asking():
        return _always
    return kernel_synchronised


def boot_id() -> str:
    """Names this boot of the machine; empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _always() -> bool:
    return True


def _worth_asking() -> bool:
    if not any(path.exists() for path in _TIME_SERVICES):
        return False
    try:
        rtc_s = int(_RTC.read_text())
    except (OSError, ValueError):
        return True
    return abs(rtc_s - time.time()) > _RTC_OFF_S_MAX
