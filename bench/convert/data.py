"""The files that are converted: made once, always the same bytes, kept outside the repository."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

_VERSION = 1
"""Part of the names: another generator makes other files."""
_WORDS = ("alpha", "bravo", "charlie", "delta", "echo über", 'foxtrot "q"', "golf", "hotel\nline", "", "007")
_BLOCK_ROWS = 50_000


@dataclass(frozen=True)
class Work:
    """One file to convert."""

    name: str
    title: str
    suffix: str
    write: Callable[[Path, int], None]
    rows: int
    quick_rows: int

    def path(self, folder: Path, rows: int) -> Path:
        """Return the file with so many rows, made when it is not there yet."""
        path = folder / f"{self.name}-{rows}-v{_VERSION}{self.suffix}"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            unfinished = path.with_suffix(f".{os.getpid()}.part")
            self.write(unfinished, rows)
            unfinished.replace(path)
        return path


def numeric(path: Path, rows: int) -> None:
    """A timestamp and 22 doubles of full precision."""
    numbers = np.random.default_rng(1)
    schema = pa.schema([("ts", pa.timestamp("s")), *((f"c{place}", pa.float64()) for place in range(22))])
    with pyarrow.csv.CSVWriter(path, schema) as writer:
        for start in range(0, rows, _BLOCK_ROWS):
            count = min(_BLOCK_ROWS, rows - start)
            moments = np.datetime64("2020-01-01") + np.arange(start, start + count).astype("timedelta64[s]")
            arrays = [pa.array(moments).cast(pa.timestamp("s")), *(pa.array(numbers.random(count)) for _ in range(22))]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=schema))


def texts(path: Path, rows: int) -> None:
    """16 columns, most of them text: quotes, line breaks in values, ids with leading zeros, empty values, amounts, dates, flags."""
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write("id,sku,name,city,street,comment,code,flag,amount,day,a,b,c,d,e,f\r\n")
        for line in _text_rows(rows):
            file.write(line)


def _text_rows(rows: int) -> Iterator[str]:
    chance = random.Random(2)
    quoted = ['"' + word.replace('"', '""') + '"' if '"' in word or "\n" in word else word for word in _WORDS]
    for number in range(rows):
        pick = chance.choices(quoted, k=8)
        comment = " ".join(chance.choices(_WORDS, k=9)).replace('"', '""')
        yield (
            f"{number},{number % 9999:06d},{pick[0]},{pick[1]},street {number % 977} block {number % 17},\"{comment}\",{chance.getrandbits(64):016x},"
            f"{'YN'[number % 2]},{chance.random() * 1e4:.2f},2024-{number % 12 + 1:02d}-{number % 28 + 1:02d},{','.join(pick[2:])}\r\n"
        )  # fmt: skip


def events(path: Path, rows: int) -> None:
    """NDJSON: numbers, texts, moments, booleans, a list, an object, nulls."""
    chance = random.Random(3)
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(json.dumps(_event(chance, number), ensure_ascii=False, separators=(",", ":")) + "\n")


def _event(chance: random.Random, number: int) -> dict[str, object]:
    return {
        "id": number, "uid": f"u{number:09d}", "ts": f"2024-{number % 12 + 1:02d}-{number % 28 + 1:02d}T12:{number % 60:02d}:00Z",
        "amount": round(chance.random() * 1e4, 2), "x": chance.random(), "ok": number % 3 == 0, "name": chance.choice(_WORDS),
        "city": chance.choice(_WORDS), "tags": chance.choices(_WORDS, k=3), "geo": {"lat": chance.uniform(-90, 90), "lon": chance.uniform(-180, 180)},
        "note": " ".join(chance.choices(_WORDS, k=12)) if number % 2 else None,
    }  # fmt: skip


WORKS = {
    work.name: work
    for work in (
        Work("numbers", "CSV, a timestamp and 22 doubles", ".csv", numeric, 1_000_000, 20_000),
        Work("texts", "CSV, mostly text", ".csv", texts, 1_000_000, 20_000),
        Work("events", "NDJSON, nested", ".ndjson", events, 3_600_000, 20_000),
    )
}
