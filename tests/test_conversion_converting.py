"""Whole conversions: late surprises, rejects, what is told and left behind, sources that change, cancels."""

from __future__ import annotations

import errno
import json
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from portal.errors import AlreadyExists, Cancelled, ConversionFailed, DiskNearlyFull, RowsDoNotFit, SourceChanged, causes
from portal.tabular.columns.schema import Schema
from portal.tabular.conversion import looking, making
from portal.tabular.conversion.converting import clear_scratch, convert_object
from portal.tabular.conversion.schema_document import document_key
from portal.tabular.options import ConvertOptions
from tests.tabular import convert, key_of, local_store

SMALL: dict[str, Any] = {"sample_bytes": 1024}
"""Samples so small that most of a file of some KiB is not in them."""


def csv(*rows: str, header: str = "a,b", filler: str = "1,x", count: int = 2000) -> str:
    """A file whose middle is far from its samples; `rows` stand at 3/8 of it."""
    place = count * 3 // 8
    return "\n".join([header, *[filler] * place, *rows, *[filler] * (count - place)]) + "\n"


def line(place: int = 0, count: int = 2000) -> int:
    return count * 3 // 8 + 2 + place


def test_a_late_surprise_fails_by_default_and_publishes_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=rf"Line {line()}, column 'a': '007'") as caught:
        convert(tmp_path, csv("007,y"), **SMALL)
    assert "on_reject=widen" in caught.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv"]


def test_a_late_surprise_widens_when_asked_and_alters_no_earlier_value(tmp_path: Path) -> None:
    result = convert(tmp_path, csv("007,y"), on_reject="widen", **SMALL)
    assert result.types == {"a": "string", "b": "string"}
    assert set(result.table["a"].to_pylist()) == {"1", "007"}
    assert result.done.widened == {"a": "int64 → string"}
    assert any("wider than the samples told: int64 → string" in warning for warning in result.done.warnings)
    assert result.done.rows_in == result.done.rows_out == 2001


