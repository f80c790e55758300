"""What the native library reads wrongly is told by the careful path, which reads some of every file again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.errors import ProofFailed
from portal.native import csv_kernel
from portal.native.csv_kernel import CsvParsed
from portal.native.json_kernel import JsonKernel, JsonParsed
from portal.native.library import absence
from portal.tabular.proving import second_opinion
from portal.tabular.proving.second_opinion import chosen
from tests.tabular import convert

pytestmark = pytest.mark.skipif(bool(absence()), reason="there is no kernel")

ROWS = 300
CSV = "i,f,t,d\n" + "".join(f"{n},{n}.25,t{n},2001-01-{1 + n % 28:02}\n" for n in range(ROWS))
NDJSON = "".join(json.dumps({"i": n, "f": n + 0.25, "in": {"t": [f"t{n}", None]}}) + "\n" for n in range(ROWS))


def put(array: Any, row: int, value: Any) -> Any:
    """The array with another value in one row."""
    return pa.array([*array.slice(0, row).to_pylist(), value, *array.slice(row + 1).to_pylist()], array.type)


def wrong_csv(monkeypatch: pytest.MonkeyPatch, change: Callable[[CsvParsed], None]) -> None:
    right = csv_kernel.parse

    def parse(*given: Any, **options: Any) -> CsvParsed:
        found = right(*given, **options)
        if found.columns[0].type != pa.string():  # samples are looked at as texts
            change(found)
        return found

    monkeypatch.setattr(csv_kernel, "parse", parse)


@pytest.mark.parametrize(
    ("place", "row", "value", "told"),
    [(0, 7, 8, r"Line 9, column 'i': .* '8' and '7'\."), (1, 0, None, r"Line 2, column 'f': .* 'None' and '0.25'\."),
     (2, 299, "t", r"Line 301, column 't': .* 't' and 't299'\."), (3, 4, None, "Line 6, column 'd'"), (1, 3, float("nan"), "Line 5, column 'f'")],
)  # fmt: skip
def test_a_value_that_the_kernel_reads_otherwise_is_told(
    place: int, row: int, value: Any, told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:  # fmt: skip
    def change(found: CsvParsed) -> None:
        found.columns[place] = put(found.columns[place], row, value)

    wrong_csv(monkeypatch, change)
    with pytest.raises(ProofFailed, match=told):
        convert(tmp_path, CSV)
    assert not (tmp_path / "file.parquet").exists()


def test_bits_count_and_all_rows_that_differ(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def change(found: CsvParsed) -> None:
        found.columns[0] = pc.multiply(found.columns[0], -1.0)

    wrong_csv(monkeypatch, change)
    with pytest.raises(ProofFailed, match=r"Line 2, column 'a': .* '-0.0' and '0.0' \(and 1 more of 2 values\)"):
        convert(tmp_path, "a\n0.0\n1.5\n")


def test_records_that_are_lost_or_taken_for_misfits_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def lose(found: CsvParsed) -> None:
        found.columns, found.starts, found.rows = [column.slice(0, ROWS - 1) for column in found.columns], found.starts[:-1], ROWS - 1

    with monkeypatch.context() as patch:
        wrong_csv(patch, lose)
        with pytest.raises(ProofFailed, match=r"Line 301, column 'i': .*, nothing and '299'\."):
            convert(tmp_path, CSV)

    def misjudge(found: CsvParsed) -> None:
        lose(found)
        found.ragged = pa.array([[len(CSV) - 20, len(CSV) - 1, 3]]).to_numpy(zero_copy_only=False)[0].reshape(1, 3)

    wrong_csv(monkeypatch, misjudge)
    with pytest.raises(ProofFailed, match=r"do not agree that a record does not fit\. Line 30"):
        convert(tmp_path, CSV, on_reject="keep")


@pytest.mark.parametrize(("path", "told"), [(("i",), "Line 4, column 'i': .* '9' and '3'"), (("in", "t"), "Line 4, column 'in'")])
def test_json_is_read_twice_too(path: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    right = JsonKernel.parse

    def parse(self: JsonKernel, *given: Any) -> JsonParsed:
        found = right(self, *given)
        rows = found.batch.to_pylist()
        for name in path[:-1]:
            rows[3] = {**rows[3], name: {**rows[3][name], path[-1]: ["t3", ""]}}
        rows[3] = {**rows[3], **({"i": 9} if len(path) == 1 else {})}
        return replace(found, batch=pa.array(rows, found.batch.type))

    monkeypatch.setattr(JsonKernel, "parse", parse)
    with pytest.raises(ProofFailed, match=told):
        convert(tmp_path, NDJSON, "file.ndjson")


@pytest.mark.parametrize(("name", "text"), [("file.csv", CSV), ("file.ndjson", NDJSON), ("file.json", f"[{NDJSON.strip().replace(chr(10), ',')}]")])
@pytest.mark.parametrize("size", [100, 1000, 1 << 20])
def test_how_many_records_were_read_twice_is_reported(name: str, text: str, size: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(second_opinion, "SLICE_BYTES", size)
    (source,) = convert(tmp_path, text, name).done.sources
    assert 0 < source.rows_read_twice <= ROWS and (source.rows_read_twice == ROWS) == (size > len(text))
    assert source.rows_read_twice >= 0.8 * min(size, len(text)) / len(text) * ROWS - 2


def test_a_record_that_is_too_long_is_read_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(second_opinion, "SLICE_BYTES", 10)
    monkeypatch.setattr(second_opinion, "_LARGEST_BYTES", 100)
    (source,) = convert(tmp_path, "a,b\n" + "x" * 200 + ",1\n2,3\n").done.sources
    assert source.rows_read_twice == 0


def test_few_of_many_chunks_are_chosen_and_some_far_behind() -> None:
    counts = [sum(map(chosen, range(chunks))) for chunks in (1, 16, 17, 100, 2560, 25600)]
    assert counts == [1, 1, 2, 7, 25, 39]
    assert any(chosen(number) for number in range(20000, 25600))


LINES = ["1,x", "2", '"3","a\nb"', "x,y", '4,"a""b"', "", "007,z", "5,"]


@settings(max_examples=25, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.lists(st.sampled_from(LINES), max_size=12), st.integers(1, 60), st.sampled_from("\n\r"))
def test_two_readers_that_are_right_agree(lines: list[str], size: int, end: str) -> None:
    with pytest.MonkeyPatch.context() as patch, TemporaryDirectory() as folder:
        patch.setattr(second_opinion, "SLICE_BYTES", size)
        text = end.join(["a,b", "1,2", *lines])
        convert(Path(folder), text, on_reject="keep", types={"a": "int64"})
