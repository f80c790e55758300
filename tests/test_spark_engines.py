"""Listing and converting on Spark: the same inventory, files, ledger and reports as on one machine."""

from __future__ import annotations

import gc
import warnings
from collections.abc import Iterator

import pyarrow.parquet as pq
import pytest

from portal import settings
from portal.lake.spark.session import spark_session
from portal.planning.spreading import spread_lister
from tests.spark_cluster import small
from tests.transferring import Clouds

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")  # pyspark leaves them to the collector


@pytest.fixture(scope="module")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One small session for all tests here: engines use one that runs already."""
    home = tmp_path_factory.mktemp("spark-home")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in small(SPARK_MASTER="local[2]").items():
            patch.setenv(name, value)
        with spark_session(settings.load(home), app="tests", iceberg=False):
            yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()



def fill(clouds: Clouds, scheme: str) -> str:
    """Files in some folders, names of all kinds; returns the source."""
    store = clouds.s3 if scheme == "s3" else clouds.adls
    for key in [*(f"in/day={day:02}/{n}.csv" for day in range(8) for n in range(3)), "in/ä b/c%.json", "in/a", "in/z.parquet", "beside/x.csv"]:
        with store.open_write(key) as writer:
            writer.write(key.encode())
            writer.commit()
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


def test_a_folder_of_the_workers_machine_is_not_listed_by_others(clouds: Clouds) -> None:
    ran = clouds.run("list", source=f"file://{clouds.home}/data/", run_on="spark")
    assert ran.code == 2 and "leave run_on at local" in str(ran.result["error"])
