"""Parquet as a source: every value arrives as it was, or as the asked type says it exactly, or its row is set apart with the reason."""

from __future__ import annotations

import io
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import ConversionFailed, Unreachable
from portal.tabular.columns.column_types import TEXT
from portal.tabular.columns.schema import Column, Schema
from portal.tabular.columns.type_names import parse
from portal.tabular.conversion.table import Tally
from portal.tabular.options import ConvertOptions
from portal.tabular.parquet_format import table as table_module
from portal.tabular.parquet_format.misfits import Casts
from portal.tabular.parquet_format.strict import StrictCast
from portal.tabular.parquet_format.table import ParquetTable, Rows
from portal.tabular.rows import Misfit
from portal.tabular.text.objects import Passed, SourceReader, StoreObject
from tests.tabular import key_of, local_store

D = Decimal


@dataclass
class Held:
    """A source in memory that counts what is read of it."""

    data: bytes
    name: str = "rows.parquet"
    read: int = 0
    broken: bool = False

    @property
    def size_bytes(self) -> int:
        return len(self.data)

    def range(self, start: int, length: int) -> bytes:
        if self.broken:
            raise Unreachable("The service does not answer.")
        self.read += length
        return self.data[start : start + length]

    def open(self, passed: Passed) -> SourceReader:
        raise NotImplementedError


def held(table: pa.Table, **how: Any) -> Held:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **how)
    return Held(buffer.getvalue())


def rows_of(source: Any, **options: Any) -> tuple[pa.Table, list[Misfit]]:
    reader = ParquetTable(source, ConvertOptions(**options), lambda: None)
    schema = reader.schema()
    parts = list(reader.scan(schema))
    assert all(part.records == part.batch.num_rows + len(part.misfits) for part in parts)
    return pa.Table.from_batches([part.batch for part in parts], schema.arrow), [misfit for part in parts for misfit in part.misfits]


def cast_of(source: Any, kind: Any, options: ConvertOptions) -> StrictCast:
    return StrictCast.make(Column("c", kind, asked=True), source, options)


EVERY_KIND = pa.table({
    "i8": pa.array([-128, None, 127], pa.int8()), "u64": pa.array([2**64 - 1, 0, None], pa.uint64()),
    "f32": pa.array([0.1, None, -0.0], pa.float32()),
    "text": ["", None, "ü\0"], "coded": pa.array(["a", "b", "a"]).dictionary_encode(), "large": pa.array(["x", None, "y"], pa.large_string()),
    "d": [date(1, 1, 1), None, date(9999, 12, 31)], "ns": pa.array([1, None, -(2**62)], pa.timestamp("ns")),
    "s": pa.array([0, 1, None], pa.timestamp("s", "Europe/Berlin")), "money": pa.array([D("1.10"), None, D("-9.99")], pa.decimal128(38, 2)),
    "raw": [b"\xff", None, b""], "at": pa.array([1, None, 3], pa.time64("ns")), "lasts": pa.array([1, None, 3], pa.duration("us")),
    "list": [[1, None], [], None], "nested": [{"a": [{"b": D("1.5")}]}, None, {"a": None}],
    "map": pa.array([[("k", 1)], None, []], pa.map_(pa.string(), pa.int64())), "nothing": pa.nulls(3),
})  # fmt: skip
STORED_OTHERWISE = {"coded": pa.string(), "large": pa.string(), "s": pa.timestamp("ms", "Europe/Berlin"), "nothing": pa.string()}


def test_values_of_every_kind_arrive_as_they_were() -> None:
    table, misfits = rows_of(held(EVERY_KIND))
    assert misfits == []
    for field in EVERY_KIND.schema:
        kind = STORED_OTHERWISE.get(field.name, field.type)
        assert table.schema.field(field.name).type == kind
        wanted = pa.nulls(3, kind) if field.name == "nothing" else EVERY_KIND[field.name].cast(kind)
        assert table[field.name].to_pylist() == wanted.to_pylist() and table[field.name].cast(kind).equals(pa.chunked_array(wanted))


WRITTEN = [{"row_group_size": 7}, {"compression": "zstd", "use_dictionary": False}, {"data_page_version": "2.0", "version": "1.0"}]


