"""What the migrate engine does about targets that exist, names that cannot be, archives, twins and extras, on real servers."""

from __future__ import annotations

import csv
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from portal.context import JobContext
from portal.errors import SettingError
from portal.planning import compare, plan, preflight, prices, survey, targets
from portal.wire import s3_end
from tests.transferring import Clouds, Ran, get, keys, put, then


def lines(ran: Ran, name: str) -> list[dict[str, str]]:
    with (ran.job.folder / name).open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("target", ["adls", "dfs", "s3", "local"])
def test_only_what_differs_is_copied_again(clouds: Clouds, target: str) -> None:
    place = {"s3": f"{clouds.bucket}/to/", "local": f"file://{clouds.home}/data/"}.get(target, f"{clouds.lake}/")
    params: dict[str, Any] = {"source": f"{clouds.bucket}/in/", "target": place, "endpoint": "dfs" if target == "dfs" else "blob"}
    for name in ("same.csv", "changed.csv", "longer.csv"):
        put(clouds.s3, f"in/{name}", b"1\n")
    assert clouds.migrate(**params).counts == {"listed": 3, "copied": 3}
    put(clouds.s3, "in/changed.csv", b"2\n")
    if target == "local":
        os.utime(f"{clouds.home}/data/changed.csv", (0, 0))  # files tell versions apart by whole seconds, and this test is quicker
    put(clouds.s3, "in/longer.csv", b"1\n2\n")
    put(clouds.s3, "in/fresh.csv", b"3\n")
    ran = clouds.migrate(**params, overwrite="different")
    assert ran.counts == {"listed": 4, "copied": 3, "skipped": 1}
    assert "unchanged" in ran.rows["in/same.csv"]["reason"] and ran.rows["in/same.csv"]["outcome"] == "skipped"
    assert clouds.migrate(**params, overwrite="different").counts == {"listed": 4, "skipped": 4}


def test_without_a_record_size_and_md5_decide(clouds: Clouds) -> None:
    for name, ours, theirs in (("same.csv", b"1\n", b"1\n"), ("other.csv", b"1\n", b"2\n")):
        put(clouds.s3, f"in/{name}", ours)
        put(clouds.s3, f"to/{name}", theirs)
    ran = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.bucket}/to/", overwrite="different")
    assert ran.counts == {"listed": 2, "copied": 1, "skipped": 1}
    assert "same size and checksum" in ran.rows["in/same.csv"]["reason"]


def test_newer_sources_are_copied_and_older_ones_are_not(clouds: Clouds) -> None:
    put(clouds.s3, "a.csv", b"1\n")
    put(clouds.adls, "a.csv", b"0\n")
    put(clouds.adls, "b.csv", b"0\n0\n")
    put(clouds.s3, "b.csv", b"1\n")
    ran = clouds.migrate(overwrite="newer")
    assert ran.counts == {"listed": 2, "copied": 1, "skipped": 1}
    assert "not older" in ran.rows["a.csv"]["reason"] and get(clouds.adls, "b.csv") == b"1\n"


def test_stored_checksums_decide_when_that_is_asked_for(clouds: Clouds) -> None:
    for name in ("a.csv", "b.csv"):
        put(clouds.s3, name, b"1\n")
    assert clouds.migrate().code == 0
    put(clouds.s3, "a.csv", b"1\n")
    put(clouds.s3, "b.csv", b"2\n")
    before = clouds.adls.stat("a.csv").etag
    ran = clouds.migrate(overwrite="checksum")
    assert ran.counts == {"listed": 2, "copied": 1, "skipped": 1}
    assert "checksum" in ran.rows["a.csv"]["reason"] and clouds.adls.stat("a.csv").etag == before and get(clouds.adls, "b.csv") == b"2\n"


def test_a_mirror_lists_what_only_the_target_has_and_leaves_it(clouds: Clouds) -> None:
    put(clouds.s3, "in/d/a.csv")
    put(clouds.s3, "in/out-of-it.txt")
    for key in ("to/d/a.csv", "to/d/old.csv", "to/older.csv", "to/out-of-it.txt", "to/theirs.bin", "elsewhere.csv"):
        put(clouds.adls, key, b"123")
    ran = clouds.migrate(source=f"{clouds.bucket}/in/", target=f"{clouds.lake}/to/", mirror=True)
    assert (ran.code, ran.counts) == (0, {"listed": 2, "copied": 1, "excluded": 1})
    assert [line["key"] for line in lines(ran, "extras.csv")] == ["to/d/old.csv", "to/older.csv"]
    assert ran.result["report"]["extras"] == {"objects": 2, "bytes": 6, "file": "extras.csv"}
    assert "to/d/old.csv" in keys(clouds.adls)


