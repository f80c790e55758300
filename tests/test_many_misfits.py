"""A chunk of nothing but misfits costs no more than a person can use of it: the first are told, those behind the last of them are not looked at."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed
from portal.native.csv_kernel import CsvForm
from portal.tabular import rows
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import parse
from portal.tabular.csv_format.parsing import CsvParser
from portal.tabular.csv_format.records import grammar_of
from portal.tabular.json_format.parsing import JsonParser
from portal.tabular.options import ConvertOptions
from portal.tabular.rows import Chunk, Parsed, most_misfits
from tests.tabular import convert

SCHEMA = Schema((Column("a", parse("int64", "a"), ""), Column("b", parse("date", "b"), "")))
LINES = {
    "csv": ["1,2001-01-01", "1", "x,2001-01-01", "1,y", "x,y", "x2,y2", "1,2,3", "", '"1",2001-01-01'],
    "json": ['{"a": 1}', '{"a": "x"}', '{"b": "y"}', '{"a": 1.5, "b": "2001-01-01"}', "1", "{", '{"b": "2001-01-01"}', ""],
}  # fmt: skip


def parser(kind: str, careful: bool, **options: Any) -> Any:
    given = ConvertOptions(**options)
    if kind == "csv":
        return CsvParser(grammar_of(CsvForm()), SCHEMA, given, measure="the header", careful=careful)
    return JsonParser(SCHEMA, "lines", given, careful=careful or None)


def parsed(kind: str, careful: bool, lines: list[str], **options: Any) -> Parsed:
    found: Parsed = parser(kind, careful, **options)(Chunk(0, "".join(f"{line}\n" for line in lines).encode(), 100, 5))
    assert found.records == found.batch.num_rows + len(found.misfits) + found.unread
    return found


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", LINES)
@given(st.data(), st.integers(0, 4))
def test_the_first_are_told_and_nothing_behind_the_last(kind: str, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, most: int) -> None:
    lines = data.draw(st.lists(st.sampled_from(LINES[kind]), max_size=12))
    every = parsed(kind, True, lines)
    with monkeypatch.context() as patch:
        patch.setattr(rows, "_SOME_MISFITS", 1)
        limits = {"on_reject": "keep", "max_rejects": most}
        ways = [parsed(kind, careful, lines, **limits) for careful in (True, False)]
    for found in ways:
        assert found.misfits == every.misfits[: most + 1]
        whole = len(every.misfits) <= most
        assert found.unread == 0 if whole else found.batch.equals(every.batch.slice(0, found.batch.num_rows))
        if not whole:
            behind = sum(line.strip() != "" for line in lines[found.misfits[-1].line - 5 + 1 :])
            assert found.unread == behind
    assert ways[0].batch.equals(ways[1].batch)


@pytest.mark.parametrize("careful", [False, True])
@pytest.mark.parametrize(
    ("kind", "line"), [("csv", "a"), ("csv", "{},2001-01-01x"), ("csv", "x{},2001-01-01"), ("json", "1"), ("json", '{{"a": "x{}"}}')],
)  # fmt: skip
def test_millions_fill_no_memory_and_take_no_time(kind: str, line: str, careful: bool) -> None:
    text = "".join(line.format(number) + "\n" for number in range((4 << 20) // (len(line) + 4)))
    parse_chunk = parser(kind, careful)
    started = time.process_time()
    found = parse_chunk(Chunk(0, text.encode(), 0, 1))
    took = time.process_time() - started
    assert len(found.misfits) == most_misfits(ConvertOptions()) and found.unread == found.records - 1000
    assert took < 10


@pytest.mark.parametrize("on_reject", ["fail", "keep", "widen"])
def test_such_a_file_fails_with_its_first_record_or_that_beyond_the_limit(on_reject: str, tmp_path: Any) -> None:
    with pytest.raises(ConversionFailed, match="More than 20 rows" if on_reject == "keep" else "Line 2002: 1 values"):
        convert(tmp_path, "a,b\n" + "1,2\n" * 2000 + "a\n" * 5000, on_reject=on_reject, max_rejects=20, sample_bytes=1024)


def test_some_are_for_people_to_see_and_more_when_more_may_be_kept() -> None:
    assert most_misfits(ConvertOptions()) == 1000
    assert most_misfits(ConvertOptions(on_reject="keep", max_rejects=5000)) == 5001
    assert pa.types.is_int64(SCHEMA.arrow.field("a").type)