@pytest.mark.parametrize("how", WRITTEN)
def test_rows_come_in_order_from_all_row_groups(how: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.tabular.parquet_format.table._BATCH_BYTES", 4096)
    monkeypatch.setattr("portal.tabular.parquet_format.table._AT_ONCE_BYTES", 0 if "version" in how else 1 << 20)
    given_table = pa.table({"n": range(3000), "t": [f"row {n}" * (n % 7) for n in range(3000)]})
    table, _ = rows_of(held(given_table, **how))
    assert table.equals(given_table)


def test_a_file_without_rows_has_its_columns() -> None:
    table, _ = rows_of(held(EVERY_KIND.slice(0, 0)))
    assert table.num_rows == 0 and table.column_names == EVERY_KIND.column_names


def test_columns_that_nobody_asks_for_are_not_read() -> None:
    wide = pa.table({"n": range(1000), "wide": [f"{n:0400}" for n in range(1000)], "k": range(1000)})
    source = held(wide, compression="none", use_dictionary=False, write_statistics=False)
    table, _ = rows_of(source, columns=("n",), where="k > 5")
    assert table.column_names == ["n", "k"] and source.read < len(source.data) / 2


CASTS: list[tuple[Any, str, list[Any], list[int]]] = [
    (pa.array([1, 300, None, -1]), "int8", [1, None, -1], [1]),
    (pa.array([2**64 - 1, 5], pa.uint64()), "int64", [5], [0]),
    (pa.array([2**60, 2**53 + 1, None, 2**63 - 1]), "float64", [2.0**60, None], [1, 3]),
    (pa.array([2**24 + 1, 5]), "float32", [5.0], [0]),
    (pa.array([1.0, 1.5, -0.0, float("nan"), None, 1e30]), "int64", [1, None], [1, 2, 3, 5]),
    (pa.array([0.1, 0.5, 1e300, -0.0]), "float32", [0.5, -0.0], [0, 2]),
    (pa.array([0.1, 0.125, float("nan"), 1e300, None]), "decimal(5,2)", [D("0.10"), None], [1, 2, 3]),
    (pa.array([D("0.10"), D("123456789012345678.91"), None]), "float64", [0.1, None], [1]),
    (pa.array([D("1.00"), D("1.50")]), "int64", [1], [1]),
    (pa.array([D("1.00"), D("1.55")]), "decimal(3,1)", [D("1.0")], [1]),
    (pa.array([1, 1000]), "decimal(3,0)", [D(1)], [1]),
    (pa.array([1, 10**6], pa.timestamp("ns")), "timestamp(ms)", [datetime(1970, 1, 1, 0, 0, 0, 1000)], [0]),
    (pa.array([datetime(2020, 1, 1), datetime(2020, 1, 1, 1)]), "date", [date(2020, 1, 1)], [1]),
    (pa.array([date(2020, 1, 1), date(9999, 1, 1)]), "timestamp(ns)", [datetime(2020, 1, 1)], [1]),
    (pa.array([datetime(2020, 1, 1)], pa.timestamp("us", "+02:00")), "timestamp[UTC]", [datetime(2020, 1, 1, tzinfo=UTC)], []),
    (pa.array([-800_000, 0, 3_000_000], pa.date32()), "timestamp(ns)", [datetime(1970, 1, 1)], [0, 2]),
    (pa.array(["1", "x", "1.5", None, "007"]), "int64", [1, None, 7], [1, 2]),
    (pa.array(["x", "1"]).dictionary_encode(), "int64", [1], [0]),
    (pa.array([0.1, 1e20, None]), "string", ["0.1", "1e+20", None], []),
    (pa.array([True, None]), "string", ["true", None], []),
    (pa.array([1577836800000]), "timestamp(epoch_ms)", [datetime(2020, 1, 1, tzinfo=UTC)], []),
    (pa.array([20200101, 20209999]), "date(YYYYMMDD)", [date(2020, 1, 1)], [1]),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind", "fitting", "wrong"), CASTS, ids=lambda item: str(item)[:30] if isinstance(item, str) else "")
def test_a_value_is_cast_exactly_or_its_row_is_set_apart(values: Any, kind: str, fitting: list[Any], wrong: list[int]) -> None:
    table, misfits = rows_of(held(pa.table({"c": values, "n": range(len(values))})), types={"c": kind})
    assert table["c"].to_pylist() == fitting and table.schema.field("c").type == parse(kind, "c").arrow
    assert [misfit.line for misfit in misfits] == [place + 1 for place in wrong]
    assert all(misfit.column == "c" and kind.split("(")[0] in misfit.reason and f'"n": "{misfit.offset}"' in misfit.raw for misfit in misfits)


MEANINGLESS = [
    (pa.array([1]), "boolean"), (pa.array([datetime(2020, 1, 1)]), "timestamp[UTC]"), (pa.array([b"a"]), "string"), (pa.array([1.5]), "date"),
    (pa.array([[1]]), "list<int32>"), (pa.array([{"a": 1}]), "string"), (pa.array([True]), "int64"),
]  # fmt: skip


@pytest.mark.parametrize(("values", "kind"), MEANINGLESS, ids=lambda item: item if isinstance(item, str) else "")
def test_a_cast_that_would_change_what_values_mean_is_refused(values: Any, kind: str) -> None:
    with pytest.raises(ConversionFailed, match="Column 'c' is") as told:
        rows_of(held(pa.table({"c": values})), types={"c": kind})
    assert told.value.hint


NUMBER = st.one_of(
    st.none(), st.integers(-(2**63), 2**63 - 1), st.integers(-300, 300), st.sampled_from([2**53, 2**53 + 1, -(2**53) - 1, 2**24 + 1, 2**63 - 1])
)


KINDS = ["int8", "int32", "uint16", "uint64", "float32", "float64", "decimal(5,2)", "decimal(38,0)", "string"]


@settings(max_examples=100, deadline=None)
@given(st.lists(NUMBER, max_size=6), st.sampled_from(KINDS))
def test_an_integer_is_the_same_number_in_any_type_or_none(numbers: list[int | None], kind: str) -> None:
    values = pa.array(numbers, pa.int64())
    cast = cast_of(values.type, parse(kind, "c"), ConvertOptions())
    wrong = dict(cast.problems(values))
    kept = [number for place, number in enumerate(numbers) if place not in wrong]
    assert [None if value is None else int(value) for value in cast.cast(pa.array(kept, pa.int64())).to_pylist()] == kept
    for place in wrong:
        assert not _holds(cast.type.arrow, numbers[place])


def _holds(kind: Any, number: int | None) -> bool:
    """Whether a type has a value for a number, by Python's own arithmetic."""
    if number is None or pa.types.is_string(kind):
        return True
    if pa.types.is_floating(kind):
        return int(float(np.float32(number) if kind == pa.float32() else number)) == number
    if pa.types.is_decimal(kind):
        return abs(number) < 10 ** (kind.precision - kind.scale)
    low, high = (0, 2**kind.bit_width) if pa.types.is_unsigned_integer(kind) else (-(2 ** (kind.bit_width - 1)), 2 ** (kind.bit_width - 1))
    return low <= number < high


FLOATS = st.none() | st.floats() | st.sampled_from([0.1, 1.5, -0.0, 2.0**63])


@settings(max_examples=100, deadline=None)
@given(st.lists(FLOATS, max_size=6), st.sampled_from(["float32", "int64", "decimal(20,4)", "string"]))
def test_a_float_is_the_same_number_in_any_type_or_none(numbers: list[float | None], kind: str) -> None:
    values = pa.array(numbers, pa.float64())
    cast = cast_of(values.type, parse(kind, "c"), ConvertOptions())
    wrong = dict(cast.problems(values))
    kept = [number for place, number in enumerate(numbers) if place not in wrong]
    there = cast.cast(pa.array(kept, pa.float64())).to_pylist()
    assert [None if value is None else repr(float(value)) for value in there] == [None if number is None else repr(number) for number in kept]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(10**15), 10**15) | st.integers(10**17, 10**20), max_size=6), st.integers(0, 15))
