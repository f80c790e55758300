"""Runs the comparison: `make bench-lake`, or `python -m bench.lake [--snapshots N] [--files N] [--rounds N]`.

Ours is the engine as a runner starts it, with plan, journal, proof, ledger and the comparison of both sides; Spark's is rewrite_table_path and a copy
of what it lists with eight threads, unproven. Both from disk to disk, each run a process of its own, turn by turn; figures are medians. What starting
takes is measured the same way and told apart. After each run the source is moved away and every snapshot is read at the target by pyiceberg: how many
have the rows that the source has there. Spark cannot write to Azure with what PyPI has, so neither does here.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path

from pyiceberg.table import StaticTable

from bench.queue.table import table
from bench.transfer.measuring import Command, Run, measured, middle_of, told

_TABLES = ("plain", "deletes", "vectors")
_CONNECTIONS = """
[old]
kind = "catalog"
type = "hadoop"
warehouse = "file://{root}/data/old"
[new]
kind = "catalog"
type = "sql"
uri = "sqlite:///{root}/new.db"
warehouse = "file://{root}/data/ours"
"""


class Bench:
    """One comparison, in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("queue", "logs", "archive", "data"):
            (root / name).mkdir()
        (root / "connections.toml").write_text(_CONNECTIONS.format(root=root))
        self.environment = {"PORTAL_HOME": str(root), "PYTHONWARNINGS": "ignore"}

    def spark(self, *words: str) -> Run:
        return self._run("spark", "-m", "bench.lake.spark_side", words[0], str(self.root), *words[1:])

    def ours(self, name: str) -> Run:
        given = ["--catalog", "old", "--tables", f"n.{name}", "--target-catalog", "new", "--target", f"file://{self.root}/data/ours/"]
        return self._run("ours", "-m", "engines.migrate_iceberg", *given)

    def _run(self, who: str, *words: str) -> Run:
        run = measured(Command([sys.executable, *words], self.environment), self.root / who)
        if run.code:
            raise SystemExit(f"{' '.join(words[:3])} ended with {run.code}:\n{told(self.root / who)}")
        return run

    def fresh(self) -> None:
        """Nothing at the targets."""
        for path in [*(self.root / "data").glob("staging-*"), self.root / "data" / "theirs", self.root / "data" / "ours"]:
            shutil.rmtree(path, ignore_errors=True)
        (self.root / "new.db").unlink(missing_ok=True)

    def place(self, who: str, name: str) -> str:
        if who == "theirs":
            return (self.root / f"theirs-{name}").read_text()
        return max((self.root / "data" / "ours").rglob(f"{name}/metadata/*.metadata.json"), key=lambda path: path.stat().st_mtime).as_uri()

    def right(self, name: str, location: str, expected: dict[int, list[int]]) -> int:
        """How many snapshots have at the target the rows that they have at the source, which is out of reach then."""
        away = (self.root / "data" / "old").rename(self.root / "data" / "away")
        try:
            found = rows_of(location)
        finally:
            away.rename(self.root / "data" / "old")
        return sum(found.get(snapshot) == rows for snapshot, rows in expected.items())

    def expected(self, name: str) -> dict[int, list[int]]:
        folder = self.root / "data" / "old" / "n" / name / "metadata"
        return rows_of(max(folder.glob("v*.metadata.json"), key=lambda path: int(path.name[1:].partition(".")[0])).as_uri())


def rows_of(location: str) -> dict[int, list[int]]:
    """The ids in each snapshot, as pyiceberg reads them; a snapshot that it cannot read is left out."""
    found = {}
    table = StaticTable.from_metadata(location)
    for snapshot in table.snapshots():
        try:
            found[snapshot.snapshot_id] = sorted(table.scan(snapshot_id=snapshot.snapshot_id, selected_fields=("id",)).to_arrow()["id"].to_pylist())
        except Exception as error:
            print(f"  snapshot {snapshot.snapshot_id} of {location.rpartition('/')[0]} cannot be read: {str(error)[:120]}")
    return found


def compare(bench: Bench, rounds: int) -> list[list[str]]:
    runs: dict[tuple[str, str], list[Run]] = {}
    right: dict[tuple[str, str], str] = {}
    for name in _TABLES:
        expected = bench.expected(name)
        for _ in range(rounds if name == "plain" else 1):
            bench.fresh()
            runs.setdefault((name, "ours"), []).append(bench.ours(name))
            try:
                runs.setdefault((name, "theirs"), []).append(bench.spark("copy", name))
            except SystemExit as error:
                right[name, "theirs"] = f"none: {str(error).strip().splitlines()[-1][:150]}"
        for who in ("ours", "theirs"):
            known = right.get((name, who))
            right[name, who] = known or f"{bench.right(name, bench.place(who, name), expected)} of {len(expected)}"
    bench.fresh()
    starts = {"theirs": bench.spark("nothing"), "ours": bench.ours("empty")}
    return [[name, who, *_figures(done, starts[who]), right[name, who]] for (name, who), done in runs.items()]


def _figures(done: list[Run], start: Run) -> list[str]:
    if not done:
        return ["", "", "", ""]
    run = middle_of(done)
    return [f"{run.wall_s:.1f}", f"{run.cpu_s:.1f}", f"{start.cpu_s:.1f}", f"{run.peak_bytes >> 20}"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.lake", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--snapshots", type=int, default=20, help="snapshots of the table without deletes")
    parser.add_argument("--files", type=int, default=100, help="files that each of them adds")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where everything lies; a folder of its own is made in it")
    options = parser.parse_args()
    root = Path(tempfile.mkdtemp(prefix="bench-lake.", dir=options.folder)).resolve()
    try:
        bench = Bench(root)
        bench.spark("make", str(options.snapshots), str(options.files))
        print(f"{os.cpu_count()} CPUs; plain: {options.snapshots} snapshots of {options.files} files; deletes: format 2; vectors: format 3")
        head = ("table", "who", "wall s", "CPU s", "CPU s of starting", "peak MB", "snapshots with the right rows")
        print(table(head, compare(bench, options.rounds), right=(2, 3, 4, 5)))
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
