"""Names of columns: all there, all different."""

from __future__ import annotations

from collections.abc import Sequence

from portal.errors import ConversionFailed

_MOST_CHARACTERS = 4096


def column_names(cells: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return names that are there and differ, and a sentence for each that was changed."""
    taken = {cell for cell in cells if cell}
    names: list[str] = []
    used: set[str] = set()
    changes: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = _free(cell, cell or f"column_{place}", used, taken)
        names.append(name)
        used.add(name)
        if name != cell:
            changes.append(f"Column {place} has {'no name' if not cell else f'the name {cell!r} again'}; it is called {name!r}.")
    return names, changes


def _free(cell: str, wanted: str, used: set[str], taken: set[str]) -> str:
    name, number = wanted, 1
    while name in used or (name != cell and name in taken):
        number += 1
        name = f"{wanted}_{number}"
    return name


def refuse_long_names(names: Sequence[str]) -> None:
    """Raises ConversionFailed for a name that can be none."""
    for place, name in enumerate(names, 1):
        if len(name) > _MOST_CHARACTERS:
            told = f"The name of column {place} has {len(name):,} characters; {_MOST_CHARACTERS:,} are the most."
            raise ConversionFailed(told, hint="Is the first line a header? Else set header to no. Are delimiter and quote right?")
