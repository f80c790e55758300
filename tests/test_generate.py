"""The generate engine: the same bytes for the same parameters, in any format, streamed to any store."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from awscrt import checksums

from portal.settings import CODE_ROOT
from portal.tabular.sampling import Sample, write
from tests.tabular import convert_file
from tests.transferring import Clouds, get, put


def made(kind: Any, **changes: Any) -> bytes:
    sample = Sample(**{"rows": 5_000, "columns": 3, "start": date(2024, 1, 1), "end": date(2024, 2, 1), "seed": 7, **changes})
    sink = io.BytesIO()
    steps = list(write(sample, kind, sink))
    assert steps[-1] == sample.rows
    return sink.getvalue()


def test_the_same_parameters_make_the_same_bytes() -> None:
    for kind in ("csv", "ndjson", "parquet"):
        assert made(kind) == made(kind)
        assert made(kind) != made(kind, seed=8)


def test_the_bytes_do_not_change_from_version_to_version() -> None:
    """A change here breaks the promise to people who kept a seed."""
    assert f"{checksums.crc64nvme(made('csv')):016x}" == "ef8700360e3ad227"
    assert made("csv").splitlines()[1] == (
        b"2024-01-01T00:00:00.000000Z,0.0012301533574825742,1.1157320094352772,-0.7300350300877514"
    )


def test_every_format_holds_the_same_values() -> None:
    table = pq.read_table(pa.BufferReader(made("parquet")))
    assert table.schema.names == ["timestamp", "value_1", "value_2", "value_3"]
    lines = [json.loads(line) for line in made("ndjson").splitlines()]
    rows = [{**row, "timestamp": row["timestamp"].isoformat(timespec="microseconds").replace("+00:00", "Z")} for row in table.to_pylist()]
    assert lines == rows
    text = pa_csv.read_csv(io.BytesIO(made("csv")))
    assert text.drop_columns("timestamp").equals(table.drop_columns("timestamp"))


def test_the_index_is_spread_over_the_period() -> None:
    moments = pq.read_table(pa.BufferReader(made("parquet", rows=31)))["timestamp"].to_pylist()
    assert moments == [datetime(2024, 1, day, tzinfo=UTC) for day in range(1, 32)]


def test_chunks_do_not_show() -> None:
    """More than one chunk: every value differs, and the index goes on."""
    table = pq.read_table(pa.BufferReader(made("parquet", rows=700_000)))
    assert table.num_rows == 700_000
    assert table["value_1"].combine_chunks().unique().__len__() > 699_990
    moments = table["timestamp"].cast(pa.int64()).to_numpy()
    assert (moments[1:] > moments[:-1]).all()


@pytest.mark.parametrize(("name", "store"), [("a.csv", "s3"), ("b.ndjson", "adls"), ("c.parquet", "adls"), ("d.csv", "local")])
def test_the_engine_writes_to_any_store(name: str, store: str, clouds: Clouds) -> None:
    root = {"s3": clouds.bucket, "adls": clouds.lake, "local": f"file://{clouds.home}/data"}[store]
    ran = clouds.run("generate", target=f"{root}/out/{name}", rows=1000, columns=2)
    assert (ran.code, ran.counts) == (0, {"rows": 1000})
    (output,) = ran.result["outputs"]
    data = Path(f"{clouds.home}/data/out/{name}").read_bytes() if store == "local" else get(getattr(clouds, store), f"out/{name}")
    assert (output["url"], output["size_bytes"], output["rows"]) == (f"{root}/out/{name}", len(data), 1000)
    assert output["crc64nvme"] == f"{checksums.crc64nvme(data):016x}"


def test_what_is_generated_converts_to_what_was_generated(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(made("csv"))
    result = convert_file(tmp_path / "a.csv", tmp_path)
    assert result.table.equals(pq.read_table(pa.BufferReader(made("parquet"))))


def test_existing_targets_fail_are_skipped_or_replaced(clouds: Clouds) -> None:
    target = f"{clouds.bucket}/a.csv"
    put(clouds.s3, "a.csv", "precious")
    assert clouds.run("generate", target=target, rows=10).error["type"] == "AlreadyExists"
    assert clouds.run("generate", target=target, rows=10, overwrite="skip").counts == {"skipped": 1}
    assert get(clouds.s3, "a.csv") == b"precious"
    assert clouds.run("generate", target=target, rows=10, overwrite="replace").code == 0
    assert len(get(clouds.s3, "a.csv").splitlines()) == 11


def test_the_next_attempt_overwrites_what_the_first_left(clouds: Clouds) -> None:
    target = f"{clouds.bucket}/a.csv"
    job = clouds.context()
    assert clouds.run("generate", job, target=target, rows=10).code == 0
    again = clouds.context(attempt=2)
    again.folder = job.folder
    assert clouds.run("generate", again, target=target, rows=10).code == 0


@pytest.mark.parametrize(
    ("params", "reason"),
    [
        ({"target": "s3://b/a.xls"}, "does not tell the format"), ({"target": "s3://b/"}, "names no object"), ({"rows": 0}, "rows"),
        ({"start": "2024-01-02", "end": "2024-01-02"}, "must be after"), ({"columns": 0}, "columns"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(params: dict[str, Any], reason: str, clouds: Clouds) -> None:
    ran = clouds.run("generate", **{"target": f"{clouds.bucket}/a.csv", "format": "auto", **params})
    assert ran.code == 2
    assert reason in ran.error["message"]


def test_a_dry_run_writes_nothing(clouds: Clouds) -> None:
    ran = clouds.run("generate", clouds.context(dry_run=True), target=f"{clouds.bucket}/a.csv")
    assert ran.result["report"]["plan"]["rows"] == 1_000_000
    assert clouds.s3.list_page("").objects == ()


MEASURED = """
from datetime import date
from types import SimpleNamespace
from portal.tabular.sampling import Sample, write
from tests.tabular import peak_memory_mib
sizes = []
sample = Sample(400_000, 22, date(2024, 1, 1), date(2025, 1, 1), 0)
rows = list(write(sample, "csv", SimpleNamespace(write=lambda block: sizes.append(len(block)))))[-1]
print(rows, sum(sizes), peak_memory_mib())
"""


def test_memory_stays_flat() -> None:
    """In a process of its own: 180 MB of CSV."""
    told = subprocess.run([sys.executable, "-c", MEASURED], cwd=CODE_ROOT, check=True, capture_output=True, text=True).stdout
    rows, size, peak = map(int, told.split())
    assert rows == 400_000
    assert size > 170_000_000
    assert peak < 380