def test_a_decimal_is_the_float_of_its_digits_and_back(digits: list[int], scale: int) -> None:
    numbers = [D(number).scaleb(-scale) for number in digits]
    fine, options = pa.decimal128(38, scale), ConvertOptions()
    to_float = cast_of(fine, parse("float64", "c"), options)
    wrong = dict(to_float.problems(pa.array(numbers, fine)))
    assert all(len(str(abs(digits[place])).rstrip("0")) > 15 or abs(numbers[place]) > 2**53 for place in wrong)
    kept = [number for place, number in enumerate(numbers) if place not in wrong]
    floats = to_float.cast(pa.array(kept, fine))
    assert floats.to_pylist() == [float(number) for number in kept]
    assert cast_of(pa.float64(), parse(f"decimal(38,{scale})", "c"), options).cast(floats).to_pylist() == kept


def test_a_large_float_is_the_integer_that_it_is() -> None:
    cast = cast_of(pa.float64(), parse("decimal(38,0)", "c"), ConvertOptions()).cast
    assert cast(pa.array([2.0**60, None, 1e23, -(2.0**53)])).to_pylist() == [2**60, None, int(1e23), -(2**53)]


FAR = [datetime(2020, 1, 1, 0, 0, 0, 123456), datetime(9999, 12, 31), None, datetime(1, 1, 1)]


