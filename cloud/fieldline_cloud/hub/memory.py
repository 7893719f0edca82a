"""How the C library hands out memory in a process that runs a hub."""

import ctypes
import sys

__all__ = ["keep_memory_flat"]

# mallopt(3). Without this, gRPC's threads each get a heap of their own, and the C library raises its thresholds with
# every large block that is freed: a hub under load then settles tens of MiB higher, and takes minutes to do so.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_THRESHOLD_BYTES = 1 << 20
_ARENAS_MAX = 2


def keep_memory_flat() -> bool:
    """Bound what the allocator keeps; for the whole process, before it has threads. False where it is not glibc."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False  # another C library, such as musl, which has nothing to tune
    options = {
        _M_ARENA_MAX: _ARENAS_MAX,
        _M_MMAP_THRESHOLD: _THRESHOLD_BYTES,
        _M_TRIM_THRESHOLD: _THRESHOLD_BYTES,
    }
    taken = [mallopt(option, value) == 1 for option, value in options.items()]
    return all(taken)
