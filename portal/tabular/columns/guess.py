"""Finds the one type that holds every value of a column of text without changing any: a guess that only ever narrows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from portal.tabular.columns.candidates import Booleans, Candidate, Integers, Numbers
from portal.tabular.columns.casting import null_words
from portal.tabular.columns.column_types import Kind
from portal.tabular.columns.deciding import Guess, Seen, decide
from portal.tabular.columns.moments import Dates, Timestamps
from portal.tabular.columns.number_forms import NumberForm
from portal.tabular.options import ConvertOptions

DATES: tuple[Kind, ...] = ("date", "timestamp")
KINDS: tuple[Kind, ...] = ("boolean", "integer", "float", *DATES)

__all__ = ["DATES", "KINDS", "ColumnGuess", "Guess"]


class ColumnGuess:
    """Narrows the type of one column as its values come.

    Arguments:
        kinds: those that may be found; dates only if the options want them.
        nulls: texts that mean 'no value' beside typed values; default: those of the options, as text files have them.
    """

    def __init__(self, options: ConvertOptions, *, kinds: Sequence[Kind] = KINDS, nulls: Sequence[str] | None = None) -> None:
        self._options = options
        self._null_words = pa.array(sorted(set(null_words(options) if nulls is None else nulls)), pa.string())
        form = NumberForm.make(options)
        integers = Integers(form)
        every: list[Candidate] = [
            Booleans(), integers, Numbers(form, integers if "integer" in kinds else None), Dates(options.date_order), Timestamps(options.date_order),
        ]  # fmt: skip
        self._candidates = [one for one in every if one.kind in kinds and (options.dates or one.kind not in DATES)]
        self._seen = False
        self._words = 0
        self._word = ""

    def update(self, values: Any) -> None:
        """Take in an Arrow array of strings; nulls in it are 'no value' already."""
        distinct = pc.unique(values).drop_null()
        words = pc.is_in(distinct, self._null_words)
        if pc.any(words, min_count=0).as_py():
            distinct = distinct.filter(pc.invert(words))
            self._count_words(values)
        if len(distinct):
            self._seen = True
            head = distinct[0].as_py()
            for candidate in self._candidates:
                if candidate.alive:
                    candidate.see(distinct, head)

    def _count_words(self, values: Any) -> None:
        full = pc.and_(pc.is_in(values, self._null_words), pc.greater(pc.binary_length(values), 0))
        count = pc.sum(full).as_py() or 0
        if count and not self._word:
            self._word = values.filter(full)[0].as_py()
        self._words += count

    def finish(self) -> Guess:
        """Return the type that all values fit; may be called again after more values."""
        return decide(Seen({one.kind: one for one in self._candidates}, self._seen, self._words, self._word), self._options)
