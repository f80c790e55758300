"""Loads the kernel, if it was built from the sources that are here. PORTAL_NATIVE=0 turns it off.

Loading a library runs its code, so it and its folder must belong to this user or root, and nobody else may be able to write there."""

from __future__ import annotations

import ctypes
import os
from functools import cache

from portal.native import build

SYMBOLS = (
    "portal_csv_whole", "portal_csv_parse", "portal_csv_free", "portal_json_parse", "portal_json_free", "portal_json_scan",
    *(f"portal_hash_{name}" for name in ("fixed", "texts", "lists", "add", "mix", "sums")),
)  # fmt: skip
"""What every kernel has."""


def library() -> ctypes.CDLL | None:
    """Return the kernel; None when it is off, was not built, cannot be loaded or may be somebody else's. Its functions run without the
    interpreter's lock."""
    return _look()[0]


def absence() -> str:
    """Return why there is no kernel; '' when there is one."""
    return _look()[1]


@cache
def _look() -> tuple[ctypes.CDLL | None, str]:
    if os.environ.get("PORTAL_NATIVE") == "0":
        return None, "it is turned off (PORTAL_NATIVE=0)"
    try:
        path = build.path()
        if not path.exists():
            return None, "it was not built from these sources"
        if why := build.doubt(path):
            return None, f"{why}, so it is not loaded"
        kernel = ctypes.CDLL(str(path.resolve()))
    except OSError as error:
        return None, f"it cannot be loaded ({error})"
    missing = [name for name in SYMBOLS if not hasattr(kernel, name)]
    return (None, f"{path} is no kernel: it lacks {missing[0]}") if missing else (kernel, "")


def forget() -> None:
    """Look again at the next call."""
    _look.cache_clear()
