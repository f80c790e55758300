"""Rows chosen, columns chosen, renamed and added: what stays is as it was, and what cannot be is refused before the first row."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular.columns.column_types import INTEGER, TEXT
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.options import ConvertOptions
from portal.tabular.shaping.shape import Origin, Shaping

SCHEMA = Schema((Column("id", INTEGER, note="counts"), Column("city", TEXT), Column("zip", TEXT)))
BATCH = pa.RecordBatch.from_arrays([pa.array([1, None, 3]), pa.array(["Ulm", "Köln", None]), pa.array(["007", "", "1"])], schema=SCHEMA.arrow)
ORIGIN = Origin("s3://raw/a/b.csv", "b.csv", "01J", "2026-11-21T20:00:00Z")


def shaped(**options: Any) -> tuple[list[dict[str, Any]], int, Shaping]:
    shaping = Shaping.make(SCHEMA, ConvertOptions(**options), ORIGIN)
    batch, left_out = shaping.apply(BATCH)
    assert batch.schema == shaping.schema.arrow
    batch.validate(full=True)
    return batch.to_pylist(), left_out, shaping


def test_nothing_asked_is_nothing_done() -> None:
    shaping = Shaping.make(SCHEMA, ConvertOptions())
    assert shaping.idle and shaping.schema == SCHEMA and shaping.reads == ("id", "city", "zip")
    assert shaping.apply(BATCH) == (BATCH, 0)


def test_columns_come_in_the_order_asked_for_under_their_new_names() -> None:
    rows, left_out, shaping = shaped(columns=("zip", "id"), rename={"zip": "postal code", "id": "zip"})
    assert rows == [{"postal code": "007", "zip": 1}, {"postal code": "", "zip": None}, {"postal code": "1", "zip": 3}]
    assert left_out == 0 and shaping.schema.columns[1].note == "counts" and shaping.reads == ("id", "zip")


def test_rows_are_chosen_by_columns_that_need_not_stay() -> None:
    rows, left_out, shaping = shaped(columns=("zip",), where="city like '%l%' or id > 2")
    assert (rows, left_out, shaping.reads) == ([{"zip": "007"}, {"zip": ""}, {"zip": "1"}], 0, ("id", "city", "zip"))
    rows, left_out, _ = shaped(columns=("zip",), where="id <> 3")
    assert (rows, left_out) == ([{"zip": "007"}], 2)


def test_constants_say_where_rows_come_from() -> None:
    constants = {"from": "{source_name} of {source}", "loaded": "{loaded_at}", "job": "{job}", "plain": '{"a": 1}'}
    rows, left_out, shaping = shaped(columns=("id",), where="id = 1", constants=constants)
    assert rows == [{"id": 1, "from": "b.csv of s3://raw/a/b.csv", "loaded": "2026-11-21T20:00:00Z", "job": "01J", "plain": '{"a": 1}'}]
    assert left_out == 2 and [column.type for column in shaping.schema.columns[1:]] == [TEXT] * 4


def test_constants_that_outgrow_an_array_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.tabular.shaping.shape._MOST_BYTES", 12)
    assert shaped(columns=("id",), constants={"c": "äß"})[0][2] == {"id": 3, "c": "äß"}
    with pytest.raises(ConversionFailed, match="5 bytes in each of 3 rows") as told:
        shaped(columns=("id",), constants={"c": "äßx"})
    assert told.value.hint


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"columns": ("id", "town")}, "columns: the source has no column 'town'", "There are id, city, zip."),
    ({"columns": ("ID",)}, "no column 'ID'", "Is 'id' meant?"),
    ({"columns": ("id", "id")}, "'id' stands there twice", ""),
    ({"rename": {"town": "x"}}, "rename: the source has no column 'town'", ""),
    ({"columns": ("id",), "rename": {"city": "x"}}, "'city' is not among the chosen columns", ""),
    ({"rename": {"id": "city"}}, "Two columns of the result would be called 'city'", ""),
    ({"rename": {"id": ""}}, "no name", ""),
    ({"constants": {"id": "1"}}, "Two columns of the result would be called 'id'", ""),
    ({"constants": {"x": "{sorce}"}}, "speaks of {sorce}", "{source_name}"),
    ({"where": "town = 'Ulm'"}, "there is no column 'town'", ""),
    ({"where": "city = 1"}, "cannot be compared", ""),
]


@pytest.mark.parametrize(("options", "message", "hint"), WRONG)
def test_what_cannot_be_is_refused_before_the_first_row(options: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConversionFailed) as told:
        Shaping.make(SCHEMA, ConvertOptions(**options))
    assert message in str(told.value) and hint in told.value.hint and told.value.hint


ROWS = st.lists(st.tuples(st.none() | st.integers(0, 3), st.none() | st.text(max_size=3), st.text(max_size=3)))


@settings(max_examples=60, deadline=None)
@given(ROWS, st.permutations(["id", "city", "zip"]))
def test_kept_and_left_out_are_all_and_kept_ones_are_as_they_were(rows: list[tuple[Any, ...]], order: list[str]) -> None:
    batch = pa.RecordBatch.from_pylist([dict(zip(SCHEMA.arrow.names, row, strict=True)) for row in rows], schema=SCHEMA.arrow)
    kept, left_out = Shaping.make(SCHEMA, ConvertOptions(columns=tuple(order), where="id >= 2 or city is null")).apply(batch)
    wanted = [row for row in batch.to_pylist() if (row["id"] or 0) >= 2 or row["city"] is None]
    assert kept.to_pylist() == [{name: row[name] for name in order} for row in wanted]
    assert left_out + kept.num_rows == len(rows)
