"""A checksum of a table that does not depend on the order of its rows, for output that is sorted or spread over folders."""

from __future__ import annotations

from typing import Any

from portal.tabular.proving.digest import Digest, differing
from portal.tabular.proving.hashing import Hashes, hashes, joined, totals

_MODULUS = 1 << 64


class AnyOrderDigest:
    """Two 64-bit sums of the hashes of each column's values, and of whole rows: values that change places between rows are told by the
    latter. See `Digest`."""

    def __init__(self, schema: Any) -> None:
        self.schema, self._count = schema, 0
        self._sums = {name: Sums() for name in schema.names}
        self._rows = Sums()
        self._nulls = dict.fromkeys(schema.names, 0)

    @property
    def rows(self) -> int:
        return self._count

    def update(self, batch: Any) -> None:
        self._count += batch.num_rows
        columns = []
        for name, values in zip(self.schema.names, batch.columns, strict=True):
            found = hashes(values)
            self._sums[name].add(found)
            self._nulls[name] += values.null_count
            columns.append(found)
        self._rows.add(joined(columns, batch.num_rows))

    def columns(self) -> dict[str, str]:
        return {name: sums.hexdigest() for name, sums in self._sums.items()}

    def nulls(self) -> dict[str, int]:
        return dict(self._nulls)

    def fresh(self) -> AnyOrderDigest:
        return AnyOrderDigest(self.schema)

    def difference(self, other: Digest) -> str:
        if found := differing(self, other):
            return found
        same = isinstance(other, AnyOrderDigest) and other._rows.hexdigest() == self._rows.hexdigest()
        return "" if same else "Values were read back in other rows than they were written in."


class Sums:
    """The sum of some hashes, and of what they are mixed to: equal ones do not cancel out, as they would in an exclusive or."""

    def __init__(self) -> None:
        self._first = self._second = 0

    def add(self, found: Hashes) -> None:
        first, second = totals(found)
        self._first, self._second = (self._first + first) % _MODULUS, (self._second + second) % _MODULUS

    def hexdigest(self) -> str:
        return f"{self._first:016x}{self._second:016x}"