def test_a_file_is_done_again_when_the_first_try_has_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else both would hold their chunks in memory."""
    alive: list[str] = []

    def proven(*found: Any) -> Any:
        alive.extend(thread.name for thread in threading.enumerate() if thread.name == "read" or thread.name.startswith("parse"))
        return looking.proven(*found)

    monkeypatch.setattr(making, "proven", proven)
    convert(tmp_path, csv("007,y", count=5_000_000), on_reject="widen", **SMALL)
    assert alive == []


def test_a_full_scan_decides_by_every_value_before_anything_is_written(tmp_path: Path) -> None:
    result = convert(tmp_path, csv("2.5,y"), full_scan=True, **SMALL)
    assert result.types == {"a": "double", "b": "string"}
    assert result.done.widened == {"a": "int64 → double"}


@pytest.mark.parametrize(("filler", "rows", "kind"), [
    ("1.5,x", ["0.12345678901234567891,y"], "decimal128(21, 20)"),
    ("1.5,x", ["0.12345678901234567891,y", "1e300,y"], "double"),
    ("03/04/2024,x", ["13/04/2024,y"], "date32[day]"),
    ("03/04/2024,x", ["04/13/2024,y"], "date32[day]"),
    ("03/04/2024,x", ["12/04/2024,y"], "string"),
    ("03/04/2024,x", ["13/04/2024,y", "04/13/2024,y"], "string"), ("03/04/2024 05:00,x", ["13/04/2024 05:00,y"], "timestamp[us]"),
    ("1,x", ["300,y"], "int16"), ("NA,x", ["5,y"], "int8"),
])  # fmt: skip
def test_a_full_scan_decides_as_if_all_of_it_were_the_sample(filler: str, rows: list[str], kind: str, tmp_path: Path) -> None:
    text = csv(*rows, filler=filler)
    result = convert(tmp_path, text, full_scan=True, smallest_integers=True, **SMALL)
    assert result.types["a"] == kind
    assert result.types == convert(tmp_path, text, smallest_integers=True, full_scan=True).types
    assert (result.done.rows_in, result.done.rows_out) == (2000 + len(rows), 2000 + len(rows))
    assert re.fullmatch("every value, in (1 pass|[23] passes)", result.done.reading["decided_by"])


@pytest.mark.parametrize(("filler", "row", "kind"), [
    ('{"a": {"d": "03/04/2024", "n": 1}}', '{"a": {"d": "13/04/2024", "n": 1}}', "struct<d: date32[day], n: int64>"),
    ('{"a": [{"d": null}]}', '{"a": [{"d": "2024-04-13"}]}', "list<element: struct<d: date32[day]>>"),
    ('{"a": {}}', '{"a": {"x": 1}}', "struct<x: int64>"),
])  # fmt: skip
def test_a_full_scan_settles_what_stands_inside_objects_and_arrays(filler: str, row: str, kind: str, tmp_path: Path) -> None:
    result = convert(tmp_path, csv(row, header=filler, filler=filler), "file.ndjson", full_scan=True, **SMALL)
    assert result.types["a"].replace("item:", "element:") == kind


def test_what_a_full_scan_settled_is_not_called_wider(tmp_path: Path) -> None:
    result = convert(tmp_path, csv("13/04/2024,y", filler="03/04/2024,x"), full_scan=True, **SMALL)
    assert any("'a' is narrower than the samples told: string → date32[day] (DD/MM/YYYY)" in warning for warning in result.done.warnings)


@pytest.mark.parametrize(("name", "text"), [
    ("file.csv", 'a,b\n1,"{}"\n2,"{}"\n'), ("file.ndjson", '{{"a": 1, "b": "{}"}}\n{{"a": 2, "b": "{}"}}\n'),
    ("file.json", '[{{"a": 1, "b": "{}"}},\n{{"a": 2, "b": "{}"}}]'),
])  # fmt: skip
def test_records_larger_than_a_sample_are_looked_at_whole(name: str, text: str, tmp_path: Path) -> None:
    result = convert(tmp_path, text.format("x" * 20_000, "y" * 20_000), name, **SMALL)
    assert result.types == {"a": "int64", "b": "string"}
    assert [len(row["b"]) for row in result.rows] == [20_000, 20_000]


def test_a_new_name_in_the_middle_of_json_becomes_a_column(tmp_path: Path) -> None:
    text = csv('{"a": 1, "new": "n"}', header='{"a": 0}', filler='{"a": 1}')
    with pytest.raises(ConversionFailed, match="'new'"):
        convert(tmp_path, text, "file.ndjson", **SMALL)
    result = convert(tmp_path, text, "file.ndjson", on_reject="widen", **SMALL)
    assert result.done.widened == {"new": "→ string"}
    assert [row for row in result.rows if row["new"]] == [{"a": 1, "new": "n"}]


@pytest.mark.parametrize(("rows", "options", "reason"), [
    (["1,2,3"], {}, f"Line {line()}: 3 values"), (["z,y"], {"types": {"a": "int64"}}, f"Line {line()}, column 'a': 'z' is not an integer"),
])  # fmt: skip
def test_what_no_wider_type_would_hold_is_told_as_such(rows: list[str], options: dict[str, Any], reason: str, tmp_path: Path) -> None:
    with pytest.raises(ConversionFailed, match=reason) as caught:
        convert(tmp_path, csv(*rows), on_reject="widen", **SMALL, **options)
    assert "No wider type" in caught.value.hint
    assert not (tmp_path / "file.parquet").exists()


def test_rejects_say_where_a_record_stands_in_lines_and_bytes(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    content = csv('007,"é\n"', "x,y")
    result = convert(tmp_path, content, rejects=rejects, on_reject="keep", **SMALL)
    assert (result.done.rows_in, result.done.rows_out, result.done.rows_rejected) == (2002, 2000, 2)
    kept = [json.loads(row) for row in rejects.read_text().splitlines()]
    assert [(row["line"], row["column"], row["raw"]) for row in kept] == [(line(), "a", '007,"é\n"'), (line(2), "a", "x,y")]
    for row in kept:
        raw = row["raw"].encode()
        assert content.encode()[row["offset"] : row["offset"] + len(raw)] == raw


def test_rejects_beyond_the_limit_fail_and_the_file_holds_no_more_than_it(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    with pytest.raises(ConversionFailed, match="More than 2 rows do not fit"):
        convert(tmp_path, csv(*["x,y"] * 5), rejects=rejects, on_reject="keep", max_rejects=2, **SMALL)
    assert len(rejects.read_text().splitlines()) == 2
    assert not (tmp_path / "file.parquet").exists()


def test_rejects_of_an_earlier_try_are_not_kept(tmp_path: Path) -> None:
    rejects = tmp_path / "rejects.ndjson"
    rejects.write_text("old")
    convert(tmp_path, "a\n1\n", rejects=rejects, on_reject="keep")
    assert not rejects.exists()


def test_the_schema_stands_beside_the_result_and_is_taken_for_another_file(tmp_path: Path) -> None:
    done = convert(tmp_path, "a,b\n1,2.5\n").done
    assert done.schema_key == key_of(tmp_path / "_file.parquet.schema.json")
    document = (tmp_path / "_file.parquet.schema.json").read_text()
    assert document == done.schema
    assert [column.name for column in Schema.from_json(document).columns] == ["a", "b"]
    assert convert(tmp_path, "a,b\n7,3\n", "other.csv", schema_document=document).types == {"a": "int64", "b": "double"}


def test_no_schema_is_written_when_it_is_not_wanted(tmp_path: Path) -> None:
    assert convert(tmp_path, "a\n1\n", write_schema=False).done.schema_key == ""
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file.csv", "file.parquet"]


def test_a_schema_of_an_earlier_result_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    store = local_store(tmp_path)
    (tmp_path / "a.csv").write_text("a\n1\n")
    info, key = store.stat(key_of(tmp_path / "a.csv")), key_of(tmp_path / "a.parquet")
    convert_object(store, info, store, key)
    (tmp_path / "a.parquet").unlink()
    convert_object(store, info, store, key)
    (tmp_path / "a.parquet").unlink()
    (tmp_path / "_a.parquet.schema.json").write_text("precious")
    with pytest.raises(AlreadyExists, match="is no schema"):
        convert_object(store, info, store, key)
    assert not (tmp_path / "a.parquet").exists()
    assert (tmp_path / "_a.parquet.schema.json").read_text() == "precious"


@pytest.mark.parametrize(("key", "document"), [
    ("a/b.parquet", "a/_b.parquet.schema.json"), ("b.csv", "_b.csv.schema.json"), ("a/b/", "a/b/_b.schema.json"), ("b/", "b/_b.schema.json"),
])  # fmt: skip
def test_the_document_stands_beside_a_file_and_inside_a_folder(key: str, document: str) -> None:
    assert document_key(key) == document


def test_progress_tells_each_byte_once_however_often_the_source_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv("007,y", count=200_000))
    store, told = local_store(tmp_path), list[int]()
    options = ConvertOptions(on_reject="widen", **SMALL)
    done = convert_object(store, store.stat(key_of(path)), store, key_of(tmp_path / "a.parquet"), options, progress=told.append)
    assert sum(told) == done.source_bytes == path.stat().st_size


def test_a_source_that_changes_between_two_readings_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.csv"
    path.write_text(csv("007,y"))
    store = local_store(tmp_path)
    info, before = store.stat(key_of(path)), path.stat()

    def changed(*found: Any) -> Any:
        schema = looking.proven(*found)
        path.write_text(csv("008,y"))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        return schema

    monkeypatch.setattr(making, "proven", changed)
    with pytest.raises(SourceChanged):
        convert_object(store, info, store, key_of(tmp_path / "a.parquet"), ConvertOptions(full_scan=True, **SMALL))
    assert not (tmp_path / "a.parquet").exists()


@pytest.mark.parametrize("when", [1, 2, 4, 8])
def test_a_cancel_at_any_time_leaves_nothing(when: int, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    path = tmp_path / "a.csv"
    path.write_text(csv(count=5_000_000))
    store, calls = local_store(tmp_path), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls >= when:
            raise Cancelled

    with pytest.raises(Cancelled):
        convert_object(store, store.stat(key_of(path)), store, key_of(tmp_path / "a.parquet"), check=check, scratch=scratch)
    assert not list(scratch.iterdir())
    assert not (tmp_path / "a.parquet").exists()


def test_scratch_of_conversions_that_were_killed_is_cleared(tmp_path: Path) -> None:
    (tmp_path / "convert-x" / "files").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    clear_scratch(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


OPTIONS: list[tuple[dict[str, Any], Callable[[dict[str, Any]], bool]]] = [
    ({"where": "a > 1"}, lambda row: row["a"] > 1),
    ({"columns": ("b",), "where": "a <> 2"}, lambda row: row["a"] != 2),
]


@pytest.mark.parametrize(("options", "kept"), OPTIONS)
def test_rows_left_out_are_in_the_books(options: dict[str, Any], kept: Callable[[dict[str, Any]], bool], tmp_path: Path) -> None:
    rows = [{"a": number, "b": f"x{number}"} for number in range(5)]
    result = convert(tmp_path, "a,b\n" + "".join(f"{row['a']},{row['b']}\n" for row in rows), **options)
    names = options.get("columns", ("a", "b"))
    assert result.rows == [{name: row[name] for name in names} for row in rows if kept(row)]
    assert result.done.rows_in == 5 == result.done.rows_out + result.done.rows_filtered


def test_constants_say_where_a_row_comes_from(tmp_path: Path) -> None:
    result = convert(tmp_path, "a\n1\n", constants={"file": "{source_name}", "job": "{job}"})
    assert result.rows == [{"a": 1, "file": "file.csv", "job": "convert"}]


@pytest.mark.parametrize("options", [{}, {"sort_by": ["a"]}, {"partition_by": ["a"]}])
@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_full_disk_under_the_temporary_files_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], number: int) -> None:
    def full(*_: Any) -> None:
        raise OSError(number, "no room")

    monkeypatch.setattr("portal.tabular.output.parquet.ParquetFile.write", full)
    with pytest.raises(DiskNearlyFull, match="no room left for the temporary files") as caught:
        convert(tmp_path, "a,b\n1,x\n", on_reject="widen", **options)
    assert list(causes(caught.value)) == [caught.value]


def test_what_fails_in_the_second_pass_is_not_told_to_come_of_the_first_misfit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> Any:
        raise SourceChanged

    monkeypatch.setattr(making, "proven", broken)
    with pytest.raises(SourceChanged) as caught:
        convert(tmp_path, csv("007,y"), on_reject="widen", **SMALL)
    assert list(causes(caught.value)) == [caught.value]


def test_the_hint_for_a_ragged_row_names_what_helps(tmp_path: Path) -> None:
    with pytest.raises(RowsDoNotFit) as caught:
        convert(tmp_path, "a,b\n1,2\n3\n")
    assert all(word in caught.value.hint for word in ("ragged=pad", "comment", "skip_lines")) and "widen" not in caught.value.hint
