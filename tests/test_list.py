"""The list engine: the inventory, its counts and where else it is written."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from portal.context import JobContext
from portal.wire import s3_end
from tests.servers import Server
from tests.transferring import Clouds, get, put


@pytest.fixture
def clouds(home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[Clouds]:
    found = Clouds.behind(home, s3_server, adls_server, unique)
    for key, size in {"d/a.csv": 5, "d/e/b.json": 7, "d/f/": 0, "d/g.bin": 11, "d2/c.csv": 13}.items():
        put(found.s3, key, bytes(size))
    yield found
    found.close()


def inventory(ran: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(ran.job.folder / "inventory.parquet").to_pylist()
    return rows


def test_an_inventory_has_a_row_per_object_and_counts_by_format_and_folder(clouds: Clouds) -> None:
    ran = clouds.run("list", source=f"{clouds.bucket}/d")
    assert (ran.code, ran.counts, ran.result["bytes"]) == (0, {"listed": 3, "objects": 3}, 0), "a listing moves nothing"
    assert ran.result["report"]["bytes"] == 23
    rows = inventory(ran)
    assert [row["key"] for row in rows] == ["d/a.csv", "d/e/b.json", "d/g.bin"]
    assert rows[1]["name"] == "e/b.json" and rows[1]["url"] == f"{clouds.bucket}/d/e/b.json" and rows[1]["format"] == "json"
    assert rows[0]["etag"] == clouds.s3.stat("d/a.csv").etag and rows[0]["modified"] is not None
    assert ran.result["report"]["formats"]["csv"] == {"objects": 1, "bytes": 5}
    assert ran.result["report"]["folders"] == {"": {"objects": 2, "bytes": 16}, "e/": {"objects": 1, "bytes": 7}}


def test_filters_leave_out_and_count(clouds: Clouds) -> None:
    ran = clouds.run("list", source=f"{clouds.bucket}/", formats=["csv"], exclude=["d2/*"])
    assert [row["key"] for row in inventory(ran)] == ["d/a.csv"]
    assert ran.counts == {"listed": 4, "objects": 1, "excluded": 3}


def test_a_listing_streams_page_by_page(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    pages = []
    page = s3_end.S3End.list_page

    def two_at_a_time(self: Any, *rest: Any, **options: Any) -> Any:
        pages.append(options.get("continuation"))
        return page(self, *rest, **{**options, "limit": 2})

    monkeypatch.setattr(s3_end.S3End, "list_page", two_at_a_time)
    assert clouds.run("list", source=f"{clouds.bucket}/").counts == {"listed": 4, "objects": 4}
    assert len(pages) == 3


@pytest.mark.parametrize("kind", ["parquet", "csv", "json"])
def test_an_inventory_is_published_in_a_format(clouds: Clouds, kind: str) -> None:
    params = {"source": f"{clouds.bucket}/", "target": f"{clouds.lake}/inv/", "format": kind}
    ran = clouds.run("list", **params)
    assert ran.result["outputs"][0]["url"] == f"{clouds.lake}/inv/inventory.{kind}"
    data = get(clouds.adls, f"inv/inventory.{kind}")
    (clouds.home / "i").write_bytes(data)
    if kind == "json":
        keys = [json.loads(line)["key"] for line in data.decode().splitlines()]
    else:
        keys = (pq.read_table(clouds.home / "i") if kind == "parquet" else pa_csv.read_csv(clouds.home / "i"))["key"].to_pylist()
    assert keys == ["d/a.csv", "d/e/b.json", "d/g.bin", "d2/c.csv"]
    again = clouds.run("list", **params)
    assert (again.code, again.error["type"]) == (1, "AlreadyExists")
    assert clouds.run("list", **params, overwrite=True).code == 0


def test_a_second_attempt_replaces_what_the_first_published(clouds: Clouds) -> None:
    params = {"source": f"{clouds.bucket}/", "target": f"{clouds.lake}/i.parquet"}
    first = clouds.run("list", **params)
    second = clouds.run("list", JobContext(first.job.job_id, first.job.folder, clouds.config, attempt=2), **params)
    assert (first.code, second.code) == (0, 0)


def test_an_empty_listing_is_an_inventory_and_a_missing_bucket_an_error(clouds: Clouds) -> None:
    ran = clouds.run("list", source=f"{clouds.bucket}/nothing/")
    assert (ran.code, ran.counts, inventory(ran)) == (0, {}, [])
    ran = clouds.run("list", source="s3://no-such-bucket-here/")
    assert "no-such-bucket-here" in ran.error["message"]


def test_a_dry_run_publishes_nothing(clouds: Clouds) -> None:
    ran = clouds.run("list", clouds.context(dry_run=True), source=f"{clouds.bucket}/", target=f"{clouds.lake}/i.parquet")
    assert (ran.code, ran.result["outputs"]) == (0, [])
    assert clouds.adls.list_page().objects == ()


def test_what_cannot_be_looked_at_is_a_warning_and_no_object(clouds: Clouds) -> None:
    (clouds.home / "data" / "a.csv").write_bytes(b"1\n")
    (clouds.home / "data" / "b.csv").symlink_to(clouds.home / "unmounted")
    ran = clouds.run("list", source=f"file://{clouds.home}/data/")
    assert (ran.code, ran.counts["objects"]) == (0, 1)
    assert any("b.csv" in warning and "could not be looked at" in warning for warning in ran.result["warnings"])
