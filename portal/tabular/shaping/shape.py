"""Rows under one schema to rows under another: some kept, columns chosen, renamed, added. What stays is as it was."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from portal.errors import ConversionFailed
from portal.tabular.columns.column_types import TEXT
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.options import ConvertOptions
from portal.tabular.shaping.expression import parse
from portal.tabular.shaping.predicate import Predicate

_MOST_BYTES = 2**31 - 2
_PLACE = re.compile(r"\{([A-Za-z_]+)\}")


@dataclass(frozen=True, slots=True)
class Origin:
    """What `constants` may speak of."""

    source: str = ""
    """The whole URL of the object."""
    source_name: str = ""
    """Its last part."""
    job: str = ""
    loaded_at: str = ""
    """ISO 8601, UTC."""


@dataclass(frozen=True, slots=True)
class Shaping:
    """What is done to every batch. Safe to use from several threads."""

    source: Schema
    schema: Schema
    """Of the rows that come out."""
    reads: tuple[str, ...]
    """The columns of the source that are needed, in its order."""
    _picked: tuple[str, ...]
    _constants: tuple[str, ...]
    _predicate: Predicate | None

    @classmethod
    def make(cls, schema: Schema, options: ConvertOptions, origin: Origin | None = None) -> Shaping:
        """Check what the options ask for against a schema.

        Raises:
            ConversionFailed: a column that is not there, two of one name, an expression that cannot be read or does not fit the types.
        """
        columns = {column.name: column for column in schema.columns}
        picked = options.columns or tuple(columns)
        _check_names(picked, columns, "columns")
        _check_names(tuple(options.rename), columns, "rename")
        _check_unread(options.rename, picked)
        constants = {name: _filled(name, text, origin or Origin()) for name, text in options.constants.items()}
        out = tuple(replace(columns[name], name=options.rename.get(name, name)) for name in picked)
        out += tuple(Column(name, TEXT, note="constant", asked=True) for name in constants)
        _check_result([column.name for column in out])
        expression = parse(options.where) if options.where.strip() else None
        needed = {*picked, *(expression.columns if expression else ())}
        predicate = Predicate(expression, schema.arrow) if expression else None
        return cls(
            schema, replace(schema, columns=out), tuple(name for name in columns if name in needed), picked, tuple(constants.values()), predicate
        )  # fmt: skip

    @property
    def idle(self) -> bool:
        """Nothing is asked for: batches pass as they are."""
        return self._predicate is None and self.schema == self.source

    def apply(self, batch: Any) -> tuple[Any, int]:
        """Return the batch as it goes on, and the number of rows that were left out of it.

        Raises:
            ConversionFailed: the condition cannot be computed for a row.
        """
        if self.idle:
            return batch, 0
        kept = batch
        if self._predicate and (mask := self._predicate.mask(batch)).true_count < batch.num_rows:
            kept = batch.filter(mask)
        arrays = [kept.column(name) for name in self._picked]
        arrays += [_repeated(text, kept.num_rows) for text in self._constants]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema.arrow), batch.num_rows - kept.num_rows


def _repeated(text: str, rows: int) -> Any:
    """Arrow repeats a text beyond what an array's offsets reach, and they wrap round."""
    if len(text.encode()) * rows > _MOST_BYTES:
        told = f"constants: a text of {len(text.encode()):,} bytes in each of {rows:,} rows that are held at once is more than 2 GiB."
        raise ConversionFailed(told, hint="Make it shorter.")
    return pa.repeat(pa.scalar(text, pa.string()), rows)


def _check_names(names: Sequence[str], columns: Mapping[str, Column], option: str) -> None:
    for name in names:
        if name not in columns:
            alike = next((other for other in columns if other.strip().lower() == name.strip().lower()), "")
            hint = f"Is {alike!r} meant?" if alike else f"There are {', '.join(list(columns)[:20])}{' …' if len(columns) > 20 else ''}."
            raise ConversionFailed(f"{option}: the source has no column {name!r}.", hint=hint)
    if again := [name for name, count in Counter(names).items() if count > 1]:
        raise ConversionFailed(f"{option}: {again[0]!r} stands there twice.", hint="Name each column once.")


def _check_unread(rename: Mapping[str, str], picked: Sequence[str]) -> None:
    if unread := [name for name in rename if name not in picked]:
        raise ConversionFailed(f"rename: {unread[0]!r} is not among the chosen columns.", hint="Add it to columns, or leave it out of rename.")


def _check_result(names: Sequence[str]) -> None:
    if "" in names:
        raise ConversionFailed("A column would have no name.", hint="Give it one in rename or constants.")
    if again := [name for name, count in Counter(names).items() if count > 1]:
        raise ConversionFailed(f"Two columns of the result would be called {again[0]!r}.", hint="Choose other names in rename or constants.")


def _filled(name: str, text: str, origin: Origin) -> str:
    known = {"source": origin.source, "source_name": origin.source_name, "job": origin.job, "loaded_at": origin.loaded_at}
    if unknown := [place for place in _PLACE.findall(text) if place not in known]:
        hint = f"There are {', '.join('{' + place + '}' for place in known)}."
        raise ConversionFailed(f"constants: {name!r} speaks of {{{unknown[0]}}}, which nobody knows.", hint=hint)
    return _PLACE.sub(lambda found: known[found[1]], text)
