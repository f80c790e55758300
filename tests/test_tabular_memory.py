"""Memory stays bounded however large the file is: measured as the peak of a process that does nothing but convert."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BOUND_MIB = 330
"""pyarrow and the SDKs take about 100 MiB before the first row; as text in memory alone, the CSV would take more than 200."""

CODE = """
import sys
from pathlib import Path
from tests.tabular import key_of, local_store, peak_memory_mib
from portal.tabular.conversion.converting import convert_object
folder, name = Path(sys.argv[1]), sys.argv[2]
store = local_store(folder)
done = convert_object(store, store.stat(key_of(folder / name)), store, key_of(folder / (name + ".parquet")), scratch=folder)
print(done.rows_out, peak_memory_mib())
"""


def peak(folder: Path, name: str) -> tuple[int, int]:
    """Convert in a process of its own; returns the rows and the peak memory in MiB."""
    root = Path(__file__).resolve().parent.parent
    told = subprocess.run([sys.executable, "-c", CODE, str(folder), name], cwd=root, capture_output=True, text=True, check=True).stdout.split()
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
