"""The generate engine: the same bytes for the same parameters, in any format, streamed to any store."""

from __future__ import annotations

import csv
import io
import json
import re
import subprocess
import sys
import uuid
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
from awscrt import checksums
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.errors import AccessDenied, NotFound, Unreachable
from portal.settings import CODE_ROOT
from portal.tabular.sampling import Sample, write
from portal.tabular.sampling_kinds import AWKWARD, column
from portal.wire.s3_end import S3End
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


KINDS = (
    "id:serial", "at:index", "n:integer:-5..5:nulls=20", "x:float:0..1", "price:decimal:12,2:nulls=50", "ok:boolean:0.9:nulls=1", "day:date:nulls=3",
    "moment:timestamp", "name:text:0..9:nulls=10", "country:choice:DE,FR,say \"no\":nulls=2", "code:uuid", "odd:awkward:nulls=5",
)  # fmt: skip


def of_kinds(kind: Any, *kinds: str, **changes: Any) -> bytes:
    return made(kind, kinds=tuple(map(column, kinds)), **changes)


def told(value: Any) -> Any:
    """A value as both texts tell it; numbers with a fraction as numbers."""
    if isinstance(value, datetime):
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat() if isinstance(value, date) else value


def as_text(value: Any, text: str) -> Any:
    """What a cell of CSV says, where `value` is wanted."""
    if isinstance(value, bool) or value is None:
        return {"true": True, "false": False, "": None}[text]
    return type(value)(text) if isinstance(value, int | float | Decimal) else text


@settings(max_examples=25, deadline=None)
@given(
    chosen=st.lists(st.sampled_from([text.partition(":")[2] for text in KINDS]), min_size=1, max_size=6),
    rows=st.integers(1, 300), seed=st.integers(0, 2**32),
)  # fmt: skip
def test_columns_of_any_kinds_hold_the_same_values_in_every_format(chosen: list[str], rows: int, seed: int) -> None:
    kinds = [f"c{place}:{text}" for place, text in enumerate(chosen)]
    table = pq.read_table(pa.BufferReader(of_kinds("parquet", *kinds, rows=rows, seed=seed)))
    wanted = [[told(value) for value in row.values()] for row in table.to_pylist()]
    lines = of_kinds("ndjson", *kinds, rows=rows, seed=seed).split(b"\n")[:-1]
    found = [list(json.loads(line, parse_float=Decimal).values()) for line in lines]
    assert [[float(cell) if isinstance(value, float) else cell for cell, value in zip(*both, strict=True)]
            for both in zip(found, wanted, strict=True)] == wanted  # fmt: skip
    names, *cells = csv.reader(io.StringIO(of_kinds("csv", *kinds, rows=rows, seed=seed).decode(), newline=""))
    assert names == table.schema.names
    assert [[as_text(value, cell) for cell, value in zip(*both, strict=True)] for both in zip(cells, wanted, strict=True)] == wanted


def test_kinds_are_what_they_say() -> None:
    table = pq.read_table(pa.BufferReader(of_kinds("parquet", *KINDS, rows=20_000)))
    rows = table.to_pydict()
    assert rows["id"] == list(range(1, 20_001))
    assert [moment for moment in rows["at"]] == sorted(rows["at"]) and rows["at"][0] == datetime(2024, 1, 1, tzinfo=UTC)
    assert {*rows["n"]} == {None, *range(-5, 6)} and 0.18 < rows["n"].count(None) / 20_000 < 0.22
    assert 0 <= min(rows["x"]) < max(rows["x"]) < 1
    assert table.schema.field("price").type == pa.decimal128(12, 2)
    prices = [value for value in rows["price"] if value is not None]
    assert min(prices) < -9_000_000_000 and max(prices) > 9_000_000_000
    assert 0.88 < rows["ok"].count(True) / 19_800 < 0.92
    assert {value.month for value in rows["day"] if value} == {1} and {value.month for value in rows["moment"]} == {1}
    assert {len(value) for value in rows["name"] if value is not None} == set(range(10))
    assert {*rows["country"]} == {None, "DE", "FR", 'say "no"'}
    assert len({*rows["code"]}) == 20_000 and {uuid.UUID(value).version for value in rows["code"]} == {4}
    assert {value for value in rows["odd"] if value is not None} == {*AWKWARD}


def test_an_empty_text_and_a_missing_one_are_told_apart() -> None:
    text = of_kinds("csv", "a:text:0..0:nulls=50", "b:serial", rows=200).decode().splitlines()[1:]
    assert {line.partition(",")[0] for line in text} == {"", '""'}


def test_another_column_behind_them_changes_no_column() -> None:
    few, more = (pq.read_table(pa.BufferReader(of_kinds("parquet", *KINDS[:count]))) for count in (4, 9))
    assert more.select(few.schema.names).equals(few)


def test_the_bytes_of_kinds_do_not_change_from_version_to_version() -> None:
    assert {kind: f"{checksums.crc64nvme(of_kinds(kind, *KINDS)):016x}" for kind in ("csv", "ndjson")} == PINNED


