"""Keeps Arrow from loading pandas, which it does with the first list it is given: a second of a small conversion, and 60 MiB."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec

import pyarrow as pa


class _Hidden:
    """A finder that knows of no pandas."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name == "pandas":
            raise ModuleNotFoundError("pandas is not asked for", name=name)
        return None


def without_pandas() -> None:
    """Let Arrow look for pandas once while there is none; it does not look again before a table is made a data frame, which works as ever.

    Does nothing when pandas is loaded already."""
    if "pandas" in sys.modules:
        return
    hidden = _Hidden()
    sys.meta_path.insert(0, hidden)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hidden)
