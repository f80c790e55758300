"""How the schema of a source comes about: by samples, and where it must be proven by every value of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.column_types import TEXT
from portal.tabular.columns.schema import Schema
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed


class Seen(Protocol):
    """A source, or many of one schema, that can be looked at."""

    @property
    def texts(self) -> bool | None:
        """All values are texts in the source (CSV), or have types there (JSON); None: neither is known."""
        ...

    def samples(self) -> Iterable[Chunk]:
        """Chunks from head, middle and tail."""
        ...

    def look(self, chunk: Chunk) -> None: ...

    def schema(self) -> Schema: ...

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]: ...

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        """Parse all of it under a schema."""
        ...


def sampled(source: Seen) -> Schema:
    """Return the schema by the samples alone. Raises ConversionFailed."""
    for chunk in source.samples():
        source.look(chunk)
    return source.schema()


def proven(source: Seen, schema: Schema, options: ConvertOptions) -> Schema:
    """Return a schema that every value of the source fits, those apart that no wider type would hold or whose type was asked for.

    The source is parsed under `schema`. Chunks with values that do not fit are looked at as samples are. A wider schema that surely holds what
    fitted the earlier one needs no other pass: all that did not fit was looked at when it was decided on.

    Arguments:
        schema: what `sampled` returned.
        options: what may mean 'no value': a column that has nothing else so far is text only until a value is found.
    """
    words = pa.array(["", *options.null_values, *options.typed_null_values], pa.string())
    empty = _empty(source, schema, words)
    while True:
        for parsed in source.scan(schema):
            news = {name for name in empty if _has_values(parsed, name, words)}
            if parsed.misfits or news:
                source.look(parsed.chunk)
                empty -= news
        wider = source.schema()
        if same(wider, schema) or wider.holds(schema, texts=source.texts):
            return wider
        schema = wider


def _empty(source: Seen, schema: Schema, words: Any) -> set[str]:
    """Return the columns that are text only because the samples have no value of them."""
    empty = {column.name for column in schema.columns if column.type == TEXT and not column.asked}
    for parsed in source.parsed_samples(schema) if empty else ():
        empty = {name for name in empty if not _has_values(parsed, name, words)}
    return empty


def _has_values(parsed: Parsed, name: str, words: Any) -> bool:
    values = parsed.batch.column(name).drop_null()
    return len(values) > 0 and not pc.all(pc.is_in(values, words)).as_py()


def same(one: Schema, other: Schema) -> bool:
    """Tell whether two schemas have the same columns and types, whatever their notes."""
    return _types(one) == _types(other)


def widened(before: Schema, after: Schema) -> Mapping[str, str]:
    """Return column → 'old type → new type' of those that changed, and '→ type' of those that are new."""
    old = dict(_types(before))
    return {name: f"{old[name]} → {kind}" if name in old else f"→ {kind}" for name, kind in _types(after) if old.get(name) != kind}


def _types(schema: Schema) -> list[tuple[str, str]]:
    return [(column.name, f"{column.type.arrow}{f' ({column.type.form})' if column.type.form else ''}") for column in schema.columns]