def mirrored(clouds: Clouds, job: JobContext | None = None, **params: Any) -> Ran:
    target = f"{clouds.lake}/to/"
    return clouds.migrate(
        job, **{"source": f"{clouds.bucket}/in/", "target": target, "mirror": True, "delete_extra": True, "confirm_delete": target, **params}
    )  # fmt: skip


def test_a_mirror_deletes_what_is_extra_and_writes_it_down(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv")
    for key in ("to/old.csv", "to/theirs.bin", "elsewhere.csv"):
        put(clouds.adls, key, b"123")
    ran = mirrored(clouds)
    assert (ran.code, ran.counts) == (0, {"listed": 1, "copied": 1, "deleted": 1})
    assert keys(clouds.adls) == ["elsewhere.csv", "to/a.csv", "to/theirs.bin"]
    (row,) = [row for row in ran.table if row["outcome"] == "deleted"]
    assert (row["target_key"], row["target_size"], row["target_url"]) == ("to/old.csv", 3, f"{clouds.lake}/to/old.csv")
    assert mirrored(clouds).counts == {"listed": 1, "skipped": 1}


@pytest.mark.parametrize("overwrite", ["skip", "different"])
def test_an_object_that_is_called_like_the_folder_of_the_source_costs_none_its_copy(clouds: Clouds, overwrite: str) -> None:
    for key in ("dir", "dir/a.csv", "dir/b.csv"):
        put(clouds.s3, key)
    put(clouds.adls, "to/z.csv")
    params: dict[str, Any] = {"source": f"{clouds.bucket}/dir", "formats": ["any"], "overwrite": overwrite}
    assert mirrored(clouds, **params).counts == {"listed": 3, "copied": 3, "deleted": 1}
    assert mirrored(clouds, **params).counts == {"listed": 3, "skipped": 3}
    assert keys(clouds.adls) == ["to/a.csv", "to/b.csv", "to/dir"]


def test_whatever_the_comparison_says_nothing_that_the_plan_names_is_deleted(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.csv", "b.csv"):
        put(clouds.s3, f"in/{name}")
    assert mirrored(clouds).code == 0
    put(clouds.adls, "to/old.csv")
    monkeypatch.setattr(compare.Comparison, "_names_of", lambda self, page: [""] * len(page))
    ran = mirrored(clouds, overwrite="skip")
    assert ran.counts["deleted"] == 1 and keys(clouds.adls) == ["to/a.csv", "to/b.csv"]
    assert [line["key"] for line in lines(ran, "extras.csv")] == ["to/old.csv"]


def test_the_copy_of_what_is_left_out_now_is_no_extra(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    params: dict[str, Any] = {"source": f"{clouds.bucket}/in", "formats": ["any"], "bad_names": "rename", "archived": "skip"}
    for key in ("in", "in/a.", "in/b"):
        put(clouds.s3, key)
    assert mirrored(clouds, **params).counts == {"listed": 3, "copied": 3}
    monkeypatch.setattr(preflight.Check, "_archived", lambda self: ((entry, "it is") for entry in plan.read(self.planned.path) if entry.n != 2))
    monkeypatch.setattr(survey, "may_be_archived", lambda storage_class: True)
    assert mirrored(clouds, **params).counts == {"listed": 3, "skipped": 1, "excluded": 2}
    assert keys(clouds.adls) == ["to/a%2E", "to/b", "to/in"]


def test_a_retry_keeps_the_name_that_sets_a_twin_apart(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    params: dict[str, Any] = {"layout": "flat", "twins": "rename", "overwrite": "replace"}
    for folder in "xy":
        put(clouds.s3, f"{folder}/a.csv", folder.encode())
    then(monkeypatch, lambda: clouds.s3.delete("y/a.csv"))
    first = clouds.migrate(**params)
    assert first.counts == {"listed": 2, "copied": 1, "failed": 1}
    put(clouds.s3, "y/a.csv", b"y")
    retry = clouds.migrate(clouds.context(retry_of=first.job.job_id), **params)
    apart = first.rows["y/a.csv"]["target_key"]
    assert (retry.counts, retry.rows["y/a.csv"]["target_key"]) == ({"listed": 1, "copied": 1}, apart)
    assert get(clouds.adls, "raw_data/a.csv") == b"x" and get(clouds.adls, apart) == b"y"
    assert [line["target_key"] for line in lines(retry, "names.csv")] == [apart]
    assert clouds.migrate(**(params | {"overwrite": "different"})).counts == {"listed": 2, "skipped": 2}


@pytest.mark.parametrize("behind", ["file", "folder", "folder that is no csv by its name"])
def test_nothing_is_deleted_while_something_at_the_source_cannot_be_looked_at(clouds: Clouds, behind: str) -> None:
    source, disk = clouds.home / "data" / "in", clouds.home / "data" / "disk"
    name = "a" if behind.endswith("name") else "a.csv"
    for folder in (source, disk):
        folder.mkdir()
    (disk / "x.csv").write_bytes(b"precious")
    (source / "b.csv").write_bytes(b"b")
    if behind == "file":
        (source / name).symlink_to(disk / "x.csv")
    else:
        (source / name).mkdir()
        (source / name / "x.csv").write_bytes(b"precious")
    assert mirrored(clouds, source=f"file://{source}/").counts == {"listed": 2, "copied": 2}
    before = keys(clouds.adls)
    if behind == "file":
        disk.rename(clouds.home / "data" / "unmounted")
    else:
        shutil.rmtree(source / name)
        (source / name).symlink_to(disk)
    ran = mirrored(clouds, source=f"file://{source}/")
    assert keys(clouds.adls) == before and any("could not be looked at" in warning for warning in ran.result["warnings"])
    row = next(row for row in ran.table if row["source_key"].endswith(f"/{name}"))
    assert "could not be looked at" in row["reason"] and row["outcome"] == ("excluded" if behind.endswith("name") else "failed")


def test_more_to_delete_than_allowed_stops_before_anything_moves(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv")
    for n in range(3):
        put(clouds.adls, f"to/{n}.csv")
    ran = mirrored(clouds, max_deletes=2)
    assert ran.code == 1 and "3 objects at the target have no source, and at most 2" in ran.error["message"]
    assert keys(clouds.adls) == ["to/0.csv", "to/1.csv", "to/2.csv"]


def test_nothing_is_deleted_when_anything_failed_or_nothing_was_listed_or_in_a_retry(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a.csv", "b.csv"):
        put(clouds.s3, f"in/{name}")
    put(clouds.adls, "to/old.csv")
    then(monkeypatch, lambda: clouds.s3.delete("in/b.csv"))
    ran = mirrored(clouds)
    assert (ran.code, ran.counts) == (3, {"listed": 2, "copied": 1, "failed": 1})
    assert any("not every object arrived" in warning for warning in ran.result["warnings"])
    put(clouds.s3, "in/b.csv")
    retry = mirrored(clouds, clouds.context(retry_of=ran.job.job_id))
    assert retry.counts == {"listed": 1, "copied": 1} and any("not looked for" in warning for warning in retry.result["warnings"])
    empty = mirrored(clouds, source=f"{clouds.bucket}/nothing/", allow_empty=True)
    assert empty.code == 0 and any("nothing was listed" in warning for warning in empty.result["warnings"])
    assert "to/old.csv" in keys(clouds.adls)


def test_an_extra_that_was_replaced_meanwhile_stays_and_the_job_is_partial(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    put(clouds.s3, "in/a.csv")
    put(clouds.adls, "to/old.csv", b"1")
    then(monkeypatch, lambda: put(clouds.adls, "to/old.csv", b"2"))
    ran = mirrored(clouds)
    assert (ran.code, ran.counts) == (3, {"listed": 1, "copied": 1})
    assert any("to/old.csv" in warning for warning in ran.result["warnings"]) and get(clouds.adls, "to/old.csv") == b"2"


def test_deletions_that_were_cut_off_are_gone_on_with_and_each_has_its_row(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv")
    for n in range(3):
        put(clouds.adls, f"to/{n}.csv")
    first = mirrored(clouds)
    journal = first.job.folder / "journal.ndjson"
    told = journal.read_text().splitlines(True)
    gone = next(line for line in told if '"deleted"' in line)
    journal.write_text("".join(line for line in told if line != gone))  # it was deleted, and the journal did not come to say so
    ran = mirrored(clouds, JobContext(first.job.job_id, first.job.folder, clouds.config, attempt=2))
    assert (ran.code, ran.counts) == (0, {"listed": 1, "copied": 1, "deleted": 3})


def test_a_source_of_one_object_has_no_extras(clouds: Clouds) -> None:
    put(clouds.s3, "in/a.csv")
    put(clouds.adls, "to/b.csv")
    ran = mirrored(clouds, source=f"{clouds.bucket}/in/a.csv")
    assert ran.code == 0 and keys(clouds.adls) == ["to/a.csv", "to/b.csv"]


def test_bad_names_are_renamed_reversibly_and_both_names_are_kept(clouds: Clouds) -> None:
    for key in ("good.csv", "bad./x.csv", "a//b.csv", "like%2Ethat.csv"):
        put(clouds.s3, key)
    ran = clouds.migrate(bad_names="rename")
    assert (ran.code, ran.counts) == (0, {"listed": 4, "copied": 4})
    assert keys(clouds.adls) == ["a/%/b.csv", "bad%2E/x.csv", "good.csv", "like%252Ethat.csv"]
    assert {line["source_key"]: line["target_key"] for line in lines(ran, "names.csv")} == {
        "bad./x.csv": "bad%2E/x.csv", "a//b.csv": "a/%/b.csv", "like%2Ethat.csv": "like%252Ethat.csv"
    }  # fmt: skip
    assert "ends in a dot" in ran.rows["bad./x.csv"]["reason"]
    assert ran.result["report"]["conflicts_by_class"] == {"renamed": 3}
    assert clouds.migrate(bad_names="rename", overwrite="different").counts == {"listed": 4, "skipped": 4}


def test_every_problem_is_in_a_file_with_its_class(clouds: Clouds) -> None:
    for n in range(25):
        put(clouds.s3, f"bad{n:02}./x.csv")
    ran = clouds.migrate()
    assert "25 bad name" in ran.error["message"] and "and 5 more, see conflicts.csv" in ran.error["message"]
    found = lines(ran, "conflicts.csv")
    assert len(found) == 25 and {(line["class"], line["done"]) for line in found} == {("bad name", "stops")}
    assert found[0]["source_key"] == "bad00./x.csv" and keys(clouds.adls) == []


def test_twins_are_skipped_or_get_names_of_their_own(clouds: Clouds) -> None:
    for key in ("x/same.csv", "y/same.csv", "z/other.csv"):
        put(clouds.s3, key)
    ran = clouds.migrate(layout="flat", twins="skip")
    assert (ran.code, ran.counts) == (0, {"listed": 3, "copied": 2, "excluded": 1})
    assert "would both become" in ran.rows["y/same.csv"]["reason"]
    ran = clouds.migrate(layout="flat", twins="rename", target=f"{clouds.lake}/two/")
    assert (ran.code, ran.counts) == (0, {"listed": 3, "copied": 3})
    (line,) = lines(ran, "names.csv")
    assert line["source_key"] == "y/same.csv" and line["target_key"].startswith("two/raw_data/same~") and line["target_key"] in keys(clouds.adls)
    assert clouds.migrate(layout="flat", twins="rename", target=f"{clouds.lake}/two/", overwrite="different").counts == {"listed": 3, "skipped": 3}


@pytest.mark.parametrize("policy", ["skip", "rename"])
def test_a_file_that_would_be_a_folder_is_skipped_or_renamed(clouds: Clouds, policy: str) -> None:
    put(clouds.s3, "a.csv")
    put(clouds.s3, "a.csv/b.csv")
    ran = clouds.migrate(twins=policy)
    assert ran.code == 0 and "a.csv/b.csv" in keys(clouds.adls)
    assert len(keys(clouds.adls)) == (1 if policy == "skip" else 2)


def test_ordinary_names_need_no_scratch_database(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(targets.Targets, "fill", lambda self, pages: pytest.fail("a database for names in order"))
    for key in ("a.csv", "a.csv.gz", "a/b.csv", "a-b/c.csv"):
        put(clouds.s3, key)
    assert clouds.migrate().counts == {"listed": 4, "copied": 4}


def test_archived_objects_stop_the_job_or_are_left_out_unless_they_were_restored(clouds: Clouds) -> None:
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    put(clouds.s3, "warm.csv")
    for key in ("cold.csv", "restored.csv"):
        client.put_object(Bucket=clouds.name, Key=key, Body=b"a\n", StorageClass="GLACIER")
    client.restore_object(Bucket=clouds.name, Key="restored.csv", RestoreRequest={"Days": 1})
    ran = clouds.migrate()
    assert "cold.csv is archived" in ran.error["message"] and "restored.csv" not in ran.error["message"] and keys(clouds.adls) == []
    ran = clouds.migrate(archived="skip")
    assert ran.counts == {"listed": 3, "copied": 2, "excluded": 1} and "GLACIER" in ran.rows["cold.csv"]["reason"]


def test_objects_that_are_too_large_stop_the_job_or_are_left_out(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.planning import limits

    monkeypatch.setattr(limits, "AZURE_MAX_BYTES", 9)
    put(clouds.s3, "small.csv")
    put(clouds.s3, "large.csv", b"0123456789")
    ran = clouds.migrate()
    assert "10 bytes, and 9 are the most" in ran.error["message"] and "too_large=skip" in ran.error["hint"]
    assert clouds.migrate(too_large="skip").counts == {"listed": 2, "copied": 1, "excluded": 1}


def test_regular_expressions_and_storage_classes_choose(clouds: Clouds) -> None:
    for key in ("a1.csv", "a2.csv", "b1.csv"):
        put(clouds.s3, key)
    clouds.s3.client.put_object(Bucket=clouds.name, Key="a3.csv", Body=b"a\n", StorageClass="STANDARD_IA")  # type: ignore[attr-defined]
    ran = clouds.migrate(regex=[r"^a\d"], storage_classes=["standard"])
    assert ran.counts == {"listed": 4, "copied": 2, "excluded": 2}
    assert "STANDARD_IA" in ran.rows["a3.csv"]["reason"] and "regular expression" in ran.rows["b1.csv"]["reason"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"regex": ["("]}, "no regular expression"), ({"delete_extra": True}, "needs mirror"), ({"mirror": True, "keys": ["a"]}, "chosen keys"),
        ({"mirror": True, "layout": "flat"}, "layout=flat"), ({"mirror": True, "modified_since": "2026-01-01"}, "modified_since"),
        ({"mirror": True, "delete_extra": True}, "confirm_delete"), ({"mirror": True, "delete_extra": True, "confirm_delete": "x"}, "confirm_delete"),
        ({"tier": "Cool", "endpoint": "dfs"}, "endpoint=dfs"), ({"tier": "Cool", "target": "file:///data/"}, "files have none"),
    ],
)  # fmt: skip
def test_parameters_that_do_not_fit_together_are_refused(clouds: Clouds, params: dict[str, Any], said: str) -> None:
    ran = clouds.migrate(**params)
    assert (ran.code, ran.error["type"]) == (2, "BadParameters") and said in ran.error["message"]


def test_a_job_that_was_killed_while_listing_goes_on_where_it_was(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(7):
        put(clouds.s3, f"in/{n}.csv")
    asked: list[str | None] = []
    listed = s3_end.S3End.list_page

    def two_at_a_time(self: Any, prefix: str, *, continuation: str | None = None, limit: int = 0) -> Any:
        asked.append(continuation)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return listed(self, prefix, continuation=continuation, limit=2)

    monkeypatch.setattr(s3_end.S3End, "list_page", two_at_a_time)
    job = clouds.context()
    with pytest.raises(KeyboardInterrupt):
        clouds.migrate(job, source=f"{clouds.bucket}/in/")
    ran = clouds.migrate(JobContext(job.job_id, job.folder, clouds.config, attempt=2), source=f"{clouds.bucket}/in/")
    assert (ran.code, ran.counts) == (0, {"listed": 7, "copied": 7})
    assert ran.result["report"]["plan"]["resumed"] is True
    assert len(asked) == 5 and asked[3] == asked[2] is not None, "what was listed is not listed again"


def test_the_price_table_can_be_changed_in_part(tmp_path: Path) -> None:
    built_in = prices.load(tmp_path)
    (tmp_path / "prices.toml").write_text('currency = "EUR"\n[s3]\nget_per_1000 = 1\n[s3.retrieval_per_gb]\nMINE = 2\n')
    own = prices.load(tmp_path)
    assert (own.currency, own.s3.get_per_1000, own.s3.retrieval_per_gb["MINE"]) == ("EUR", 1, 2)
    assert own.azure == built_in.azure and own.s3.put_per_1000 == built_in.s3.put_per_1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[s3]\nget_per_100 = 1\n", "Did you mean s3.get_per_1000"), ("[s3]\nget_per_1000 = -1\n", "s3.get_per_1000 = -1"), ("x", "is not TOML"),
        ("[speed]\nbytes_per_s = 0\n", "speed.bytes_per_s"), ('[azure]\nread_per_10000 = "much"\n', "azure.read_per_10000"), ("s3 = 1\n", "s3 = 1"),
        ("[s3]\nget_per_1000 = nan\n", "s3.get_per_1000"), ("[s3.retrieval_per_gb]\nX = -1\n", "s3.retrieval_per_gb.X"),
    ],
)  # fmt: skip
def test_a_price_that_cannot_be_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "prices.toml").write_text(text)
    with pytest.raises(SettingError) as raised:
        prices.load(tmp_path)
    assert said in f"{raised.value} {raised.value.hint}" and "prices.toml" in str(raised.value)