PINNED = {"csv": "766b7343c2645717", "ndjson": "8924974962b512fc"}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("id", "no kind that is known"), ("id:number", "Kinds: index, serial"), (":serial", "names no column"), ("a b:serial", "names no column"),
        ("x:integer:5", "integer[:LOW..HIGH]"), ("x:integer:5..1", "LOW..HIGH"), ("x:decimal:40,2", "at most 18 digits"),
        ("x:uuid:4", "nothing more"),
        ("x:choice", "values to choose"), ("x:boolean:2", "from 0 to 1"), ("x:text:0..99999", "10,000"), ("x:choice:a\x01", "printable"),
        ("x:date:nulls=100", "percentage below 100"), ("x:integer:0..99999999999999999999", "below 2^62"),
    ],
)  # fmt: skip
def test_a_column_that_cannot_be_made_is_refused(text: str, words: str, clouds: Clouds) -> None:
    ran = clouds.run("generate", target=f"{clouds.bucket}/a.csv", kinds=[text])
    assert ran.code == 2 and words in f"{ran.error['message']} {ran.error['hint']}"


def test_columns_of_one_name_and_objects_that_no_store_holds_are_refused(clouds: Clouds) -> None:
    twice = clouds.run("generate", target=f"{clouds.bucket}/a.csv", kinds=["a:serial", "A:uuid"])
    assert twice.code == 2 and "called 'a'" in twice.error["message"]
    large = clouds.run("generate", target=f"{clouds.bucket}/a.csv", rows=2_000_000_000, columns=1_000)
    assert large.code == 2 and "42.1 TB" in large.error["message"]


# ── cut off and gone on with ──

LARGE = {"rows": 60_000, "columns": 22}
"""27 MB of CSV, made in three chunks."""


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.tabular.sampling._CHUNK_VALUES", 600_000)
    monkeypatch.setattr("engines.generate._BLOCK_BYTES", 5 << 20)
    monkeypatch.setattr("portal.transfer.block_stream._KEEP_EVERY_S", 0.0)
    monkeypatch.setattr("portal.transfer.block_stream._PAUSES_S", (0.0, 0.0))


def cut_off(clouds: Clouds, target: str, **params: Any) -> Path:
    """Cancel a job after its second chunk; returns its folder."""
    job = clouds.context()
    tell = job.progress

    def progress(done: float, *more: Any, **named: Any) -> None:
        if done >= 50_000:
            job.cancel()
        tell(done, *more, **named)

    job.progress = progress  # type: ignore[method-assign]
    ran = clouds.run("generate", job, target=target, **{**LARGE, **params})
    assert (ran.code, ran.error["type"]) == (1, "Cancelled")
    return job.folder


def next_attempt(clouds: Clouds, folder: Path, target: str, attempt: int = 2, **params: Any) -> Any:
    job = clouds.context(attempt=attempt)
    job.folder = folder
    return clouds.run("generate", job, target=target, **{**LARGE, **params})


def uploads(clouds: Clouds) -> list[Any]:
    return clouds.s3.client.list_multipart_uploads(Bucket=clouds.name).get("Uploads", [])  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize(("name", "store"), [("a.csv", "s3"), ("a.csv", "adls"), ("a.csv", "local"), ("a.parquet", "s3")])
def test_the_next_attempt_sends_only_what_is_not_there(name: str, store: str, clouds: Clouds, small_blocks: None) -> None:
    root = {"s3": clouds.bucket, "adls": clouds.lake, "local": f"file://{clouds.home}/data"}[store]
    target = f"{root}/{name}"
    folder = cut_off(clouds, target)
    place = getattr(clouds, store)
    key = f"{str(clouds.home)[1:]}/data/{name}" if store == "local" else name
    with pytest.raises(NotFound):
        place.stat(key)
    ran = next_attempt(clouds, folder, target)
    assert ran.code == 0, ran.error
    had = int(re.match(r"([\d,]+) bytes were there", ran.result["report"]["resumed"])[1].replace(",", ""))  # type: ignore[index]
    assert had >= (5 if name == "a.parquet" else 10) << 20 and had % (5 << 20) == 0
    (output,) = ran.result["outputs"]
    data = get(place, key)
    assert (len(data), f"{checksums.crc64nvme(data):016x}") == (output["size_bytes"], output["crc64nvme"])
    assert uploads(clouds) == []
    if store == "local":
        assert [path.name for path in (clouds.home / "data").iterdir()] == [name]


