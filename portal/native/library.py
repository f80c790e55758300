"""Loads the kernel, if it was built from the sources that are here. PORTAL_NATIVE=0 turns it off."""

from __future__ import annotations

import ctypes
import os
from functools import cache

from portal.native import build


@cache
def library() -> ctypes.CDLL | None:
    """Return the kernel; None when it is off, was not built or cannot be loaded. Its functions run without the interpreter's lock."""
    return None if absence() else ctypes.CDLL(str(build.path()))


@cache
def absence() -> str:
    """Return why there is no kernel; '' when there is one."""
    if os.environ.get("PORTAL_NATIVE") == "0":
        return "it is turned off (PORTAL_NATIVE=0)"
    path = build.path()
    if not path.exists():
        return "it was not built from these sources"
    try:
        ctypes.CDLL(str(path))
    except OSError as error:
        return f"it cannot be loaded ({error})"
    return ""
