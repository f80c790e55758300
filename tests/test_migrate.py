"""The migrate engine end to end, S3 → ADLS and the other ways, on real servers."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from portal.context import JobContext
from portal.stores import checksums
from portal.stores.seekable import SeekableReader
from tests.transferring import Clouds, get, keys, put, then


def test_objects_are_copied_with_their_folders_and_accounted_for(clouds: Clouds) -> None:
    data = {"in/a.csv": b"a\n1\n", "in/b/c.json": b"{}\n", "in/b/d.parquet": os.urandom(100), "in/notes.txt": b"no", "in/b/": b"", "out.csv": b"a\n"}
    for key, content in data.items():
        put(clouds.s3, key, content)
    ran = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.lake}/x")
    assert (ran.code, ran.result["outcome"]) == (0, "succeeded")
    assert ran.counts == {"listed": 5, "copied": 3, "excluded": 2}
    assert keys(clouds.adls) == ["x/a.csv", "x/b/c.json", "x/b/d.parquet"]
    assert get(clouds.adls, "x/b/d.parquet") == data["in/b/d.parquet"]
    assert ran.result["bytes"] == 4 + 3 + 100
    assert ran.result["outputs"][0]["url"] == f"{clouds.lake}/x"
    assert {output["url"] for output in ran.result["outputs"][1:]} == {f"{clouds.lake}/{key}" for key in keys(clouds.adls)}
    assert "other" in ran.rows["in/notes.txt"]["reason"]
    assert "folder marker" in ran.rows["in/b/"]["reason"]
    assert set(ran.rows) == {key for key in data if key.startswith("in/")}


def test_a_copy_is_proven_end_to_end_with_the_checksum_that_the_source_stores(clouds: Clouds) -> None:
    data = os.urandom((9 << 20) + 1)
    put(clouds.s3, "big.csv", data)
    ran = clouds.migrate()
    row = ran.rows["big.csv"]
    crc = checksums.crc64_hex(checksums.crc64(data))
    assert (row["proof"], row["crc64nvme"], row["source_checksum"]) == ("end-to-end", crc, f"crc64nvme:{crc}")
    assert ran.result["report"]["proof"] == {"end-to-end": 1}
    assert get(clouds.adls, "big.csv") == data
    assert row["target_etag"] == clouds.adls.stat("big.csv").etag
    assert row["md5"] is None


@pytest.mark.parametrize("algorithm", ["CRC32", "CRC32C", "SHA1", "SHA256"])
def test_any_checksum_of_s3_serves(clouds: Clouds, algorithm: str) -> None:
    clouds.s3.client.put_object(Bucket=clouds.name, Key="a.csv", Body=b"a\n1\n", ChecksumAlgorithm=algorithm)  # type: ignore[attr-defined]
    row = clouds.migrate().rows["a.csv"]
    assert row["proof"] == "end-to-end"
    assert row["source_checksum"].startswith(f"{algorithm.lower()}:")


def test_without_a_stored_checksum_a_copy_is_streamed(clouds: Clouds) -> None:
    clouds.s3.client.put_object(Bucket=clouds.name, Key="a.csv", Body=b"a\n1\n")  # type: ignore[attr-defined]
    assert clouds.migrate().rows["a.csv"]["proof"] == "streamed"


def test_verify_md5_reads_back_and_stores_the_md5(clouds: Clouds) -> None:
    data = os.urandom(1 << 20)
    put(clouds.s3, "a.csv", data)
    ran = clouds.migrate(verify="md5")
    md5 = hashlib.md5(data).hexdigest()
    assert (ran.rows["a.csv"]["proof"], ran.rows["a.csv"]["md5"]) == ("read-back", md5)
    assert clouds.adls.stat("a.csv").checksums == {"md5": md5}
    assert f"md5:{md5}" in ran.rows["a.csv"]["source_checksum"]


def test_verify_crc_reads_back(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    assert clouds.migrate(verify="crc").rows["a.csv"]["proof"] == "read-back"


def test_empty_files_arrive(clouds: Clouds) -> None:
    put(clouds.s3, "empty.csv", b"")
    ran = clouds.migrate(verify="crc")
    assert ran.counts == {"listed": 1, "copied": 1}
    assert clouds.adls.stat("empty.csv").size_bytes == 0


def test_what_is_known_of_the_source_is_carried(clouds: Clouds) -> None:
    source = put(clouds.s3, "ü.csv", content_type="text/csv", metadata={"my-key": "value", "1st": "x"})
    clouds.migrate()
    found = clouds.adls.stat("ü.csv")
    assert found.content_type == "text/csv"
    assert found.metadata["my_key"] == "value"
    assert found.metadata["_1st"] == "x"
    assert found.metadata["source_etag"] == source.etag
    assert found.metadata["source_url"] == f"{clouds.bucket}/%C3%BC.csv"
    assert found.metadata["source_modified"].startswith("20")


def test_chosen_keys_land_flat_in_raw_data(clouds: Clouds) -> None:
    for key in ("x/a.csv", "y/b.txt", "y/c.csv"):
        put(clouds.s3, key)
    ran = clouds.migrate(keys=["x/a.csv", "y/b.txt", "missing.csv"], layout="flat")
    assert (ran.code, ran.counts) == (3, {"listed": 3, "copied": 2, "failed": 1})
    assert keys(clouds.adls) == ["raw_data/a.csv", "raw_data/b.txt"]
    assert "There is no object" in ran.rows["missing.csv"]["reason"]


def test_keys_may_come_from_a_file(clouds: Clouds) -> None:
    for key in ("a.csv", "b.csv", "c.csv"):
        put(clouds.s3, key)
    list_file = clouds.home / "data" / "keys.txt"
    list_file.write_text("a.csv\n\nc.csv\n")
    assert clouds.migrate(keys_file=f"file://{list_file}").counts == {"listed": 2, "copied": 2}
    listed = clouds.run("list", source=f"{clouds.bucket}/", target=f"file://{clouds.home}/data/i.parquet")
    assert listed.code == 0
    assert clouds.migrate(keys_file=f"file://{clouds.home}/data/i.parquet", overwrite="skip").counts == {"listed": 3, "copied": 1, "skipped": 2}


def test_a_key_outside_the_source_is_refused(clouds: Clouds) -> None:
    ran = clouds.migrate(source=f"{clouds.bucket}/in/", keys=["out/a.csv"])
    assert (ran.code, ran.result["outcome"]) == (2, "rejected")
    assert "out/a.csv" in ran.error["message"]


def test_two_sources_of_one_target_name_stop_before_anything_moves(clouds: Clouds) -> None:
    for key in ("x/same.csv", "y/same.csv", "z/other.csv"):
        put(clouds.s3, key)
    ran = clouds.migrate(layout="flat")
    assert (ran.code, ran.error["retryable"]) == (1, False)
    assert "x/same.csv and y/same.csv would both become raw_data/same.csv" in ran.error["message"]
    assert keys(clouds.adls) == []
    assert ran.result["counts"] == {"listed": 3}


def test_a_conversion_may_make_twins_too(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    put(clouds.s3, "a.json", b"{}\n")
    ran = clouds.migrate(convert="parquet")
    assert "would both become a.parquet" in ran.error["message"]


def test_a_file_that_would_be_a_folder_stops_before_anything_moves(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    put(clouds.s3, "a.csv/b.csv")
    ran = clouds.migrate()
    assert "a.csv would become the file a.csv, and a.csv/b.csv needs a folder of that name" in ran.error["message"]
    assert keys(clouds.adls) == []


def test_names_that_adls_cannot_hold_stop_before_anything_moves_or_are_skipped(clouds: Clouds) -> None:
    for key in ("good.csv", "bad./x.csv", "a//b.csv"):
        put(clouds.s3, key)
    ran = clouds.migrate()
    assert "bad./x.csv" in ran.error["message"] and "a//b.csv" in ran.error["message"]
    assert keys(clouds.adls) == []
    ran = clouds.migrate(bad_names="skip")
    assert (ran.code, ran.counts) == (0, {"listed": 3, "copied": 1, "excluded": 2})
    assert "ends in a dot" in ran.rows["bad./x.csv"]["reason"]


@pytest.mark.parametrize("layout", ["prefix", "flat"])
def test_a_file_whose_name_is_no_unicode_is_reported_and_the_rest_is_copied(clouds: Clouds, layout: str) -> None:
    folder = clouds.home / "data" / "in"
    strange = os.fsencode(folder) + b"/d\xff"
    os.makedirs(strange)
    for path in (os.fsencode(folder) + b"/a.csv", strange + b"/b.csv", strange + b"/\xfe.csv"):
        Path(os.fsdecode(path)).write_text("a\n1\n")
    assert "not valid Unicode" in clouds.migrate(source=f"file://{folder}/", layout=layout).error["message"]
    ran = clouds.migrate(source=f"file://{folder}/", layout=layout, bad_names="skip")
    assert ran.counts == {"listed": 3, "copied": 1, "excluded": 2}
    assert {key.rpartition("in/")[2] for key in ran.rows} == {"a.csv", r"d\udcff/b.csv", r"d\udcff/\udcfe.csv"}
    listed = clouds.run("list", source=f"file://{folder}/")
    assert (listed.code, listed.counts["objects"]) == (0, 3)


def test_existing_targets_fail_are_skipped_or_replaced(clouds: Clouds) -> None:
    put(clouds.s3, "d/a.csv", b"new\n")
    put(clouds.s3, "d/b.csv", b"new\n")
    put(clouds.adls, "d/a.csv", b"old\n")
    ran = clouds.migrate()
    assert (ran.code, ran.error["type"], ran.error["retryable"]) == (1, "AlreadyExists", False)
    assert f"{clouds.lake}/d/a.csv" in ran.error["message"]
    assert keys(clouds.adls) == ["d/a.csv"]
    assert clouds.migrate(overwrite="skip").counts == {"listed": 2, "copied": 1, "skipped": 1}
    assert get(clouds.adls, "d/a.csv") == b"old\n"
    assert clouds.migrate(overwrite="replace").counts == {"listed": 2, "copied": 2}
    assert get(clouds.adls, "d/a.csv") == b"new\n"


def test_a_target_that_appears_meanwhile_is_skipped_too_and_never_replaced(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    put(clouds.s3, "a.csv", b"ours")
    then(monkeypatch, lambda: put(clouds.adls, "a.csv", b"theirs"))
    assert clouds.migrate(overwrite="skip").counts == {"listed": 1, "skipped": 1}
    assert get(clouds.adls, "a.csv") == b"theirs"


def test_targets_below_an_empty_folder_name_are_found_too(clouds: Clouds) -> None:
    put(clouds.s3, "in/a//b.csv", b"ours")
    put(clouds.s3, "out/a//b.csv", b"theirs")
    ran = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.bucket}/out/")
    assert ran.error["type"] == "AlreadyExists"
    assert "Nothing was moved" in ran.error["message"]


def test_folders_and_files_in_the_way_at_the_target_stop_before_anything_moves(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    put(clouds.s3, "b.csv/c.csv")
    put(clouds.adls, "a.csv/x", b"1")
    put(clouds.adls, "b.csv", b"1")
    ran = clouds.migrate(overwrite="replace")
    assert "a.csv is a folder" in ran.error["message"] and "b.csv is a file" in ran.error["message"]
    ran = clouds.migrate(target=f"{clouds.lake}/b.csv/deeper/")
    assert "b.csv is a file" in ran.error["message"]


def test_a_source_that_changes_between_plan_and_copy_fails_and_the_rest_goes_on(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("deleted.csv", "replaced.csv", "same.csv"):
        put(clouds.s3, key, b"before\n")
    then(monkeypatch, lambda: (clouds.s3.delete("deleted.csv"), put(clouds.s3, "replaced.csv", b"after!\n")))
    ran = clouds.migrate()
    assert (ran.code, ran.counts) == (3, {"listed": 3, "failed": 2, "copied": 1})
    assert "deleted after it was listed" in ran.rows["deleted.csv"]["reason"]
    assert "replaced after it was listed" in ran.rows["replaced.csv"]["reason"]
    assert ran.result["report"]["causes"] == {"source-changed": 2}
    assert keys(clouds.adls) == ["same.csv"]


def test_zero_matches_fail_with_the_reason_unless_allowed(clouds: Clouds) -> None:
    put(clouds.s3, "a.txt")
    ran = clouds.migrate()
    assert (ran.code, ran.error["type"], ran.error["retryable"]) == (1, "NothingMatched", False)
    assert "1 found, and all left out; filters that were set: formats." in ran.error["message"]
    assert ran.result["counts"] == {"listed": 1}
    assert clouds.migrate(allow_empty=True).code == 0
    assert clouds.migrate(source=f"{clouds.bucket}/nothing/here/").error["type"] == "NothingMatched"


def test_a_missing_bucket_or_container_is_named(clouds: Clouds) -> None:
    ran = clouds.migrate(source="s3://no-such-bucket-here/")
    assert "no-such-bucket-here" in ran.error["message"]
    put(clouds.s3, "a.csv")
    ran = clouds.migrate(target="abfss://nowhere@devaccount/")
    assert (ran.error["type"], ran.error["retryable"]) == ("NoContainer", False)
    assert "'nowhere'" in ran.error["message"]


def test_a_dry_run_tells_what_would_be_done_and_changes_nothing(clouds: Clouds, caplog: pytest.LogCaptureFixture) -> None:
    for key in ("a.csv", "b.txt", "same.csv", "old.csv", "dot./c.csv"):
        put(clouds.s3, key)
    assert clouds.migrate(keys=["same.csv", "old.csv"]).code == 0
    put(clouds.s3, "old.csv", b"newer,and,longer\n")
    put(clouds.adls, "only-here.csv", b"12345")
    before = keys(clouds.adls)
    with caplog.at_level("INFO", "portal"):
        ran = clouds.migrate(clouds.context(dry_run=True), bad_names="rename", mirror=True)
    told = ran.result["report"]["dry_run"]
    assert {name: sums["objects"] for name, sums in told["actions"].items()} == {"copy": 2, "replace": 1, "unchanged": 1, "exclude": 1, "extra": 1}
    assert told["actions"]["extra"]["bytes"] == 5 and told["actions"]["replace"]["bytes"] == 17
    assert told["renames"] == [{"source": "dot./c.csv", "target": "dot%2E/c.csv", "why": "a part of the name ends in a dot"}]
    assert told["excluded_by_reason"] == {"its format is other, wanted are csv, json, parquet": 1}
    lines = {line["what"]: line["count"] for line in told["cost"]["lines"]}
    assert (lines["S3 GET"], lines["Azure write"]) == (3, 3) and told["cost"]["total"] > 0 and told["time_s"] > 0
    assert any("prices.toml" in line for line in told["assumptions"])
    assert "copy a.csv → a.csv" in caplog.text and "unchanged: 1 objects" in caplog.text and "S3 GET" in caplog.text
    assert keys(clouds.adls) == before and ran.code == 0


def test_a_dry_run_fails_where_the_job_would_and_still_tells(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    put(clouds.adls, "a.csv", b"old")
    ran = clouds.migrate(clouds.context(dry_run=True))
    assert (ran.code, ran.error["type"]) == (1, "AlreadyExists")
    assert ran.result["report"]["dry_run"]["occupied"] == [f"{clouds.lake}/a.csv"]
    assert ran.result["report"]["dry_run"]["actions"] == {"skip": {"objects": 1, "bytes": 8}}
    put(clouds.s3, "b..csv/c\\.csv")
    ran = clouds.migrate(clouds.context(dry_run=True), overwrite="skip")
    assert (ran.code, ran.error["type"]) == (1, "NameNotAllowed") and len(ran.result["report"]["dry_run"]["conflicts"]) == 1


def test_a_retry_redoes_only_what_failed(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(4):
        put(clouds.s3, f"{n}.csv")
    then(monkeypatch, lambda: clouds.s3.delete("2.csv"))
    first = clouds.migrate()
    assert (first.code, first.counts) == (3, {"listed": 4, "copied": 3, "failed": 1})
    put(clouds.s3, "2.csv")
    retry = clouds.migrate(clouds.context(retry_of=first.job.job_id))
    assert (retry.code, retry.counts) == (0, {"listed": 1, "copied": 1})
    assert keys(clouds.adls) == [f"{n}.csv" for n in range(4)]
    again = clouds.migrate(clouds.context(retry_of=retry.job.job_id))
    assert (again.code, again.counts) == (0, {})


def test_with_other_parameters_a_retry_plans_anew(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    first = clouds.migrate()
    other = clouds.migrate(clouds.context(retry_of=first.job.job_id), target=f"{clouds.lake}/elsewhere/")
    assert other.counts == {"listed": 1, "copied": 1}


def test_a_cancel_leaves_nothing_half_written_and_the_next_attempt_goes_on(clouds: Clouds) -> None:
    for n in range(3):
        put(clouds.s3, f"{n}.csv", os.urandom(100))
    put(clouds.s3, "big.csv", os.urandom(20 << 20))
    job = clouds.context()
    progress = job.progress

    def cancelling(done: float, *rest: Any) -> None:
        if done >= 3:
            job.cancel()
        progress(done, *rest)

    job.progress = cancelling  # type: ignore[method-assign, assignment]
    first = clouds.migrate(job, concurrency=1, max_bandwidth=1 << 20, mode="stream")
    assert (first.code, first.error["type"]) == (1, "Cancelled")
    assert keys(clouds.adls) == ["0.csv", "1.csv", "2.csv"]
    assert set(first.rows) == {"0.csv", "1.csv", "2.csv"}
    assert not [info for info in clouds.adls.client.get_paths() if not info.name.endswith(".csv")]  # type: ignore[attr-defined]
    etags = [clouds.adls.stat(f"{n}.csv").etag for n in range(3)]
    second = clouds.migrate(JobContext(job.job_id, job.folder, clouds.config, attempt=2), mode="stream")
    assert (second.code, second.counts) == (0, {"listed": 4, "copied": 4})
    assert second.result["report"]["plan"]["resumed"] is True
    assert [clouds.adls.stat(f"{n}.csv").etag for n in range(3)] == etags, "what was done is not touched"


def test_an_attempt_after_a_crash_knows_its_own_and_leaves_what_is_anothers(clouds: Clouds) -> None:
    """Committed at the target, and dead before the journal said so; somebody else wrote over one of them meanwhile."""
    for key in ("a.csv", "b.csv"):
        put(clouds.s3, key, b"new\n")
    job = clouds.context()
    assert clouds.migrate(job).code == 0
    journal = job.folder / "journal.ndjson"
    journal.write_text("".join(line for line in journal.read_text().splitlines(True) if '"begin"' in line))
    put(clouds.adls, "b.csv", b"theirs\n")
    etag = clouds.adls.stat("a.csv").etag
    ran = clouds.migrate(JobContext(job.job_id, job.folder, clouds.config, attempt=2))
    assert (ran.code, ran.counts) == (3, {"listed": 2, "copied": 1, "failed": 1})
    assert (clouds.adls.stat("a.csv").etag, get(clouds.adls, "b.csv")) == (etag, b"theirs\n")
    assert ran.rows["b.csv"]["cause"] == "exists"


def test_everything_failed_is_a_failure_with_the_ledger(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    put(clouds.s3, "a.csv")
    then(monkeypatch, lambda: clouds.s3.delete("a.csv"))
    ran = clouds.migrate()
    assert (ran.code, ran.error["type"], ran.counts) == (1, "TransferFailed", {"listed": 1, "failed": 1})
    assert "deleted" in ran.rows["a.csv"]["reason"] and not ran.error["retryable"]


def test_files_are_converted_on_the_way(clouds: Clouds) -> None:
    put(clouds.s3, "t/a.csv", b"id,name\n001,x\n002,y\n")
    put(clouds.s3, "t/b.parquet", b"not looked at")
    ran = clouds.migrate(convert="parquet", verify="md5")
    assert (ran.code, ran.counts) == (0, {"listed": 2, "copied": 1, "converted": 1, "rows_in": 2, "rows_out": 2})
    row = ran.rows["t/a.csv"]
    assert (row["proof"], row["target_key"], row["rows_in"], row["rows_out"]) == ("converted", "t/a.parquet", 2, 2)
    assert row["source_checksum"].startswith("crc64nvme:")
    with SeekableReader(clouds.adls, clouds.adls.stat("t/a.parquet")) as file:
        assert pq.read_table(file).to_pydict() == {"id": ["001", "002"], "name": ["x", "y"]}


@pytest.mark.parametrize("engine", ["migrate", "convert"])
def test_what_a_killed_conversion_left_is_removed(clouds: Clouds, engine: str) -> None:
    put(clouds.s3, "a.csv", b"a\n1\n")
    job = clouds.context()
    (job.folder / "convert-killed").mkdir()
    (job.folder / "convert-killed" / "source.txt").write_text("secret")
    extra = {"convert": "parquet"} if engine == "migrate" else {}
    assert clouds.run(engine, job, source=f"{clouds.bucket}/", target=f"{clouds.lake}/", **extra).code == 0
    assert [path.name for path in job.folder.iterdir() if path.is_dir()] == []


def test_a_file_that_cannot_be_converted_fails_alone(clouds: Clouds) -> None:
    put(clouds.s3, "good.csv", b"a,b\n1,2\n")
    put(clouds.s3, "ragged.csv", b"a,b\n1,2\n1,2,3\n")
    ran = clouds.migrate(convert="parquet")
    assert (ran.code, ran.result["outcome"]) == (3, "partial")
    assert keys(clouds.adls) == ["good.parquet"]
    assert "Line 3" in ran.rows["ragged.csv"]["reason"]


@pytest.mark.parametrize("way", ["adls-s3", "adls-local", "local-adls", "s3-s3"])
def test_every_store_is_source_and_target(clouds: Clouds, way: str) -> None:
    places = {"s3": f"{clouds.bucket}/", "adls": f"{clouds.lake}/", "local": f"file://{clouds.home}/data/"}
    stores = {"s3": (clouds.s3, ""), "adls": (clouds.adls, ""), "local": (clouds.local, f"{clouds.home}/data/"[1:])}
    source, target = way.split("-")
    data = os.urandom(1000)
    put(stores[source][0], f"{stores[source][1]}from/a.csv", data)
    ran = clouds.migrate(source=f"{places[source]}from/", target=f"{places[target]}to/", verify="crc")
    assert (ran.code, ran.counts) == (0, {"listed": 1, "copied": 1})
    assert get(stores[target][0], f"{stores[target][1]}to/a.csv") == data


def test_a_copy_into_a_folder_is_only_size_checked_unless_read_back(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    ran = clouds.migrate(target=f"file://{clouds.home}/data/x/")
    assert ran.rows["a.csv"]["proof"] == "size"


def test_versions_are_pinned_and_recorded(clouds: Clouds) -> None:
    clouds.s3.client.put_bucket_versioning(Bucket=clouds.name, VersioningConfiguration={"Status": "Enabled"})  # type: ignore[attr-defined]
    written = put(clouds.s3, "a.csv")
    row = clouds.migrate().rows["a.csv"]
    assert row["source_version"] == written.version_id is not None
    assert clouds.adls.stat("a.csv").metadata["source_version"] == written.version_id


def test_a_folder_does_not_mean_its_neighbours_and_a_file_may_be_named(clouds: Clouds) -> None:
    for key in ("dir/a.csv", "dir2/b.csv", "dir.csv"):
        put(clouds.s3, key)
    clouds.migrate(source=f"{clouds.bucket}/dir", target=f"{clouds.lake}/one")
    clouds.migrate(source=f"{clouds.bucket}/dir.csv", target=f"{clouds.lake}/two/")
    assert keys(clouds.adls) == ["one/a.csv", "two/dir.csv"]


def test_a_folder_of_another_job_is_planned_anew(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    job = clouds.context()
    clouds.migrate(job)
    put(clouds.s3, "b.csv")
    other = JobContext("another", job.folder, clouds.config)
    ran = clouds.migrate(other, overwrite="replace")
    assert (ran.counts, ran.result["report"]["plan"]["resumed"]) == ({"listed": 2, "copied": 2}, False)


def test_a_moment_without_a_zone_is_utc(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    assert clouds.migrate(modified_until="2001-01-01T00:00:00", allow_empty=True).counts == {"listed": 1, "excluded": 1}
    assert clouds.migrate(modified_since="2001-01-01T00:00:00").counts == {"listed": 1, "copied": 1}


def test_chosen_keys_that_are_not_there_are_said_to_be_missing(clouds: Clouds) -> None:
    ran = clouds.migrate(keys=["no.csv", "none.csv"])
    assert ran.code == 1 and ran.error["type"] == "TransferFailed"
    assert "None of the chosen keys was found" in ran.error["message"] and "'no.csv'" in ran.error["message"] and "spelling" in ran.error["hint"]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tier": "Chilly"}, "Hot, Cool, Cold, Archive"), ({"tier": "Cool", "endpoint": "dfs"}, "endpoint=dfs"),
        ({"tier": "Cool", "target": "s3://elsewhere/"}, "STANDARD_IA"), ({"tier": "Cool", "target": "file:///data"}, "files have none"),
    ],
)  # fmt: skip
def test_a_tier_that_cannot_be_is_refused_before_anything_is_listed(clouds: Clouds, options: dict[str, Any], told: str) -> None:
    ran = clouds.migrate(**options)
    assert (ran.code, ran.result["outcome"]) == (2, "rejected") and told in ran.error["message"]


def test_a_tier_that_can_be_is_let_through(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    assert clouds.migrate(tier="Cool").code == 0


def test_when_everything_is_left_out_the_filters_that_were_set_are_named(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv")
    ran = clouds.migrate(formats=["any"], regex=["^z"])
    assert "1 found, and all left out; filters that were set: regex." in ran.error["message"]
