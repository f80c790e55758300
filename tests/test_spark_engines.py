"""Listing and converting on Spark: the same inventory, files, ledger and reports as on one machine."""

from __future__ import annotations

import gc
import io
import json
import os
import pickle
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr
from pyspark import SparkContext

from portal import settings
from portal.connections import AdlsConnection, S3Connection
from portal.lake.spark.converting import place
from portal.lake.spark.session import spark_session
from portal.planning.spreading import spread_lister
from portal.settings import CODE_ROOT
from portal.stores.base import Store
from portal.stores.url import StoreURL
from portal.transfer.side import Side
from portal.wire.ends import Access
from tests.spark_cluster import small
from tests.transferring import Clouds, Ran, get, keys, put

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # pyspark leaves them to the collector


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One small session for all tests here: engines use one that runs already. The folder for its files, which is empty when it has ended."""
    home = tmp_path_factory.mktemp("spark-home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small(SPARK_MASTER="local[2]").items():
            patch.setenv(name, value)
        with spark_session(settings.load(home), app="tests", iceberg=False):
            yield home / ".spark"
    assert [path.name for path in (home / ".spark").iterdir()] == [".portal-lock"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def fill(clouds: Clouds, scheme: str) -> str:
    """Files in some folders, names of all kinds; returns the source."""
    store = clouds.s3 if scheme == "s3" else clouds.adls
    for key in [*(f"in/day={day:02}/{n}.csv" for day in range(8) for n in range(3)), "in/ä b/c%.json", "in/a", "in/z.parquet", "beside/x.csv"]:
        put(store, key, key)
    return f"{clouds.bucket if scheme == 's3' else clouds.lake}/in/"


@pytest.mark.parametrize("scheme", ["s3", "abfss"])
def test_spark_lists_what_this_machine_lists_in_the_same_order(scheme: str, clouds: Clouds, spark: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spread_lister, "FIRST_PAGES", 1)
    source = fill(clouds, scheme)
    here = clouds.run("list", source=source)
    there = clouds.run("list", source=source, run_on="spark")
    assert (here.code, there.code) == (0, 0), there.result["error"]
    tables = [pq.read_table(ran.job.folder / "inventory.parquet") for ran in (here, there)]
    assert tables[0].equals(tables[1]) and tables[0].num_rows == 27
    assert here.result["counts"] == there.result["counts"] and here.result["report"] == there.result["report"]
    assert not (there.job.folder / ".listing").exists()


def test_what_a_task_finds_out_is_told_as_on_this_machine(clouds: Clouds, spark: None) -> None:
    missing = f"{clouds.bucket}-gone/in/"
    here, there = (clouds.run("list", source=missing, run_on=where) for where in ("local", "spark"))
    assert here.code == there.code == 1
    assert here.result["error"] == there.result["error"] and "Traceback" not in str(there.result)


def test_whatever_java_puts_down_is_in_the_folder_of_its_session(spark: Path) -> None:
    """Of a Java that is killed the next session removes all: it has put nothing elsewhere."""
    context = cast(Any, SparkContext._active_spark_context)
    assert context.parallelize([0], 1).map(lambda n: n).collect() == [0]
    java = Path(f"/proc/{context._gateway.proc.pid}")
    mapped = {line.split()[-1] for line in (java / "maps").read_text().splitlines()}
    opened = {os.readlink(descriptor) for descriptor in (java / "fd").iterdir()}
    ours = (tempfile.gettempdir(), "/tmp/")
    read = (sys.prefix, str(CODE_ROOT))  # whoever has cloned the project to such a folder has Spark's own files there
    passing = {path for path in mapped | opened if path.startswith(ours) and not path.startswith(read) and not path.endswith("(deleted)")}
    assert passing and not [path for path in passing if not Path(path).is_relative_to(spark)]


def test_a_folder_of_the_workers_machine_is_not_listed_by_others(clouds: Clouds) -> None:
    ran = clouds.run("list", source=f"file://{clouds.home}/data/", run_on="spark")
    assert ran.code == 2 and "leave run_on at local" in str(ran.result["error"])


ROWS = "id,name,when,amount\n" + "".join(f"{n:05},näme {n},2026-01-{n % 28 + 1:02},{n}.50\n" for n in range(300))
BAD = "id,name\n" + "".join(f"{n},x\n" for n in range(200)) + "three,y\n" + "".join(f"{n},z\n" for n in range(200))


def fill_raw(clouds: Clouds, **files: str) -> None:
    for name, text in files.items():
        put(clouds.s3, f"raw/{name}.csv", text)


def told(ran: Ran) -> list[dict[str, Any]]:
    """The column reports, without the names of what was written: those lie in two folders."""
    lines = [json.loads(line) for line in (ran.job.folder / "columns.ndjson").read_text().splitlines()]
    return sorted(({name: value for name, value in line.items() if name not in ("target", "schema_key", "parts")} for line in lines), key=str)


@pytest.mark.parametrize("more", [{}, {"dataset": True, "partition_by": ["when"]}], ids=["files", "data set"])
def test_executors_convert_as_this_machine_does(more: dict[str, Any], clouds: Clouds, spark: None) -> None:
    fill_raw(clouds, one=ROWS, two=ROWS.replace("näme", "other"), three=ROWS)
    rans = {}
    for where in ("local", "spark"):
        rans[where] = clouds.run("convert", source=f"{clouds.bucket}/raw/", target=f"{clouds.lake}/{where}/", run_on=where, **more)
        assert rans[where].code == 0, rans[where].result["error"]
    local, there = rans["local"], rans["spark"]
    assert local.counts == there.counts and there.counts["rows_in"] == 900
    assert told(local) == told(there)
    tables = [
        pa.concat_tables([pq.read_table(io.BytesIO(get(clouds.adls, key))) for key in keys(clouds.adls, f"{where}/") if key.endswith("parquet")])
        for where in rans
    ]
    assert tables[0].num_rows == 900 and tables[0].equals(tables[1])


def test_rejected_rows_come_back_from_the_executors(clouds: Clouds, spark: None) -> None:
    fill_raw(clouds, good=ROWS, bad=BAD)
    rans = [
        clouds.run("convert", source=f"{clouds.bucket}/raw/", target=f"{clouds.lake}/{place}/", run_on=place, on_reject="keep", types={"id": "int64"})
        for place in ("local", "spark")
    ]
    rejects = [sorted(path.name for path in ran.job.folder.glob("rejects-*")) for ran in rans]
    assert rejects[0] == rejects[1] != []
    for name in rejects[0]:
        assert (rans[0].job.folder / name).read_bytes() == (rans[1].job.folder / name).read_bytes()
    assert rans[0].counts == rans[1].counts and told(rans[0]) == told(rans[1])


def test_a_file_that_cannot_be_converted_fails_there_with_the_same_words(clouds: Clouds, spark: None) -> None:
    fill_raw(clouds, good=ROWS, bad=BAD)
    asked = {"source": f"{clouds.bucket}/raw/", "types": {"id": "int64"}, "include": ["bad.csv", "good.csv"]}
    rans = [clouds.run("convert", target=f"{clouds.lake}/{place}/", run_on=place, **asked) for place in ("local", "spark")]
    assert rans[0].code == rans[1].code
    assert [(row["outcome"], row["reason"]) for row in rans[0].table] == [(row["outcome"], row["reason"]) for row in rans[1].table]


def test_what_is_converted_on_the_way_and_what_is_copied_go_together(clouds: Clouds, spark: None) -> None:
    fill_raw(clouds, one=ROWS, two=ROWS)
    put(clouds.s3, "raw/image.png", b"\x89PNG" * 100)
    rans = [
        clouds.run("migrate", source=f"{clouds.bucket}/raw/", target=f"{clouds.lake}/{place}/", run_on=place, convert="parquet", formats=["any"])
        for place in ("local", "spark")
    ]
    assert [ran.code for ran in rans] == [0, 0], rans[1].result["error"]
    assert rans[0].counts == rans[1].counts and rans[1].counts["converted"] == 2 and rans[1].counts["copied"] == 1
    assert told(rans[0]) == told(rans[1])


def side_of(connection: S3Connection | AdlsConnection, access: Access) -> Side:
    return Side(StoreURL.parse("s3://b/x"), cast(Store, None), lambda: access, connection)


def test_an_executor_gets_the_keys_of_a_profile_and_where_it_leads() -> None:
    access = Access("s3", "b", "http", "minio.example.com", 9000, "", "eu-1", True, ("AKIA", "s3cr3t", "t0ken"))
    found = place(side_of(S3Connection(profile="lab", role_arn="arn:aws:iam::123456789012:role/NAME"), access)).connection
    assert (found.access_key_id, found.secret_access_key.get_secret_value(), found.session_token.get_secret_value()) == access.keys
    assert (found.profile, found.role_arn, found.endpoint_url, found.region) == ("", "", "http://minio.example.com:9000", "eu-1")
    assert place(side_of(S3Connection(), replace(access, host="b.s3.eu-west-1.amazonaws.com"))).connection.endpoint_url == ""


def test_an_executor_gets_a_signature_for_one_container_instead_of_the_account_key() -> None:
    given = AdlsConnection(account="a", account_key=SecretStr("bWFzdGVy"))
    found = place(side_of(given, Access("blob", "c", sas="sv=1&sig=only-this"))).connection
    assert found.sas_token.get_secret_value() == "sv=1&sig=only-this" and not found.account_key.get_secret_value()
    assert "bWFzdGVy" not in str(pickle.dumps(found)) and given.account_key.get_secret_value(), "what was given is as it was"
    assert "only-this" not in repr(found)


def test_spark_submit_can_start_any_engine() -> None:
    program = [sys.executable, str(CODE_ROOT / "deploy" / "spark" / "run_engine.py")]
    there = subprocess.run([*program, "list", "--help"], cwd="/", capture_output=True, text=True, check=True)
    assert "--run-on" in there.stdout
    for wrong in ([], ["../list"], ["nothing"]):
        refused = subprocess.run([*program, *wrong], cwd="/", capture_output=True, text=True, check=False)
        assert refused.returncode == 2 and "Traceback" not in refused.stderr and refused.stderr