def test_a_block_that_is_another_than_was_sent_is_sent_again(clouds: Clouds, small_blocks: None) -> None:
    target = f"{clouds.bucket}/a.csv"
    folder = cut_off(clouds, target)
    state = json.loads((folder / "checkpoint.json").read_text())
    state["staged"]["blocks"] = [[size, crc ^ (place == 1), mark] for place, (size, crc, mark) in enumerate(state["staged"]["blocks"])]
    (folder / "checkpoint.json").write_text(json.dumps(state))
    ran = next_attempt(clouds, folder, target)
    had = (len(state["staged"]["blocks"]) - 1) * (5 << 20)
    assert ran.code == 0 and ran.result["report"]["resumed"].startswith(f"{had:,} bytes")
    assert f"{checksums.crc64nvme(get(clouds.s3, 'a.csv')):016x}" == ran.result["outputs"][0]["crc64nvme"]


def test_a_retry_goes_on_where_the_job_before_it_ended_and_other_data_begin_anew(clouds: Clouds, small_blocks: None) -> None:
    target = f"{clouds.bucket}/a.csv"
    before = cut_off(clouds, target).name
    other = clouds.run("generate", clouds.context(retry_of=before), target=f"{clouds.bucket}/b.csv", **LARGE, seed=1)
    assert other.code == 0 and "resumed" not in other.result["report"]
    ran = clouds.run("generate", clouds.context(retry_of=before), target=target, **LARGE)
    assert ran.code == 0 and "bytes were there" in ran.result["report"]["resumed"]


def test_what_was_committed_before_the_end_is_not_written_again(clouds: Clouds, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    target = f"{clouds.bucket}/a.csv"
    job = clouds.context()
    with monkeypatch.context() as dying:
        dying.setattr("portal.transfer.block_stream.BlockStream.end", lambda stream: [stream._sender.shutdown(), stream._hang_up(), 1 / 0])
        assert clouds.run("generate", job, target=target, **LARGE).code == 1
    there = clouds.s3.stat("a.csv")
    ran = next_attempt(clouds, job.folder, target)
    assert ran.result["report"]["resumed"] == "an earlier attempt had written all of it"
    assert (ran.result["outputs"][0]["size_bytes"], clouds.s3.stat("a.csv").modified) == (there.size_bytes, there.modified)


def test_an_upload_that_is_gone_is_begun_anew(clouds: Clouds, small_blocks: None) -> None:
    target = f"file://{clouds.home}/data/a.csv"
    folder = cut_off(clouds, target)
    (begun,) = (clouds.home / "data").iterdir()
    begun.unlink()
    ran = next_attempt(clouds, folder, target)
    assert ran.code == 0 and "resumed" not in ran.result["report"]
    assert f"{checksums.crc64nvme((clouds.home / 'data/a.csv').read_bytes()):016x}" == ran.result["outputs"][0]["crc64nvme"]


def test_what_passes_is_tried_again_and_what_does_not_is_taken_back(clouds: Clouds, small_blocks: None, monkeypatch: pytest.MonkeyPatch) -> None:
    sent, answers = S3End.put_block, iter([Unreachable("It did not answer."), Unreachable("Nor now."), None, AccessDenied("No more.")])

    def put_block(end: Any, *about: Any, **more: Any) -> str:
        if problem := next(answers, None):
            raise problem
        return sent(end, *about, **more)

    monkeypatch.setattr(S3End, "put_block", put_block)
    ran = clouds.run("generate", target=f"{clouds.bucket}/a.csv", **LARGE)
    assert (ran.code, ran.error["type"]) == (1, "AccessDenied")
    assert uploads(clouds) == []
    assert clouds.run("generate", target=f"{clouds.bucket}/a.csv", **LARGE).code == 0


def test_somebody_elses_object_that_appears_meanwhile_stays(clouds: Clouds, small_blocks: None) -> None:
    job = clouds.context()
    tell = job.progress

    def progress(*about: Any, **more: Any) -> None:
        put(clouds.s3, "a.csv", "precious")
        tell(*about, **more)

    job.progress = progress  # type: ignore[method-assign]
    ran = clouds.run("generate", job, target=f"{clouds.bucket}/a.csv", rows=10)
    assert ran.error["type"] == "AlreadyExists"
    assert get(clouds.s3, "a.csv") == b"precious"


MEASURED = """
import sys
from pathlib import Path
from engines import generate
from portal import settings
from portal.context import JobContext
from tests.tabular import peak_memory_mib
home = Path(sys.argv[1])
job = JobContext("x", home / "logs", settings.load(home))
result = generate.run(generate.Params(target=f"file://{home}/data/a.csv", rows=1_000_000, columns=22), job)
print(result.counts["rows"], result.bytes, peak_memory_mib())
"""


def test_a_million_rows_of_22_columns_take_no_more_memory_than_a_few(home: Path) -> None:
    """The whole engine, in a process of its own: 450 MB of CSV."""
    (home / "data").mkdir(exist_ok=True)
    (home / "logs").mkdir(exist_ok=True)
    told = subprocess.run([sys.executable, "-c", MEASURED, str(home)], cwd=CODE_ROOT, check=True, capture_output=True, text=True).stdout
    rows, size, peak = map(int, told.split())
    assert (rows, (home / "data" / "a.csv").stat().st_size) == (1_000_000, size)
    assert size > 440_000_000
    assert peak < 420
