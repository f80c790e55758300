"""The upload engine end to end: files of this machine → S3 or ADLS, announced by SQS, put away; on real servers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from portal.errors import Unreachable
from portal.notices.sqs import NoticeQueue
from portal.stores import checksums
from portal.stores.opening import open_account
from portal.transfer.uploading import after, announcing
from portal.transfer.uploading.lines import LinesFile
from tests.transferring import Clouds, get, keys, put, then
from tests.uploading import DAY, Shop, shop

__all__ = ["shop"]

ROOT = Path(__file__).resolve().parent.parent


def test_a_file_goes_to_the_key_that_the_template_makes(shop: Shop) -> None:
    shop.drop("sales.csv")
    ran = shop.upload()
    assert (ran.code, ran.counts) == (0, {"listed": 1, "copied": 1})
    assert keys(shop.clouds.s3) == [f"Raw/Local/CSV/sales/{DAY}/sales.csv"]
    assert shop.clouds.s3.stat(keys(shop.clouds.s3)[0]).checksums["crc64nvme"] == ran.table[0]["crc64nvme"]
    assert shop.left() == ["sales.csv"]


def test_a_single_file_may_be_the_source(shop: Shop) -> None:
    path = shop.drop("deep/one.csv")
    shop.drop("deep/other.csv")
    assert shop.upload(source=f"file://{path}", template="in/{path}", **shop.moving).counts["moved"] == 1
    assert (keys(shop.clouds.s3), shop.put_away(), shop.left()) == (["in/one.csv"], ["one.csv"], ["deep/other.csv"])


def test_what_arrived_is_announced_and_moved(shop: Shop) -> None:
    for n in range(25):
        shop.drop(f"part/{n}.csv", f"a\n{n}\n")
    ran = shop.announced(shop.clouds.context(labels={"trigger": "box"}), dataset="orders")
    assert (ran.code, ran.counts) == (0, {"listed": 25, "copied": 25, "announced": 25, "moved": 25})
    found = {notice.key: notice for notice in shop.notices()}
    assert set(found) == {f"Raw/Local/CSV/orders/{DAY}/{n}.csv" for n in range(25)} == set(keys(shop.clouds.s3))
    one = found[f"Raw/Local/CSV/orders/{DAY}/7.csv"]
    info = shop.clouds.s3.stat(one.key)
    assert (one.size_bytes, one.etag, one.crc64nvme) == (info.size_bytes, info.etag, info.checksums["crc64nvme"])
    assert (one.job, one.trigger, one.source) == (ran.job.job_id, "box", f"file://{shop.folder}/part/7.csv")
    assert str(one.url) == f"{shop.clouds.bucket}/{one.key}"
    assert (shop.left(), shop.put_away()) == ([], sorted(f"part/{n}.csv" for n in range(25)))
    told = [json.loads(line)["to"] for line in (ran.job.folder / "moved.ndjson").read_text().splitlines()]
    assert sorted(told) == sorted(map(str, shop.done.rglob("*.csv")))


def test_a_large_file_goes_in_parts(shop: Shop) -> None:
    data = os.urandom((9 << 20) + 3)
    shop.drop("big.bin", data)
    ran = shop.announced(template="{path}")
    assert (ran.counts["copied"], ran.counts["moved"]) == (1, 1)
    assert shop.clouds.s3.stat("big.bin").checksums["crc64nvme"] == checksums.crc64_hex(checksums.crc64(data))
    assert "-" in shop.notices()[0].etag


def test_adls_is_a_target_too(shop: Shop) -> None:
    shop.drop("a.csv")
    ran = shop.announced(target=f"{shop.clouds.lake}/x/")
    assert ran.counts == {"listed": 1, "copied": 1, "announced": 1, "moved": 1}
    assert get(shop.clouds.adls, f"x/Raw/Local/CSV/a/{DAY}/a.csv") == b"a,b\n1,2\n"
    assert str(shop.notices()[0].url) == f"{shop.clouds.lake}/x/Raw/Local/CSV/a/{DAY}/a.csv"


# what is at the target already


def test_the_same_bytes_there_count_as_uploaded_and_others_are_replaced(shop: Shop) -> None:
    put(shop.clouds.s3, "same.csv", "same")
    put(shop.clouds.s3, "other.csv", "they")
    shop.drop("same.csv", "same")
    shop.drop("other.csv", "mine")
    before = shop.clouds.s3.stat("same.csv").modified
    ran = shop.announced(template="{path}")
    assert ran.counts == {"listed": 2, "copied": 1, "skipped": 1, "announced": 2, "moved": 2}
    assert (get(shop.clouds.s3, "other.csv"), shop.clouds.s3.stat("same.csv").modified) == (b"mine", before)
    assert {notice.key: notice.etag for notice in shop.notices()} == {key: shop.clouds.s3.stat(key).etag for key in ("same.csv", "other.csv")}
    assert shop.left() == []


def test_of_a_large_object_without_a_stored_checksum_the_copy_of_this_very_file_is_known(shop: Shop) -> None:
    shop.drop("a.csv", "one")
    shop.upload(target=f"{shop.clouds.lake}/", template="{path}")
    ran = shop.upload(target=f"{shop.clouds.lake}/", template="{path}")
    assert ran.counts == {"listed": 1, "skipped": 1}


def test_skip_leaves_other_bytes_and_the_file(shop: Shop) -> None:
    put(shop.clouds.s3, "same.csv", "same")
    put(shop.clouds.s3, "other.csv", "they")
    shop.drop("same.csv", "same")
    shop.drop("other.csv", "mine")
    ran = shop.announced(template="{path}", overwrite="skip")
    assert (ran.code, ran.counts) == (0, {"listed": 2, "skipped": 2, "announced": 1, "moved": 1})
    assert (get(shop.clouds.s3, "other.csv"), shop.left()) == (b"they", ["other.csv"])


def test_fail_uploads_nothing_when_one_target_has_other_bytes(shop: Shop) -> None:
    put(shop.clouds.s3, "same.csv", "same")
    put(shop.clouds.s3, "other.csv", "they")
    for name, content in {"same.csv": "same", "other.csv": "mine", "new.csv": "new"}.items():
        shop.drop(name, content)
    ran = shop.announced(template="{path}", overwrite="fail")
    assert ran.code == 1
    assert "other.csv" in ran.error["message"]
    assert "same.csv" not in ran.error["message"]
    assert (keys(shop.clouds.s3), len(shop.left())) == (["other.csv", "same.csv"], 3)


def test_replace_sends_the_same_bytes_again(shop: Shop) -> None:
    put(shop.clouds.s3, "a.csv", "same")
    shop.drop("a.csv", "same")
    assert shop.upload(template="{path}", overwrite="replace").counts == {"listed": 1, "copied": 1}


def test_files_of_one_key_are_all_uploaded_and_named_alike_each_time(shop: Shop) -> None:
    for folder in ("n", "s"):
        shop.drop(f"{folder}/a.csv", folder)
    assert shop.upload(template="in/{filename}").counts["copied"] == 2
    first = keys(shop.clouds.s3)
    assert len(first) == 2
    moved = shop.folder.rename(shop.folder.with_name("elsewhere"))
    assert shop.upload(source=f"file://{moved}", template="in/{filename}").counts == {"listed": 2, "skipped": 2}
    assert keys(shop.clouds.s3) == first


# bucket and queue


def test_a_missing_queue_is_told_before_anything_is_uploaded(shop: Shop) -> None:
    shop.drop("a.csv")
    ran = shop.announced(create_queue=False)
    assert (ran.code, ran.error["retryable"]) == (1, False)
    assert shop.queue in ran.error["message"]
    assert "create_queue" in ran.error["hint"]
    assert (keys(shop.clouds.s3), shop.left()) == ([], ["a.csv"])


def test_a_missing_bucket_is_created_only_when_that_is_allowed(shop: Shop) -> None:
    shop.drop("a.csv")
    for target, scheme in ((f"s3://{shop.clouds.name}new/", "s3"), (shop.clouds.lake.replace("@", "new@") + "/", "adls")):
        ran = shop.upload(target=target)
        assert ran.code == 1
        assert "create_bucket" in ran.error["hint"]
        dry = shop.upload(shop.clouds.context(dry_run=True), target=target, create_bucket=True)
        assert (dry.code, "would be created" in dry.result["warnings"][0]) == (0, True)
        account = open_account(shop.clouds.context().connection(scheme))
        assert f"{shop.clouds.name}new" not in account.containers()
        assert shop.upload(target=target, create_bucket=True).counts["copied"] == 1
        assert f"{shop.clouds.name}new" in account.containers()


def test_a_dry_run_changes_nothing(shop: Shop) -> None:
    shop.drop("a.csv")
    ran = shop.announced(shop.clouds.context(dry_run=True))
    assert ran.code == 0
    assert ran.result["report"]["dry_run"]["sample"][0]["target"] == f"Raw/Local/CSV/a/{DAY}/a.csv"
    assert (keys(shop.clouds.s3), shop.left(), shop.done.exists()) == ([], ["a.csv"], False)
    assert shop.announced(create_queue=False).code == 1, "the dry run made the queue"


def breaks(monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    """Let a queue that has taken so many messages be away, until the test undoes it."""
    send, taken = NoticeQueue.send, 0

    def sent(self: NoticeQueue, bodies: Any, **more: Any) -> Any:
        nonlocal taken
        taken += len(bodies)
        if taken > after:
            raise Unreachable("SQS did not answer.")
        return send(self, bodies, **more)

    monkeypatch.setattr(NoticeQueue, "send", sent)


def test_what_cannot_be_announced_stays_and_is_announced_by_the_next_attempt(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(25):
        shop.drop(f"{n}.csv", f"{n}")
    with monkeypatch.context() as broken:
        breaks(broken, 10)
        ran = shop.announced(template="{path}")
    assert (ran.code, ran.error["retryable"], ran.counts["copied"], ran.counts["announced"]) == (1, True, 25, 10)
    assert (len(shop.left()), len(shop.put_away())) == (15, 10)
    again = shop.announced(template="{path}")
    assert again.counts == {"listed": 15, "skipped": 15, "announced": 15, "moved": 15}
    assert sorted(notice.key for notice in shop.notices()) == sorted(f"{n}.csv" for n in range(25))


def test_a_second_attempt_goes_on_with_what_is_left(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(25):
        shop.drop(f"{n}.csv", f"{n}")
    job = shop.clouds.context()
    with monkeypatch.context() as broken:
        breaks(broken, 10)
        shop.announced(job, template="{path}")
    job.attempt = 2
    again = shop.announced(job, template="{path}")
    assert again.counts == {"listed": 25, "copied": 25, "announced": 25, "moved": 25}
    assert len(shop.notices()) == 25


def test_a_retry_announces_nothing_twice_and_keeps_the_moment(shop: Shop) -> None:
    shop.drop("a.csv", "one")
    blocked = shop.done
    blocked.write_text("a file where the folder should be")
    first = shop.announced(moment=None, template="{date}/{hh}{min}{ss}/{path}")
    assert (first.result["outcome"], first.counts["announced"], first.counts["stayed"]) == ("partial", 1, 1)
    assert "cannot be put away" in first.result["warnings"][0]
    blocked.unlink()
    shop.drop("b.csv", "two")
    retry = shop.clouds.context(retry_of=first.job.folder.name)
    second = shop.announced(retry, moment=None, template="{date}/{hh}{min}{ss}/{path}")
    assert second.counts == {"listed": 2, "copied": 1, "skipped": 1, "announced": 1, "moved": 2}
    third = shop.announced(shop.clouds.context(retry_of=retry.folder.name), moment=None, template="{date}/{hh}{min}{ss}/{path}")
    assert (third.code, third.counts) == (0, {})
    assert len({key.rpartition("/")[0] for key in keys(shop.clouds.s3)}) == 1
    assert sorted(notice.key.rpartition("/")[2] for notice in shop.notices()) == ["a.csv", "b.csv"]


def test_the_queue_is_told_of_the_same_file_again_by_another_job(shop: Shop) -> None:
    for _ in range(2):
        shop.drop("a.csv", "one")
        assert shop.announced(template="{path}").counts["announced"] == 1
    assert len(shop.notices()) == 2
    assert shop.put_away() == ["a.csv"], "the same bytes need no name of their own"


# putting away


def test_a_file_of_another_content_gets_a_name_of_its_own(shop: Shop) -> None:
    name = "n" * 251 + ".csv"
    for content in ("one", "two", "two"):
        shop.drop(name, content)
        assert shop.announced(template="{path}").counts["moved"] == 1
    assert len(shop.put_away()) == 2
    assert {(shop.done / found).read_text() for found in shop.put_away()} == {"one", "two"}
    assert all(len(found.encode()) <= 255 and found.endswith(".csv") for found in shop.put_away())


def while_announced(monkeypatch: pytest.MonkeyPatch, what: Any) -> None:
    """Let something happen after objects have arrived and before their files are put away."""
    send = NoticeQueue.send

    def sent(self: NoticeQueue, bodies: Any, **more: Any) -> Any:
        what()
        return send(self, bodies, **more)

    monkeypatch.setattr(NoticeQueue, "send", sent)


def test_a_file_that_was_replaced_after_its_upload_stays(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.drop("a.csv", "old")
    with monkeypatch.context() as patch:
        while_announced(patch, lambda: path.write_text("another content"))
        ran = shop.announced(template="{path}")
    assert (ran.result["outcome"], ran.counts["stayed"]) == ("partial", 1)
    assert (shop.left(), shop.put_away(), path.read_text()) == (["a.csv"], [], "another content")
    assert shop.announced(template="{path}").counts["moved"] == 1
    assert get(shop.clouds.s3, "a.csv") == b"another content"


def test_a_file_that_somebody_took_away_is_told(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.drop("a.csv", "old")
    while_announced(monkeypatch, path.unlink)
    ran = shop.announced(template="{path}")
    assert (ran.result["outcome"], ran.counts["gone"]) == ("succeeded", 1)
    assert "was gone" in ran.result["warnings"][0]


def test_files_may_be_deleted(shop: Shop) -> None:
    shop.drop("x/a.csv")
    ran = shop.upload(after="delete")
    assert (ran.counts["removed"], shop.left(), (shop.folder / "x").is_dir()) == (1, [], True)


def test_a_folder_that_was_made_for_a_job_goes_when_it_is_empty(shop: Shop) -> None:
    own = "01KAMQ3P4S5T6V7W8X9Y0Z1A2B"
    shop.drop(f"{own}/x/y/a.csv")
    shop.drop(f"{own}/b.csv")
    ran = shop.upload(source=f"file://{shop.folder}/{own}/", template="{path}", **shop.moving)
    assert (ran.counts["moved"], [*shop.folder.iterdir()]) == (2, [])
    assert shop.put_away() == ["b.csv", "x/y/a.csv"]


def test_done_folder_must_not_be_found_again(shop: Shop) -> None:
    shop.drop("a.csv")
    (shop.folder.parent / "link").symlink_to(shop.folder)
    for done in (f"file://{shop.folder}/done/", f"file://{shop.folder.parent}/link/done/"):
        ran = shop.upload(after="move", done_folder=done)
        assert (ran.code, "would be uploaded again" in ran.error["message"]) == (2, True)


def test_what_is_left_in_a_folder_of_the_job_makes_it_partial(shop: Shop) -> None:
    own = "01KAMQ3P4S5T6V7W8X9Y0Z1A2B"
    put(shop.clouds.s3, "other.csv", "they")
    for name in ("a.csv", "other.csv", "b.txt", "c.txt"):
        shop.drop(f"{own}/{name}", name)
    params = {"source": f"file://{shop.folder}/{own}/", "template": "{path}", "formats": ["csv"], "overwrite": "skip"}
    kept = shop.upload(**params)
    assert (kept.result["outcome"], "left" in kept.counts) == ("succeeded", False), "a file that is to stay is not left"
    ran = shop.announced(**params)
    assert (ran.code, ran.result["outcome"], ran.counts["left"], ran.counts["moved"]) == (3, "partial", 3, 1)
    first = ran.result["warnings"][0]
    assert "3 files were not uploaded and stay" in first and f"{own}/b.txt" in first, first
    again = shop.announced(shop.clouds.context(retry_of=ran.job.folder.name), **params)
    assert (again.result["outcome"], again.counts["left"], len(shop.left())) == ("partial", 3, 3)
    shop.drop("x/b.txt")
    assert shop.announced(**{**params, "source": f"file://{shop.folder}/x/", "allow_empty": True}).result["outcome"] == "succeeded"


class Full(LinesFile):
    """Lines on a disk that is full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._file.close()
        self._file = Path("/dev/full").open("r+b", buffering=0)

    def close(self) -> None:
        self._file.close()


