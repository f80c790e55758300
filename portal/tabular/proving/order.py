"""Whether rows that are read back stand in the order that was asked for: each is compared with the one before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.errors import ProofFailed
from portal.tabular.proving.values import plain

_VALUE, _NAN, _NOTHING = 0, 1, 2
"""What kind of value stands first, whatever the direction; see `portal.tabular.output.sorting`."""


class Order:
    """Takes the rows of one file. `keys`: column and 'ascending' or 'descending'; rows that tie in one are ordered by the next."""

    def __init__(self, keys: Sequence[tuple[str, str]], name: str) -> None:
        self._keys, self._name, self._rows = keys, name, 0
        self._last: list[Any] = []

    def update(self, batch: Any) -> None:
        """Take in the next rows. Raises ProofFailed, naming the row, where one comes before that in front of it."""
        if not self._keys or not batch.num_rows:
            return
        columns = [plain(batch.column(name)) for name, _ in self._keys]
        joined = [pa.concat_arrays([last, values]) for last, values in zip(self._last, columns, strict=True)] if self._last else columns
        place = pc.index(self._wrong(joined), True).as_py()
        if place >= 0:
            row = self._rows + place + 2 - bool(self._last)
            names = ", ".join(f"{name} ({way})" for name, way in self._keys)
            raise ProofFailed(f"Row {row} of {self._name} comes before the row in front of it in the order of {names}.", hint="Run it again.")
        self._last, self._rows = [values.slice(len(values) - 1) for values in columns], self._rows + batch.num_rows

    def _wrong(self, columns: Sequence[Any]) -> Any:
        """Return for each pair of neighbours whether the second comes before the first."""
        pairs = len(columns[0]) - 1
        wrong, tied = pa.repeat(pa.scalar(False), pairs), pa.repeat(pa.scalar(True), pairs)
        for values, (_, way) in zip(columns, self._keys, strict=True):
            before, same = _compared(values, way)
            wrong, tied = pc.or_(wrong, pc.and_(tied, before)), pc.and_(tied, same)
        return wrong


def _compared(values: Any, way: str) -> tuple[Any, Any]:
    """Return for each pair of neighbours whether the second comes before the first by a column, and whether they are the same in it."""
    sort = _sort_of(values)
    first, second, one, other = values.slice(0, len(values) - 1), values.slice(1), sort.slice(0, len(sort) - 1), sort.slice(1)
    alike = pc.equal(one, other)
    if pa.types.is_null(values.type):
        return pc.greater(one, other), alike
    less = pc.fill_null(pc.less(second, first) if way == "ascending" else pc.greater(second, first), False)
    plainly = pc.and_(alike, pc.equal(one, _VALUE))
    same = pc.or_(pc.fill_null(pc.equal(first, second), False), pc.and_(alike, pc.not_equal(one, _VALUE)))
    return pc.or_(pc.greater(one, other), pc.and_(plainly, less)), pc.and_(alike, same)


def _sort_of(values: Any) -> Any:
    """Return for each value whether it is one, no number, or nothing."""
    sort = pc.if_else(pc.is_null(values), _NOTHING, _VALUE)
    return pc.if_else(pc.fill_null(pc.is_nan(values), False), _NAN, sort) if pa.types.is_floating(values.type) else sort
