"""How the schema of a source comes about: by samples, and where it must be proven by every value of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count
from typing import Protocol

from portal.tabular.columns.schema import Schema
from portal.tabular.conversion.doubts import Doubts
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

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        """Parse all of it under a schema."""
        ...


def sampled(source: Seen) -> Schema:
    """Return the schema by the samples alone. Raises ConversionFailed."""
    for chunk in source.samples():
        source.look(chunk)
    return source.schema()


@dataclass(frozen=True, slots=True)
class Proven:
    """A schema that every value of a source was held against, and what it took."""

    schema: Schema
    passes: int

    @property
    def told(self) -> str:
        return f"every value, in {self.passes} {'pass' if self.passes == 1 else 'passes'}"


def proven(source: Seen, schema: Schema, options: ConvertOptions) -> Proven:
    """Return a schema that every value of the source fits, those apart that no wider type would hold or whose type was asked for.

    The source is parsed under `schema`. Chunks with values that do not fit, or that settle what is in doubt, are looked at as samples are. A wider
    schema that surely holds what fitted the earlier one needs no other pass: all that did not fit was looked at when it was decided on. A narrower
    one does, and so does every other, until a whole pass changes nothing.

    Arguments:
        schema: what `sampled` returned.
    """
    for passes in count(1):
        doubts = Doubts(schema, options)
        for parsed in source.scan(schema):
            if doubts.settled_by(parsed) or parsed.misfits:
                source.look(parsed.chunk)
                doubts.looked(source.schema())
        wider = source.schema()
        if same(wider, schema) or wider.holds(schema, texts=source.texts):
            return Proven(wider, passes)
        schema = wider
    raise AssertionError("unreachable")


def same(one: Schema, other: Schema) -> bool:
    """Tell whether two schemas have the same columns and types, whatever their notes."""
    return _types(one) == _types(other)


def widened(before: Schema, after: Schema) -> Mapping[str, str]:
    """Return column → 'old type → new type' of those that changed, and '→ type' of those that are new."""
    old = dict(_types(before))
    return {name: f"{old[name]} → {kind}" if name in old else f"→ {kind}" for name, kind in _types(after) if old.get(name) != kind}


def _types(schema: Schema) -> list[tuple[str, str]]:
    return [(column.name, f"{column.type.arrow}{f' ({column.type.form})' if column.type.form else ''}") for column in schema.columns]