def old(values: Any) -> Held:
    """A file of 96-bit moments, in several batches."""
    return held(pa.table({"t": values, "n": range(len(values))}), use_deprecated_int96_timestamps=True)


def test_old_moments_of_far_years_are_what_they_are() -> None:
    table, misfits = rows_of(old(pa.array(FAR, pa.timestamp("us"))))
    assert table["t"].to_pylist() == FAR and misfits == []


def test_old_moments_are_never_cut_nor_wrapped() -> None:
    table, misfits = rows_of(old(pa.array([1000, 1, None, -1], pa.timestamp("ns"))))
    assert table["t"].cast(pa.int64()).to_pylist() == [1, None]
    assert [(misfit.line, misfit.column) for misfit in misfits] == [(2, "t"), (4, "t")] and "timestamp(ns)" in misfits[0].reason
    table, misfits = rows_of(old(pa.array([1000, 1, None, -1], pa.timestamp("ns"))), types={"t": "timestamp(ns)"})
    assert table["t"].cast(pa.int64()).to_pylist() == [1000, 1, None, -1] and misfits == []
    table, misfits = rows_of(old(pa.array(FAR, pa.timestamp("us"))), types={"t": "timestamp(ns)"})
    assert table["n"].to_pylist() == [0, 2] and ["1677" in misfit.reason for misfit in misfits] == [True, True]


MOMENTS = pa.array([1000, 1, None, 2000, 10**18 + 1, 3000], pa.timestamp("ns"))
NESTED = {
    "struct": pa.StructArray.from_arrays([MOMENTS, pa.array(range(6))], ["t", "n"]),
    "list": pa.ListArray.from_arrays([0, 1, 1, 3, 4, 5, 6], MOMENTS),
    "both": pa.ListArray.from_arrays([0, 0, 2, 3, 4, 5, 6], pa.StructArray.from_arrays([pa.StructArray.from_arrays([MOMENTS], ["t"])], ["s"])),
    "map": pa.MapArray.from_arrays([0, 1, 2, 3, 4, 5, 6], pa.array(list("abcdef")), MOMENTS),
}  # fmt: skip
CUT = {"struct": [2, 5], "list": [3, 5], "both": [2, 5], "map": [2, 5]}


@pytest.mark.parametrize("kind", NESTED)
def test_old_moments_within_others_are_never_cut(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.tabular.parquet_format.table._BATCH_BYTES", 1)
    values = pa.concat_arrays([NESTED[kind]] * 100)
    table, misfits = rows_of(held(pa.table({"a.b": values}), use_deprecated_int96_timestamps=True))
    assert [misfit.line for misfit in misfits] == [6 * n + line for n in range(100) for line in CUT[kind]]
    assert {misfit.reason for misfit in misfits} == {"the moment has nanoseconds: take timestamp(ns)"}
    kept = values.take(pa.array([row for row in range(600) if row % 6 + 1 not in CUT[kind]]))
    assert table["a.b"].cast(values.type).to_pylist() == kept.to_pylist()


def test_old_moments_within_others_keep_their_nanoseconds_when_asked() -> None:
    table, misfits = rows_of(
        held(pa.table({"s": NESTED["struct"]}), use_deprecated_int96_timestamps=True), types={"s": "struct<t: timestamp(ns), n: int64>"}
    )
    assert misfits == [] and table["s"].combine_chunks().equals(NESTED["struct"])


def test_old_moments_are_looked_at_in_every_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.tabular.parquet_format.table._BATCH_BYTES", 1)
    counts = [1000 * n + (n % 1000 == 999) for n in range(3000)]
    table, misfits = rows_of(old(pa.array(counts, pa.timestamp("ns"))))
    assert table.num_rows == 2997 and [misfit.line for misfit in misfits] == [1000, 2000, 3000]


def test_a_store_object_is_read_counted_and_compared(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"n": range(100_000)}), path, row_group_size=1000)
    store = local_store(tmp_path)
    table = ParquetTable(StoreObject(store, store.stat(key_of(path))), ConvertOptions(), lambda: None)
    passed: list[int] = []
    tally = Tally()
    total = sum(table.parse(table.schema(), lambda parsed: parsed.batch.num_rows, passed.append, tally))
    assert total == tally.rows_in == 100_000 and sum(passed) == tally.source_bytes == path.stat().st_size and len(tally.crc64) == 16
    assert table.facts["row_groups"] == 100 and "parquet-cpp" in table.facts["written_by"]


