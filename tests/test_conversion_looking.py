"""A schema by samples, and one proven by every value: tried on a format of one text a line, with guesses and casts as they are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.tabular.columns.casting import Caster
from portal.tabular.columns.guess import ColumnGuess
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.conversion.looking import proven, same, sampled, widened
from portal.tabular.csv_format.parsing import first_long
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Misfit, Parsed

OPTIONS = ConvertOptions(full_scan=True, smallest_integers=True)


@dataclass
class Lines:
    """One column of texts in chunks; the first chunks are the samples."""

    chunked: list[list[str]]
    samples_taken: int = 1
    texts: bool | None = True
    guess: ColumnGuess = field(default_factory=lambda: ColumnGuess(OPTIONS))
    scans: int = 0
    looks: int = 0

    def _chunks(self) -> list[Chunk]:
        return [Chunk(number, "\n".join(texts).encode(), 0, 0) for number, texts in enumerate(self.chunked)]

    def samples(self) -> Iterable[Chunk]:
        return self._chunks()[: self.samples_taken]

    def look(self, chunk: Chunk) -> None:
        self.looks += 1
        self.guess.update(pa.array(chunk.data.decode().split("\n"), pa.string()))

    def schema(self) -> Schema:
        found = self.guess.finish()
        return Schema((Column("a", found.type, found.note),))

    def parsed_samples(self, schema: Schema) -> Iterator[Parsed]:
        return (self._parse(chunk, schema) for chunk in self.samples())

    def scan(self, schema: Schema) -> Iterator[Parsed]:
        self.scans += 1
        return (self._parse(chunk, schema) for chunk in self._chunks())

    def _parse(self, chunk: Chunk, schema: Schema) -> Parsed:
        column = schema.columns[0]
        caster = Caster.make("a", column.type, OPTIONS, asked=False)
        texts: Any = pa.array(chunk.data.decode().split("\n"), pa.string())
        wrong = dict(caster.problems(texts))
        kept = pa.array([text for place, text in enumerate(texts.to_pylist()) if place not in wrong], pa.string())
        misfits = [Misfit(place + 1, 0, "a", reason, "") for place, reason in wrong.items()]
        remarks = {"a": "long"} if column.type.kind == "float" and first_long(kept) is not None else {}
        return Parsed(chunk, len(texts), pa.RecordBatch.from_arrays([caster.cast(kept)], schema=schema.arrow), misfits, remarks)


def decided(source: Lines) -> tuple[Schema, Schema]:
    guessed = sampled(source)
    return guessed, proven(source, guessed, OPTIONS).schema


VALUES = st.sampled_from(["1", "007", "-5", "2.5", "1e3", "", "NA", "x", "true", "2024-01-31", "2024-01-31T05:00:00Z", "9007199254740993",
                          "99999999999999999999", "0.12345678901234567890123", "03/04/2024", "13/04/2024", "04/13/2024"])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=5))
@example([["1"], ["2.5"], ["9007199254740993"]])
@example([["", "NA"], ["NA"], ["5"], ["x"]])
def test_every_value_fits_a_schema_that_is_proven(chunked: list[list[str]]) -> None:
    source = Lines(chunked)
    _, schema = decided(source)
    assert not [misfit for parsed in Lines(chunked).scan(schema) for misfit in parsed.misfits]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=1, max_size=4), min_size=1, max_size=5))
def test_a_proven_schema_is_that_of_looking_at_everything(chunked: list[list[str]]) -> None:
    whole = sampled(Lines(chunked, samples_taken=len(chunked)))
    _, schema = decided(Lines(chunked))
    assert same(schema, whole)


def test_a_schema_that_holds_is_proven_in_one_pass() -> None:
    source = Lines([["1"], ["2"], ["3"]])
    guessed, schema = decided(source)
    assert same(guessed, schema)
    assert (source.scans, source.looks) == (1, 1)


def test_only_chunks_that_do_not_fit_are_looked_at_and_text_needs_no_second_pass() -> None:
    source = Lines([["1"], ["2"], ["x"], ["4"]])
    guessed, schema = decided(source)
    assert widened(guessed, schema) == {"a": "int8 → string"}
    assert (source.scans, source.looks) == (1, 2)


def test_a_column_without_values_in_the_samples_gets_the_type_of_those_that_come_later() -> None:
    source = Lines([["", "NA"], ["", "NA"], ["5"], ["6"]])
    guessed, schema = decided(source)
    assert widened(guessed, schema) == {"a": "string → int8"}
    assert source.scans == 2


def test_a_type_that_may_not_hold_what_fitted_before_is_tried_again() -> None:
    source = Lines([["1"], ["0.12345678901234567890123"], ["2.5"]])
    _, schema = decided(source)
    assert schema.columns[0].type.kind == "decimal"
    assert source.scans == 2


def test_values_that_leave_a_date_in_doubt_are_not_looked_at_one_by_one() -> None:
    source = Lines([["03/04/2024"]] * 5 + [["13/04/2024"]] + [["03/04/2024"]] * 5)
    guessed, schema = decided(source)
    assert widened(guessed, schema) == {"a": "string → date32[day] (DD/MM/YYYY)"}
    assert (source.scans, source.looks) == (2, 2)


def test_floats_that_no_decimal_holds_are_looked_at_once() -> None:
    source = Lines([["1e5"], *[["1.2345678901234567891e5"]] * 9])
    guessed, schema = decided(source)
    assert schema.columns[0].type.kind == "float" and same(guessed, schema)
    assert (source.scans, source.looks) == (1, 2)


def test_new_columns_are_told_as_such() -> None:
    one, two = (Column(name, found.type) for name, found in (("a", ColumnGuess(OPTIONS).finish()), ("b", ColumnGuess(OPTIONS).finish())))
    assert widened(Schema((one,)), Schema((one, two))) == {"b": "→ string"}
