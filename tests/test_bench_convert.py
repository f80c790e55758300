"""The comparison of converters judges rightly: who changed a value, who is slower by how much, and the same files every time."""

from __future__ import annotations

import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.convert import correctness
from bench.convert.data import WORKS
from bench.convert.verdicts import Line, figures_of
from bench.queue.measuring import ROOT
from bench.transfer.measuring import Run
from tests.corpus.case import case, column


@pytest.mark.parametrize("name", WORKS)
def test_the_files_are_the_same_every_time(name: str, tmp_path: Path) -> None:
    first, again = (WORKS[name].path(tmp_path / folder, 300) for folder in ("one", "two"))
    assert first.read_bytes() == again.read_bytes() and first.stat().st_size > 20_000
    kept = first.stat().st_mtime_ns
    assert WORKS[name].path(tmp_path / "one", 300).stat().st_mtime_ns == kept


JUDGED: list[tuple[Any, pa.Table, str]] = [
    (column("zeros", "string", "007"), pa.table({"a": ["007"], "other": ["x"]}), "exact"),
    (column("zeros", "string", "007"), pa.table({"a": [7], "other": ["x"]}), "changed"),
    (column("zeros", "string", "007"), pa.table({"a": ["007", "8"], "other": ["x", "x"]}), "rows lost"),
    (column("zeros", "string", "007"), pa.table({"a": ["007"]}), "rows lost"),
    (column("float", "double", "0.1"), pa.table({"a": [0.1], "other": ["x"]}), "exact"),
    (column("float", "double", "0.1"), pa.table({"a": [Decimal("0.10")], "other": ["x"]}), "exact"),
    (column("float", "double", "0.1"), pa.table({"a": pa.array([0.1], pa.float32()), "other": ["x"]}), "changed"),
    (column("nulls", "string", "x", None), pa.table({"a": ["x", ""], "other": ["x", "x"]}), "exact"),
    (column("nulls", "string", "x", "y"), pa.table({"a": ["x", None], "other": ["x", "x"]}), "changed"),
    (column("comma", "double", 1.5, file=["1,5"]), pa.table({"a": ["1,5"], "other": ["x"]}), "exact"),
    (column("comma", "double", 1.5, file=["1,5"]), pa.table({"a": [15], "other": ["x"]}), "changed"),
    (column("when", "timestamp", "2024-01-31T05:00:00.123456789"),
     pa.table({"a": pa.array([1706677200123456], pa.timestamp("us")), "other": ["x"]}), "changed"),
    (case("broken", 'a\n"', {}, error="x"), pa.table({"a": ["x"]}), "accepted"),
    (case("beyond", "a\nx\n", {"a": ["x"]}), pa.table({"a": pa.array([3_000_000], pa.date32())}), "changed"),
]  # fmt: skip


@pytest.mark.parametrize(("hard", "table", "verdict"), JUDGED)
def test_a_result_is_judged_value_by_value(hard: Any, table: pa.Table, verdict: str, tmp_path: Path) -> None:
    pq.write_table(table, tmp_path / "out.parquet")
    assert correctness._judged(hard, tmp_path / "out.parquet")[0] == verdict


def test_a_result_that_nobody_can_read_is_lost(tmp_path: Path) -> None:
    (tmp_path / "out.parquet").write_bytes(b"PAR1")
    assert correctness._judged(case("x", "a\nx\n", {"a": ["x"]}), tmp_path / "out.parquet")[0] == "rows lost"


def line(name: str, wall_s: float, peak_bytes: int, output_bytes: int) -> Line:
    runs = [Run(wall_s + 1.0, wall_s, peak_bytes)] * 3 if wall_s else []
    return Line("work", name, name, 1000, runs, [Run(1.0, 0.5, 10)], output_bytes, "" if wall_s else "it died")


def test_ours_is_held_to_the_best_of_the_others_without_the_start_up() -> None:
    lines = {one.name: one for one in (
        line("ours-unproved", 1.1, 90, 105), line("ours", 2.6, 110, 106), line("duckdb", 1.0, 100, 100), line("polars", 2.0, 80, 120),
        line("pyarrow", 0, 0, 0), line("pandas", 9.0, 500, 400),
    )}  # fmt: skip
    told = {figure.what: (round(figure.ratio or 0, 3), figure.reached) for figure in figures_of("work", lines)}
    assert told == {
        "work: ours-unproved": (1.1, True), "work: ours": (2.6, False), "work: peak memory": (1.1, False), "work: output": (1.06, False)
    }  # fmt: skip
    lines["ours"] = line("ours", 0, 0, 0)
    assert [figure.reached for figure in figures_of("work", lines)] == [True, False]


@pytest.mark.timeout(300)
def test_a_quick_run_fills_the_table(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bench.convert", "--quick", "--only", "texts", "--data", str(tmp_path), "--folder", str(tmp_path)]
    command += [word for name in ("ours", "duckdb") for word in ("--who", name)]
    ran = subprocess.run([*command, "--json", str(tmp_path / "told.json")], cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)
    assert ran.returncode == 0, ran.stdout[-3000:] + ran.stderr[-3000:]
    told = json.loads((tmp_path / "told.json").read_text())
    assert {one["name"] for one in told["lines"] if one["runs"]} == {"ours", "duckdb"}
    assert "duckdb 2" in ran.stdout and "start-up s" in ran.stdout and "best peer" in ran.stdout
