"""Keeps blocks of memory that are asked for again at once: the C library gives large ones back to the system each time, and pages are cleared anew.

See mallopt(3), malloc_trim(3); only where that is glibc's.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_TRIM_BYTES = 64 << 20
"""So much free memory at the end of the heap is kept."""
_MMAP_BYTES = 32 << 20
"""Only larger blocks come from the system, one by one; glibc allows no more."""


@cache
def keep_blocks() -> bool:
    """Let this process keep some memory that it freed, until `give_back`.

    Returns whether it does: not when the C library is another, or the environment says how."""
    if any(name in os.environ for name in ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")):
        return False
    library = _glibc()
    return library is not None and bool(library.mallopt(_M_MMAP_THRESHOLD, _MMAP_BYTES) and library.mallopt(_M_TRIM_THRESHOLD, _TRIM_BYTES))


def give_back() -> None:
    """Let the system have what is kept and not in use now."""
    if library := _glibc():
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):
        return None
    return library if hasattr(library, "gnu_get_libc_version") else None
