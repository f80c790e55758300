"""Columns whose type the values so far leave open: every value fits text, and so nothing but watching tells what they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.guess import ColumnGuess
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Parsed

_NO_VALUES = ("no values: text by default", "and nothing else", "its objects are all empty")
_UNDECIDED = "set date_order"
_FOR_GOOD = "no exact decimal holds"
_EMPTY_OBJECT = r"^\{\s*\}$"


class Doubts:
    """The columns of a schema that later values may settle: without values, dates whose form is not clear, numbers with more digits than seen.

    Arguments:
        schema: as it was decided on; columns whose types were asked for are in no doubt.
    """

    def __init__(self, schema: Schema, options: ConvertOptions) -> None:
        self._options = options
        columns = [column for column in schema.columns if not column.asked]
        self._open = [column.name for column in columns if any(words in column.note for words in (*_NO_VALUES, _UNDECIDED))]
        self._inexact = {column.name for column in columns if _may_be_decimal(column, options)}
        self._guesses: dict[str, ColumnGuess] = {}
        self._settled: set[str] = set()

    def settled_by(self, parsed: Parsed) -> bool:
        """Take in the values of a chunk; tell whether they say more of a column than is known."""
        watched = [self._settles(path, texts) for name in self._open for path, texts in _texts(name, parsed.batch.column(name))]
        return any(watched) or not self._inexact.isdisjoint(parsed.remarks)

    def looked(self, schema: Schema) -> None:
        """Forget the doubts about digits that a look has settled; `schema` is what would be decided on now."""
        self._inexact &= {column.name for column in schema.columns if _may_be_decimal(column, self._options)}

    def _settles(self, path: str, texts: Any) -> bool:
        if path in self._settled:
            return False
        values = texts.drop_null()
        guess = self._guesses.setdefault(path, ColumnGuess(self._options))
        guess.update(values.filter(pc.invert(pc.match_substring_regex(values, _EMPTY_OBJECT))))
        if any(words in guess.finish().note for words in (*_NO_VALUES, _UNDECIDED)):
            return False
        self._settled.add(path)
        return True


def _may_be_decimal(column: Column, options: ConvertOptions) -> bool:
    """Tell whether more digits would make another type of a column that holds floats, perhaps deep inside, where a note may be of any of them."""
    kinds = {inner.kind for inner in column.type.within()}
    return options.decimals == "auto" and "float" in kinds and (len(kinds) > 1 or _FOR_GOOD not in column.note)


def _texts(path: str, values: Any) -> Iterator[tuple[str, Any]]:
    """Yield the texts of a column, and those that stand inside its structs and lists, with a name for the place."""
    if pa.types.is_string(values.type):
        yield path, values
    elif pa.types.is_struct(values.type):
        for place, field in enumerate(values.type):
            yield from _texts(f"{path}.{field.name}", pc.struct_field(values, [place]))
    elif pa.types.is_list(values.type):
        yield from _texts(f"{path}[]", pc.list_flatten(values))