@pytest.mark.parametrize("cut", [0, 3, 100, -1])
def test_what_is_no_whole_parquet_file_is_refused(cut: int) -> None:
    data = held(EVERY_KIND).data
    with pytest.raises(ConversionFailed, match="cannot be read") as told:
        ParquetTable(Held(data[:cut]), ConvertOptions(), lambda: None)
    assert told.value.hint


@pytest.mark.parametrize("kind", [pa.string(), pa.binary(), pa.large_string(), pa.list_(pa.string())], ids=str)
def test_texts_come_in_pieces_and_as_they_are(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table_module, "_BATCH_BYTES", 100)
    texts: list[Any] = ["é" * 30, None, "", "é" * 30, "b", "é" * 30] * 50
    table = pa.table({"t": pa.array([[text] for text in texts] if pa.types.is_list(kind) else texts).cast(kind), "n": range(len(texts))})
    reader = ParquetTable(held(table, row_group_size=120), ConvertOptions(), lambda: None)
    parsed = list(reader.scan(reader.schema()))
    assert pa.Table.from_batches([one.batch for one in parsed]).to_pylist() == table.to_pylist()
    assert [one.chunk.offset for one in parsed] == [sum(each.records for each in parsed[:place]) for place in range(len(parsed))]
    assert pa.types.is_list(kind) or max(one.batch.column("t").nbytes for one in parsed) < 250


def test_values_beyond_the_limit_are_refused_on_average_or_one_by_one() -> None:
    with pytest.raises(ConversionFailed, match=r"'t' have 40,\d+ bytes on average, more than the 1,024"):
        rows_of(held(pa.table({"t": ["x" * 40_000]})), max_record_bytes=1024)
    for text in ("x" * 2000, b"x" * 2000):
        with pytest.raises(ConversionFailed, match="Row 43: the value of 't' has 2,000 bytes, more than the 1,024"):
            rows_of(held(pa.table({"t": [None] * 42 + [text] + [None] * 42})), max_record_bytes=1024)


def test_a_broken_page_is_refused() -> None:
    source = held(pa.table({"t": [f"{n}" * 9 for n in range(5000)]}), compression="zstd", use_dictionary=False)
    source.data = source.data[:200] + bytes(2000) + source.data[2200:]
    with pytest.raises(ConversionFailed, match="cannot be read"):
        rows_of(source)


def test_rows_that_fit_one_by_one_and_not_together_are_refused() -> None:
    def few(values: Any) -> Any:
        if len(values) > 2:
            raise pa.ArrowCapacityError("too long")
        return values

    schema = Schema((Column("t", TEXT),))
    batch = pa.record_batch({"t": ["a", "b", "c"]})
    with pytest.raises(ConversionFailed, match="rows 8 to 10 cannot be held at once: too long") as told:
        Casts(schema, {"t": StrictCast(TEXT, few)})(Rows(0, 7, batch))
    assert told.value.hint and Casts(schema, {"t": StrictCast(TEXT, few)})(Rows(0, 7, batch.slice(1))).batch.num_rows == 2


def test_two_columns_of_one_name_are_refused() -> None:
    with pytest.raises(ConversionFailed, match="two columns called 'a'"):
        rows_of(held(pa.table([[1], [2]], names=["a", "a"])))


def test_a_type_for_a_column_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConversionFailed, match="'x', which the file has not") as told:
        rows_of(held(pa.table({"a": [1]})), types={"x": "int64"})
    assert "It has a." in told.value.hint


def test_what_a_store_says_stays_what_it_says() -> None:
    source = held(EVERY_KIND)
    source.data += bytes(1 << 17)
    source.broken = True
    with pytest.raises(Unreachable):
        rows_of(source)