@pytest.mark.parametrize(("place", "name"), [(announcing, "notices.ndjson"), (after, "moved.ndjson")])
def test_a_full_disk_is_told_and_the_next_attempt_goes_on(shop: Shop, place: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for n in range(3):
        shop.drop(f"{n}.csv", f"{n}")
    job = shop.clouds.context()
    with monkeypatch.context() as full:
        full.setattr(place, "LinesFile", Full)
        ran = shop.announced(job, template="{path}")
    assert (ran.code, ran.error["retryable"]) == (1, True)
    assert f"{name} of the job cannot be written: No space left" in ran.error["message"], ran.error
    job.attempt = 2
    again = shop.announced(job, template="{path}")
    assert again.counts["moved"] == 3 and "gone" not in again.counts
    assert shop.put_away() == ["0.csv", "1.csv", "2.csv"]


def test_what_only_some_uploads_need_is_not_imported_by_the_others() -> None:
    names = ("opening", "after", "apart", "announcing", "outcome", "places", "putting_away", "there")
    modules = ["engines.upload", *(f"portal.transfer.uploading.{name}" for name in names)]
    code = f"import {', '.join(modules)}, sys; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert not {"portal.transfer.uploading.reencoding", "portal.tabular.text.text", "portal.notices.sqs", "boto3"} & {*found}


# names and kinds of files


def test_strange_files_end_clearly_and_hold_up_nobody(shop: Shop, tmp_path: Path) -> None:
    outside = tmp_path / "outside.csv"
    outside.write_text("secret")
    shop.drop("tab\tand %41 + ü.csv", "1")
    shop.drop("é" * 125 + ".csv", "2")
    (shop.folder / os.fsdecode(b"latin-\xe9.csv")).write_text("3")
    (shop.folder / "out.csv").symlink_to(outside)
    shop.drop("real.csv", "4")
    (shop.folder / "link.csv").symlink_to(shop.folder / "real.csv")
    os.mkfifo(shop.folder / "pipe.csv")
    ran = shop.announced(template="in/{path}")
    assert (ran.code, ran.result["outcome"]) == (3, "partial")
    assert ran.counts == {"listed": 6, "copied": 4, "failed": 2, "announced": 4, "moved": 3, "stayed": 1}
    assert sorted(get(shop.clouds.s3, key) for key in keys(shop.clouds.s3)) == [b"1", b"2", b"4", b"4"]
    assert "in/tab\tand %41 + ü.csv" in {notice.key for notice in shop.notices()}
    failed = {row["source_key"].rpartition("/")[2]: row["reason"] for row in ran.table if row["outcome"] == "failed"}
    assert "outside the folders" in failed["out.csv"]
    assert "not valid Unicode" in failed["latin-\\udce9.csv"]
    assert any("is a link" in warning for warning in ran.result["warnings"])
    assert (outside.exists(), (shop.folder / "out.csv").is_symlink(), (shop.folder / os.fsdecode(b"latin-\xe9.csv")).exists()) == (True, True, True)


def test_names_that_the_target_cannot_hold_fail_alone_or_are_renamed(shop: Shop) -> None:
    shop.drop("a\\b.csv", "1")
    shop.drop("good.csv", "2")
    lake = f"{shop.clouds.lake}/"
    assert shop.upload(target=lake, template="{path}").counts == {"listed": 2, "copied": 1, "failed": 1}
    assert shop.upload(target=lake, template="{path}", bad_names="rename").counts == {"listed": 2, "copied": 1, "skipped": 1}
    assert keys(shop.clouds.adls) == ["a%5Cb.csv", "good.csv"]


def test_a_file_that_is_written_to_meanwhile_fails_and_stays(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    path = shop.drop("a.csv", "old")
    shop.drop("b.csv", "b")
    then(monkeypatch, lambda: path.write_text("longer than before"))
    ran = shop.announced(template="{path}")
    assert (ran.result["outcome"], ran.counts["failed"], shop.left(), keys(shop.clouds.s3)) == ("partial", 1, ["a.csv"], ["b.csv"])


def test_files_that_changed_a_moment_ago_may_be_left_out(shop: Shop) -> None:
    shop.drop("new.csv")
    os.utime(shop.drop("old.csv"), (1_700_000_000, 1_700_000_000))
    assert shop.announced(min_age_s=60, template="{path}").counts == {"listed": 2, "copied": 1, "excluded": 1, "announced": 1, "moved": 1}
    assert shop.left() == ["new.csv"]


def test_an_empty_folder_is_an_error_unless_that_is_allowed(shop: Shop) -> None:
    assert "nothing to upload" in shop.upload().error["message"]
    assert shop.upload(allow_empty=True).code == 0


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"source": "s3://b/"}, "folder or file of this machine"), ({"target": "file:///x/"}, "in S3 or ADLS"), ({"template": "a/b"}, "must be in"),
        ({"after": "move"}, "needs a done_folder"), ({"create_queue": True}, "needs a queue"), ({"time_zone": "Mars/Base"}, "nobody knows"),
        ({"dataset": "../x"}, "neither begins"), ({"after": "move", "done_folder": "s3://b/"}, "folder of this machine"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_refused(shop: Shop, params: dict[str, Any], told: str) -> None:
    ran = shop.upload(**params)
    assert (ran.code, told in ran.error["message"]) == (2, True), ran.error


def test_secrets_stay_out_of_what_is_written(shop: Shop, clouds: Clouds) -> None:
    shop.drop("a.csv")
    ran = shop.announced()
    for path in ran.job.folder.rglob("*"):
        assert path.is_dir() or b"testing-secret" not in path.read_bytes()
