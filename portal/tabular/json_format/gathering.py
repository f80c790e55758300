"""Values of records gathered column by column under a frozen type of any nesting, strictly, then cast at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import pyarrow as pa

from portal.tabular.columns.column_types import ColumnType
from portal.tabular.json_format.decoding import NOUNS, Integer, Number, Raw
from portal.tabular.showing import shown

_NUMBERS = (Integer, Number)
_TAKEN: dict[str, tuple[type, ...]] = {
    "boolean": (bool,), "integer": (Integer,), "float": _NUMBERS, "decimal": _NUMBERS, "date": (str,), "timestamp": (str,), "string": (str,),
}  # fmt: skip
"""Kinds of JSON values that become a type that was inferred."""

_TAKEN_ASKED = (str, bool, Integer, Number)
_WANTED = {
    "boolean": "true or false", "integer": "an integer", "float": "a number", "decimal": "a number", "date": "a text", "timestamp": "a text",
    "string": "a text", "struct": "an object", "list": "an array",
}  # fmt: skip


class Casts(Protocol):
    """What casts a leaf's texts: see `portal.tabular.columns.casting.Caster`."""

    def cast(self, values: Any) -> Any: ...

    def problems(self, values: Any) -> Any: ...


def misfit(value: Any, kind: ColumnType, path: str, *, asked: bool) -> str:
    """Say why the kind of a value, or of one inside it, does not fit a type; '' when it does. What texts mean is left to the caster."""
    if value is None or kind.kind == "json":
        return ""
    if kind.kind == "struct":
        return _misfit_of_object(value, kind, path, asked=asked)
    if kind.element:
        return _misfit_of_array(value, kind.element, path, asked=asked)
    if type(value) in (_TAKEN_ASKED if asked else _TAKEN.get(kind.kind, ())) or (asked and type(value) is Raw and kind.kind == "string"):
        return ""
    return _wrong(value, kind, path)


def _wrong(value: Any, kind: ColumnType, path: str) -> str:
    text = f" ({shown(str(value))})" if type(value) in (str, Integer, Number) else ""
    noun = "true or false" if type(value) is bool else NOUNS[type(value)]
    return f"{_at(path)}{_WANTED.get(kind.kind, str(kind.arrow))} should stand here, not {noun}{text}"


def _at(path: str) -> str:
    return f"{path}: " if path else ""


def _misfit_of_object(value: Any, kind: ColumnType, path: str, *, asked: bool) -> str:
    if type(value) is not dict:
        return _wrong(value, kind, path)
    fields = dict(kind.fields)
    for name, item in value.items():
        if name not in fields and item is not None:
            return f"{_at(path)}the schema has no name {shown(name)} there"
        if name in fields and (reason := misfit(item, fields[name], f"{path}.{name}" if path else name, asked=asked)):
            return reason
    return ""


def _misfit_of_array(value: Any, element: ColumnType, path: str, *, asked: bool) -> str:
    if type(value) is not list:
        return _wrong(value, ColumnType("list", None), path)
    return next((reason for item in value if (reason := misfit(item, element, f"{path}[]", asked=asked))), "")


@dataclass(slots=True)
class Gathered:
    """The values at one place of all rows."""

    kind: ColumnType
    path: str
    rows: list[int] = field(default_factory=list)
    """Which row each value is of."""
    texts: list[str | None] = field(default_factory=list)
    present: list[bool] = field(default_factory=list)
    offsets: list[int] = field(default_factory=lambda: [0])
    inner: list[Gathered] = field(default_factory=list)

    @classmethod
    def of(cls, kind: ColumnType, path: str = "") -> Gathered:
        fields = kind.fields if not kind.element else (("[]", kind.element),)
        inner = [cls.of(item, f"{path}.{name}" if path and name != "[]" else f"{path}{name}") for name, item in fields]
        return cls(kind, path, inner=inner)

    def add(self, value: Any, row: int) -> None:
        """Take in a value that `misfit` found nothing against."""
        self.rows.append(row)
        if self.kind.kind == "struct":
            self.present.append(value is not None)
            for (name, _), place in zip(self.kind.fields, self.inner, strict=True):
                place.add(value.get(name) if value is not None else None, row)
        elif self.kind.element:
            self.present.append(value is not None)
            for item in value or ():
                self.inner[0].add(item, row)
            self.offsets.append(len(self.inner[0].rows))
        else:
            self.texts.append(("true" if value else "false") if type(value) is bool else value)

    def leaves(self) -> Iterator[Gathered]:
        """Yield the places that hold texts."""
        if self.inner:
            for place in self.inner:
                yield from place.leaves()
        else:
            yield self

    def array(self, leaves: Iterator[Any]) -> Any:
        """Return the place as an Arrow array, made of the arrays of its leaves in order."""
        if not self.inner:
            return next(leaves)
        mask = pa.array([not item for item in self.present], pa.bool_())
        arrays = [place.array(leaves) for place in self.inner]
        if self.kind.element:
            offsets = pa.array(self.offsets, pa.int32())
            return pa.ListArray.from_arrays(offsets, arrays[0], type=self.kind.arrow, mask=mask)
        return pa.StructArray.from_arrays(arrays, fields=list(self.kind.arrow), mask=mask)
