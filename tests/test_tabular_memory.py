"""Memory stays bounded however large the file is: measured as the peak of a process that does nothing but convert."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

BOUND_MIB = 330
"""pyarrow and the SDKs take about 100 MiB before the first row; as text in memory alone, the CSV would take more than 200."""
PROMISED_MIB = 450
"""For what is there to fill the memory."""

CODE = """
import json, sys
from pathlib import Path
from tests.tabular import key_of, local_store, peak_memory_mib
from portal.tabular.conversion.converting import convert_object
from portal.tabular.options import ConvertOptions
from portal.errors import ConversionFailed
folder, name, options = Path(sys.argv[1]), sys.argv[2], ConvertOptions(**json.loads(sys.argv[3]))
store = local_store(folder)
try:
    rows = convert_object(store, store.stat(key_of(folder / name)), store, key_of(folder / (name + ".out")), options, scratch=folder).rows_out
except ConversionFailed as error:
    print(error, file=sys.stderr)
    rows = -1
print(rows, peak_memory_mib())
"""


def peak(folder: Path, name: str, **options: Any) -> tuple[int, int]:
    """Convert in a process of its own; returns the rows, -1 where that was refused, and the peak memory in MiB."""
    root = Path(__file__).resolve().parent.parent
    command = [sys.executable, "-c", CODE, str(folder), name, json.dumps(options)]
    told = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout.split()
    return int(told[0]), int(told[1])


@pytest.mark.timeout(240)
def test_a_large_csv_needs_no_more_memory_than_a_small_one(tmp_path: Path) -> None:
    block = "".join(f'{n},{n * 7919 % 1009 / 7:.6f},"text {n % 977} of the row",2013-01-{n % 28 + 1:02}T05:00Z,{n % 5:05}\n' for n in range(20_000))
    for name, blocks in (("small.csv", 16), ("large.csv", 128)):
        with (tmp_path / name).open("w") as file:
            file.write("id,value,text,moment,code\n")
            file.writelines(block for _ in range(blocks))
    assert (tmp_path / "large.csv").stat().st_size > 140 << 20
    rows, small = peak(tmp_path, "small.csv")
    assert rows == 320_000
    rows, large = peak(tmp_path, "large.csv")
    assert rows == 2_560_000
    assert large < BOUND_MIB
    assert large < small + 80


def test_one_large_json_array_is_never_held(tmp_path: Path) -> None:
    record = '{"id": %d, "name": "' + "x" * 400 + '", "values": [1.5, 2.5], "inner": {"a": 1}}'
    with (tmp_path / "large.json").open("w") as file:
        file.write("[" + record % 0)
        file.writelines(",\n" + record % n for n in range(1, 100_000))
        file.write("]")
    rows, large = peak(tmp_path, "large.json")
    assert rows == 100_000
    assert large < BOUND_MIB


def test_texts_that_a_parquet_file_keeps_once_are_read_in_pieces(tmp_path: Path) -> None:
    texts = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 250_000, pa.int32()), ["x" * 1_000, "y" * 1_000]).cast(pa.string())
    pq.write_table(pa.table({"s": texts}), tmp_path / "small.parquet", row_group_size=250_000)
    assert (tmp_path / "small.parquet").stat().st_size < 100_000
    rows, most = peak(tmp_path, "small.parquet", format="parquet", row_group_rows=20_000)
    assert rows == 500_000
    assert most < BOUND_MIB


@pytest.mark.parametrize("value", ["y" * 150_000_000 + '"', "x\n" * 75_000_000], ids=["closed", "open"])
def test_a_csv_value_beyond_all_bounds_is_refused_in_bounded_memory(tmp_path: Path, value: str) -> None:
    (tmp_path / "long.csv").write_text(f'a,b\n1,"{value}\n2,z\n')
    rows, most = peak(tmp_path, "long.csv")
    assert rows == -1
    assert most < PROMISED_MIB
