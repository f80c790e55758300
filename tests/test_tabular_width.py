"""Wide tables: cut into batches of a bounded number of cells, with the same rows, places and misfits; those beyond all use are refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.tabular import width
from portal.tabular.csv_format.reader import CsvReader
from portal.tabular.json_format.reader import JsonReader
from portal.tabular.options import ConvertOptions
from tests.texts import text_of

RECORDS: list[dict[str, Any]] = [{"a": n, "b": {"c": "x\n{," * (n % 3)}} for n in range(9)]
TEXTS = {
    "lines": "\n".join([*map(json.dumps, RECORDS[:4]), "", "no JSON", *map(json.dumps, RECORDS[4:])]),
    "sequence": "\r\n\n".join(json.dumps(record, indent=1) for record in RECORDS),
    "array": json.dumps(RECORDS, indent=1),
    "csv": "a,b\n" + "".join(f'{n},"{"x" * n}\r\n"\n' for n in range(9)) + "\n9\n10,y,z\n11,w\n",
}


def parsed(kind: str, most_cells: int) -> tuple[list[Any], list[Any], int]:
    """All rows, all misfits, and the most rows of a batch."""
    text, options = text_of(TEXTS[kind]), ConvertOptions(ragged="pad")
    reader: Any = CsvReader(text, options) if kind == "csv" else JsonReader.detect(text.samples(), options)
    for chunk in reader.sampled(text.samples()):
        reader.look(chunk)
    parse = reader.parser(reader.schema())
    with pytest.MonkeyPatch.context() as patch, text.open() as stream:
        patch.setattr(width, "MOST_CELLS", most_cells)
        chunks = list(reader.chunks(stream))
    found = [parse(chunk) for chunk in chunks]
    assert [chunk.number for chunk in chunks] == list(range(len(chunks)))
    rows = [row for each in found for row in each.batch.to_pylist()]
    return rows, [misfit for each in found for misfit in each.misfits], max(each.batch.num_rows for each in found)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(sorted(TEXTS)), st.integers(1, 30))
def test_a_chunk_with_too_many_cells_is_cut_and_nothing_else_changes(kind: str, most_cells: int) -> None:
    rows, misfits, most = parsed(kind, most_cells)
    assert (rows, misfits) == parsed(kind, 1 << 20)[:2]
    assert most <= max(1, most_cells // 2)


def looked(text: str, **options: Any) -> Any:
    given_text = text_of(text)
    reader = JsonReader.detect(given_text.samples(), ConvertOptions(**options))
    for chunk in reader.sampled(given_text.samples()):
        reader.look(chunk)
    return reader.schema()


def test_json_with_more_names_than_columns_can_be_is_refused() -> None:
    text = "".join(json.dumps({f"c{n}": 1}) + "\n" for n in range(10_001))
    with pytest.raises(ConversionFailed, match=r"10,001 columns or more; 10,000 are the most") as told:
        looked(text)
    assert 'types={"column": "json"}' in told.value.hint


def test_names_below_a_column_count_unless_it_is_asked_for_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(width, "MOST_COLUMNS", 30)
    text = json.dumps({"id": 1, "days": [{f"d{n}": {"x": 1}} for n in range(31)]}) + "\n"
    with pytest.raises(ConversionFailed, match="32 columns"):
        looked(text)
    assert [column.type.kind for column in looked(text, types={"days": "json"}).columns] == ["integer", "json"]


def test_objects_of_many_names_are_json_text_and_their_names_are_not_kept() -> None:
    text = "".join(json.dumps({"m": {f"k{n}": n}}) + "\n" for n in range(2_000))
    (column,) = looked(text).columns
    assert column.type.kind == "json"
    assert "more than 500 different names" in column.note


def test_a_csv_with_too_many_columns_or_a_name_beyond_use_is_refused() -> None:
    with pytest.raises(ConversionFailed, match=r"10,001 columns or more"):
        CsvReader(text_of("a," * 10_000 + "b\n" + "1," * 10_000 + "1\n"), ConvertOptions(header="yes"))
    with pytest.raises(ConversionFailed, match=r"The name of column 2 has 5,000 characters; 4,096 are the most"):
        CsvReader(text_of("a," + "b" * 5_000 + "\n1,2\n"), ConvertOptions(header="yes"))
    CsvReader(text_of("a," + "b" * 5_000 + "\n1,2\n"), ConvertOptions(header="no"))
