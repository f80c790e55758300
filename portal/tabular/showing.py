"""How values and places of a source are written in messages."""

from __future__ import annotations

_SHOWN = 120


def shown(value: str) -> str:
    """Return a value for a message: quoted, and cut when it is long."""
    return repr(value if len(value) <= _SHOWN else value[:_SHOWN] + "…")


def where(line: int, offset: int) -> str:
    """Return a place in a source for a message: by its line, else by its byte, else that it is in a sample; see `portal.tabular.rows.Misfit`."""
    if line > 0:
        return f"Line {line}"
    return f"Byte {offset}" if offset >= 0 else "Somewhere in the middle"
