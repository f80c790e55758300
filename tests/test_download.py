"""Messages become files: fetched once, proved, and deleted only when the files are safe; what cannot be done goes to the dead letters, whole."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import boto3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.connections import S3Connection
from portal.errors import AccessDenied, AlreadyExists, PortalError, SettingError, StoreFull, Unreachable
from portal.notices.message import Notice, body
from portal.notices.sqs import NoticeQueue
from portal.stores import local_rename
from portal.stores.checksums import crc64, crc64_hex
from portal.stores.partial import is_partial
from portal.stores.url import StoreURL
from portal.transfer.downloading import downloads, fetching, naming, target
from portal.transfer.downloading.ends import Ends
from portal.transfer.downloading.handling import Handler
from portal.transfer.downloading.record import RECORD_FILE, Record
from portal.transfer.downloading.target import TargetFile
from tests.servers import Server
from tests.transferring import Clouds, Ran, put
from tests.weed import KEYS

ROOT = Path(__file__).resolve().parent.parent


class Box:
    """A bucket, a queue and a target folder of one test."""

    def __init__(self, clouds: Clouds, s3_server: Server) -> None:
        self.clouds, self.server = clouds, s3_server
        self.target = clouds.home / "data" / "DownloadedFromS3"
        self.dead = clouds.home / "data" / "DeadLetters"
        self.queue = self.opened(f"{clouds.name}-notices")

    def opened(self, name: str) -> NoticeQueue:
        connection = S3Connection(endpoint_url=self.server.url, access_key_id="testing", secret_access_key="testing-secret")  # type: ignore[arg-type]
        return NoticeQueue.open(connection, name, create=True)

    def put(self, key: str, data: bytes | str = b"a,b\n1,2\n") -> Notice:
        """Put an object; returns what an upload would say of it."""
        data = data.encode() if isinstance(data, str) else data
        info = put(self.clouds.s3, key, data)
        return Notice(StoreURL("s3", self.clouds.name, "", key), len(data), info.etag, crc64_hex(crc64(data)))

    def send(self, *notices: Notice | str) -> None:
        assert self.queue.send([notice if isinstance(notice, str) else body(notice) for notice in notices]) == []

    def run(self, job: Any = None, **params: Any) -> Ran:
        usual = {"queue": self.queue.name, "target": f"file://{self.target}/", "wait_s": 0, "retry_s": 0}
        return self.clouds.run("download", job, **{**usual, **params})

    def files(self) -> dict[str, str]:
        """What is below the target, hidden files too."""
        found = (path for path in sorted(self.target.rglob("*")) if not path.is_dir())
        return {str(path.relative_to(self.target)): path.read_text("utf-8", "replace") for path in found}

    def letters(self) -> list[dict[str, Any]]:
        return [json.loads(path.read_text()) for path in sorted(self.dead.glob("*"))]

    def left(self) -> int:
        """Messages in the queue, those in somebody's hands too."""
        told = self.queue._attributes("ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible")
        return sum(int(value) for value in told.values())


@pytest.fixture
def box(clouds: Clouds, s3_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Box]:
    monkeypatch.setattr(fetching, "_BACKOFF_S", 0.005)
    found = Box(clouds, s3_server)
    yield found
    found.queue.close()


def event(bucket: str, key: str, name: str = "ObjectCreated:Put", **told: Any) -> str:
    """As S3 sends it."""
    record = {"eventSource": "aws:s3", "eventName": name, "s3": {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), **told}}}
    return json.dumps({"Records": [record]})


def test_notices_become_files_and_their_messages_are_deleted(box: Box) -> None:
    box.send(*(box.put(f"2026/{n}.csv", f"n\n{n}\n") for n in range(25)))
    ran = box.run()
    assert (ran.code, ran.counts) == (0, {"messages": 25, "listed": 25, "copied": 25})
    assert box.files() == {f"{box.clouds.name}/2026/{n}.csv": f"n\n{n}\n" for n in range(25)}
    assert box.left() == 0
    row = ran.rows["2026/7.csv"]
    assert (row["proof"], row["source_checksum"], row["target_key"]) == (
        "read-back", f"crc64nvme:{row['crc64nvme']}", f"{str(box.target)[1:]}/{box.clouds.name}/2026/7.csv",
    )  # fmt: skip


def test_events_of_s3_become_files(box: Box) -> None:
    box.put("a b/ü+.csv", "x")
    inner = event(box.clouds.name, "a b/ü+.csv")
    bridge = {"detail-type": "Object Created", "source": "aws.s3", "detail": {"bucket": {"name": box.clouds.name}, "object": {"key": "c%20d.csv"}}}
    box.put("c%20d.csv", "y")
    box.send(json.dumps({"Type": "Notification", "Message": inner}), json.dumps(bridge))
    assert box.run(layout="key").counts == {"messages": 2, "listed": 2, "copied": 2}
    assert box.files() == {"a b/ü+.csv": "x", "c%2520d.csv": "y"}, "a name that looks encoded is encoded, so that it can be read back"


def test_the_same_object_announced_twice_is_fetched_once(box: Box) -> None:
    notice = box.put("a.csv")
    box.send(notice)
    assert box.run().counts == {"messages": 1, "listed": 1, "copied": 1}
    before = (box.target / box.clouds.name / "a.csv").stat().st_ino
    box.send(notice, event(box.clouds.name, "a.csv"))
    ran = box.run()
    assert ran.counts == {"messages": 2, "listed": 2, "skipped": 2}
    assert (box.target / box.clouds.name / "a.csv").stat().st_ino == before


def test_a_late_message_of_an_older_version_brings_the_newer_one(box: Box) -> None:
    """Standard queues keep no order."""
    older = box.put("a.csv", "older")
    newer = box.put("a.csv", "newer!")
    box.send(newer)
    box.run()
    box.send(older)
    assert box.run().counts["skipped"] == 1
    assert list(box.files().values()) == ["newer!"]


def test_a_newer_object_replaces_the_file(box: Box) -> None:
    box.send(box.put("a.csv", "older"))
    box.run()
    box.send(box.put("a.csv", "newer"))
    assert box.run().counts["copied"] == 1
    assert list(box.files().values()) == ["newer"]


@pytest.mark.parametrize(("overwrite", "counts"), [("skip", {"skipped": 1}), ("fail", {"failed": 1, "dead_lettered": 1})])
def test_a_file_that_is_there_stays_when_that_is_wanted(box: Box, overwrite: str, counts: dict[str, int]) -> None:
    (box.target / box.clouds.name).mkdir(parents=True)
    (box.target / box.clouds.name / "a.csv").write_text("mine")
    box.send(box.put("a.csv", "another"))
    assert box.run(overwrite=overwrite, max_tries=1).counts == {"messages": 1, "listed": 1, **counts}
    assert list(box.files().values()) == ["mine"]


def test_what_is_no_event_of_a_new_object_is_ignored_and_deleted(box: Box) -> None:
    marker = Notice(StoreURL("s3", box.clouds.name, "", "folder/"), 0)
    put(box.clouds.s3, "marked/", b"")
    box.send(json.dumps({"Event": "s3:TestEvent", "Bucket": "b"}), event(box.clouds.name, "a", "ObjectRemoved:Delete"), marker)
    box.send(event(box.clouds.name, "marked/"))
    ran = box.run()
    assert (ran.code, ran.counts) == (0, {"messages": 4, "listed": 4, "excluded": 4})
    assert box.left() == 0 and box.files() == {}


def test_a_message_that_is_no_notice_goes_to_the_dead_letters_whole(box: Box) -> None:
    box.send("hello", box.put("a.csv"))
    ran = box.run()
    assert (ran.code, ran.result["outcome"]) == (3, "partial")
    assert ran.counts == {"messages": 2, "listed": 2, "copied": 1, "failed": 1, "dead_lettered": 1}
    (letter,) = box.letters()
    assert letter["body"] == "hello" and "not JSON" in letter["reason"] and letter["queue"] == box.queue.name
    assert box.left() == 0


def test_a_message_whose_object_is_gone_is_tried_again_and_then_dead_lettered(box: Box) -> None:
    box.send(event(box.clouds.name, "gone.csv"))
    ran = box.run(max_tries=3, max_messages=3, wait_s=10)
    assert ran.counts == {"messages": 1, "listed": 1, "failed": 1, "dead_lettered": 1}
    assert ran.rows["gone.csv"]["attempts"] == 3 and ran.rows["gone.csv"]["cause"] == "not-found"
    assert "Try 3 of 3" in box.letters()[0]["reason"] and box.left() == 0


def test_a_message_that_fails_for_now_stays_in_the_queue(box: Box) -> None:
    box.send(event(box.clouds.name, "later.csv"))
    ran = box.run(retry_s=600)
    assert ran.code == 1 and ran.error["retryable"] and "its message comes again. later.csv" in ran.error["message"]
    assert (box.left(), box.letters()) == (1, [])


def test_dead_letters_go_to_a_queue_with_the_reason(box: Box) -> None:
    with box.opened(f"{box.clouds.name}-dead.fifo") as dead:
        box.send("hello")
        box.run(dead_letters=dead.name)
        (found,) = dead._client.receive_message(QueueUrl=dead.url, MessageAttributeNames=["All"])["Messages"]
    told = {name: value["StringValue"] for name, value in found["MessageAttributes"].items()}
    assert found["Body"] == "hello" and "not JSON" in told["portal-reason"] and told["portal-queue"] == box.queue.name
    assert box.letters() == []


def test_the_queues_own_dead_letter_queue_is_used_when_none_is_named(box: Box) -> None:
    with box.opened(f"{box.clouds.name}-own") as dead:
        arn = dead._attributes("QueueArn")["QueueArn"]
        policy = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": "1000"})
        box.queue._client.set_queue_attributes(QueueUrl=box.queue.url, Attributes={"RedrivePolicy": policy})
        box.send("hello")
        box.run()
        assert dead.waiting() == 1 and box.letters() == []


def test_dead_letters_that_cannot_be_kept_leave_the_message_in_the_queue(box: Box) -> None:
    box.dead.parent.mkdir(exist_ok=True)
    box.dead.write_text("a file where the folder should be")
    box.send("hello")
    ran = box.run(retry_s=600)
    assert ran.code == 1 and box.left() == 1


def test_only_allowed_places_are_read(box: Box) -> None:
    box.send(box.put("open/a.csv"), box.put("open2/b.csv"), box.put("closed/c.csv"))
    ran = box.run(sources=[f"{box.clouds.bucket}/open"])
    assert ran.counts == {"messages": 3, "listed": 3, "copied": 1, "failed": 2, "dead_lettered": 2}
    assert list(box.files()) == [f"{box.clouds.name}/open/a.csv"]
    assert all("may not be fetched" in letter["reason"] for letter in box.letters())


HOSTILE = [
    "../../x1.csv", "a/../../../../x2.csv", "/etc/x3.csv", "a//x4.csv", "x" * 300 + ".csv", "nul\0x5.csv", ".", ".portal-0123456789abcdef.part",
]  # fmt: skip


def test_a_hostile_message_costs_no_other_its_place_in_the_books(box: Box) -> None:
    """Nor its own: each is a dead letter at once, whatever it names."""
    place = {"bucket": {"name": box.clouds.name}}
    hostile = [
        event(box.clouds.name, "gone1", eTag="\ud800"), event(box.clouds.name, "gone2", versionId="\ud800x"), event("a--x-s3", "k"),
        event("arn:aws:s3:us-east-1:123456789012:accesspoint:x", "k"), event("evil.com?x=", "k"), event("a\r\nHost: evil", "k"),
        event(box.clouds.name, "x" * 100_000), json.dumps({"Records": [{"eventName": "\ud800", "s3": {**place, "object": {"key": "k"}}}]}),
    ]  # fmt: skip
    box.put("huge.csv", "x")
    box.send(box.put("a.csv", "a"), *hostile, event(box.clouds.name, "huge.csv", size=2**63, eTag='x"\r\nHost: evil'), box.put("b.csv", "b"))
    ran = box.run()
    assert ran.counts == {"messages": 11, "listed": 11, "copied": 3, "failed": 8, "dead_lettered": 8}
    assert sorted(box.files().values()) == ["a", "b", "x"] and box.left() == 0 and len(box.letters()) == 8
    assert all(len(failure["reason"]) < 500 and "regex" not in failure["reason"] for failure in ran.result["report"]["failures"])


def test_a_row_that_an_earlier_attempt_left_is_in_the_books_however_odd_it_is(box: Box) -> None:
    job = box.clouds.context()
    odd = {"n": 0, "record": 0, "outcome": "failed", "source_key": "odd\ud800", "source_size": 2**63, "reason": "\ud800", "dead": True}
    job.artefact(RECORD_FILE).write_text(json.dumps({"message": "m", "rows": [odd]}) + "\n")
    box.send(box.put("a.csv"))
    job.attempt = 2
    ran = box.run(job)
    assert ran.counts == {"messages": 2, "listed": 2, "copied": 1, "failed": 1, "dead_lettered": 1} and ran.rows["a.csv"]["outcome"] == "copied"


@pytest.mark.parametrize("size", [0, 3, 100])
def test_a_size_that_its_object_does_not_have_is_no_reason_to_wait(box: Box, size: int) -> None:
    notice = box.put("a.csv", "hello")
    box.send(Notice(notice.url, size, notice.etag))
    assert box.run(max_tries=1).counts == {"messages": 1, "listed": 1, "copied": 1}
    assert list(box.files().values()) == ["hello"]


@pytest.mark.parametrize("layout", ["bucket-key", "key", "flat"])
def test_no_key_leads_out_of_the_target(box: Box, layout: str) -> None:
    for key in HOSTILE:
        box.clouds.s3.client.put_object(Bucket=box.clouds.name, Key=key, Body=key.encode())  # type: ignore[attr-defined]
        box.send(event(box.clouds.name, key))
    assert box.run(layout=layout, max_tries=1).counts == {"messages": len(HOSTILE), "listed": len(HOSTILE), "copied": len(HOSTILE)}
    assert sorted(box.files().values()) == sorted(HOSTILE)
    data = box.clouds.home / "data"
    assert [path for path in data.rglob("*") if path.is_file() and box.target not in path.parents] == []


@given(st.text(st.characters(exclude_categories=("Cs",)), min_size=1), st.sampled_from(["bucket-key", "key", "flat"]))
def test_any_key_has_a_name_that_stays_below_the_target(key: str, layout: Any) -> None:
    name = naming.target_name(StoreURL("s3", "sales", "", key), layout)
    parts = name.split("/")
    assert all(part not in ("", ".", "..") and len(part.encode()) <= 255 and "\0" not in part for part in parts)
    assert not is_partial(name)


@given(st.text("ab/", min_size=1, max_size=6), st.text("ab/", max_size=4))
def test_places_that_may_be_read_end_at_a_slash(key: str, prefix: str) -> None:
    found = naming.allowed(StoreURL("s3", "sales", "", key), (StoreURL("s3", "sales", "", prefix),))
    folder = prefix if prefix.endswith("/") else f"{prefix}/"
    assert found == (not prefix or key == prefix != folder or (key.startswith(folder) and key != folder)), "the folder's own marker is no file"
    assert not naming.allowed(StoreURL("s3", "other", "", key), (StoreURL("s3", "sales", "", prefix),))


def test_a_link_in_the_target_does_not_lead_out_of_it(box: Box) -> None:
    outside = box.clouds.home / "data" / "outside"
    outside.mkdir(parents=True)
    box.target.mkdir()
    (box.target / box.clouds.name).symlink_to(outside)
    box.send(box.put("a.csv"))
    box.run(max_tries=1, retry_s=600)
    assert list(outside.iterdir()) == []


def test_files_of_several_objects_never_take_each_others_place(box: Box) -> None:
    box.send(box.put("one/a.csv", "one"))
    box.run(layout="flat")
    box.send(box.put("two/a.csv", "two"))
    box.run(layout="flat")
    box.send(box.put("one/a.csv", "one, newer"), box.put("two/a.csv", "two, newer"))
    box.run(layout="flat")
    files = box.files()
    assert len(files) == 2 and files["a.csv"] == "one, newer" and set(files.values()) == {"one, newer", "two, newer"}


def test_a_file_of_another_object_is_no_reason_to_skip_this_one(box: Box) -> None:
    box.send(box.put("one/a.csv", "one"))
    box.run(layout="flat")
    box.send(box.put("one/a.csv", "newer"), box.put("two/a.csv", "two"))
    assert box.run(layout="flat", overwrite="skip").counts == {"messages": 2, "listed": 2, "copied": 1, "skipped": 1}
    assert sorted(box.files().values()) == ["one", "two"]


def test_what_nobody_foresaw_ends_the_job_and_loses_no_message(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def surprising(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Handler, "handle", surprising)
    box.send(*(box.put(f"{n}.csv") for n in range(3)))
    ran = box.run()
    assert ran.code == 1 and "MemoryError" in ran.error["message"] and box.left() == 3


def test_a_message_with_several_records_is_done_with_when_all_are(box: Box) -> None:
    box.put("a.csv")
    records = [json.loads(event(box.clouds.name, key))["Records"][0] for key in ("a.csv", "later.csv")]
    box.send(json.dumps({"Records": records}))
    job = box.clouds.context()
    assert box.run(job, retry_s=0, max_tries=1000, wait_s=0, max_messages=2).code == 3
    assert box.left() == 1
    box.put("later.csv")
    job.attempt = 2
    ran = box.run(job)
    assert ran.counts == {"messages": 1, "listed": 2, "copied": 2}, "the first is not counted, nor fetched, again"
    assert box.left() == 0 and len(box.files()) == 2


def test_a_large_object_comes_in_blocks_and_is_proved(box: Box) -> None:
    data = os.urandom(3 * target.BLOCK_BYTES + 12345)
    box.send(box.put("large.bin", data))
    ran = box.run()
    assert (box.target / box.clouds.name / "large.bin").read_bytes() == data
    assert ran.rows["large.bin"]["crc64nvme"] == crc64_hex(crc64(data)) and ran.rows["large.bin"]["proof"] == "read-back"


def test_the_checksum_that_the_store_keeps_is_compared(box: Box) -> None:
    kinds = [(algorithm, data) for algorithm in ("CRC32", "CRC32C", "SHA1", "SHA256", "CRC64NVME") for data in (b"", b"hello")]
    for n, (algorithm, data) in enumerate(kinds):
        box.clouds.s3.client.put_object(Bucket=box.clouds.name, Key=str(n), Body=data, ChecksumAlgorithm=algorithm)  # type: ignore[attr-defined]
        box.send(event(box.clouds.name, str(n)))
    rows = box.run().rows
    assert [rows[str(n)]["source_checksum"].partition(":")[0] for n in range(len(kinds))] == [algorithm.lower() for algorithm, _ in kinds]


@pytest.mark.parametrize("algorithm", ["SHA256", "CRC32"])
def test_a_checksum_that_is_made_of_those_of_the_parts_is_compared(box: Box, algorithm: str) -> None:
    client, place = box.clouds.s3.client, {"Bucket": box.clouds.name, "Key": "a"}  # type: ignore[attr-defined]
    upload = client.create_multipart_upload(**place, ChecksumAlgorithm=algorithm, ChecksumType="COMPOSITE")["UploadId"]
    parts = []
    for number, size in ((1, 5 << 20), (2, 777)):
        answer = client.upload_part(**place, UploadId=upload, PartNumber=number, Body=os.urandom(size), ChecksumAlgorithm=algorithm)
        parts.append({"PartNumber": number, **{name: answer[name] for name in ("ETag", f"Checksum{algorithm}")}})
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})
    box.send(event(box.clouds.name, "a"))
    ran = box.run()
    assert ran.code == 0 and ran.rows["a"]["source_checksum"].startswith(f"{algorithm.lower()}-composite:")


def test_other_bytes_than_were_announced_get_no_name(box: Box) -> None:
    notice = box.put("a.csv", "hello")
    wrong = Notice(notice.url, notice.size_bytes, notice.etag, "0123456789abcdef")
    box.send(wrong)
    ran = box.run(max_tries=1)
    assert ran.rows["a.csv"]["cause"] == "proof-failed" and box.files() == {} and len(box.letters()) == 1


def test_what_the_disk_does_not_keep_gets_no_name(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = TargetFile.settle

    def lying(self: TargetFile) -> None:
        os.pwrite(self._descriptor, b"X", 0)
        settle(self)

    monkeypatch.setattr(TargetFile, "settle", lying)
    box.send(box.put("a.csv", "hello"))
    assert box.run(max_tries=1).rows["a.csv"]["cause"] == "proof-failed" and box.files() == {}


@pytest.mark.parametrize("way", ["call", "link", "neither"])
def test_a_target_whose_file_system_has_no_links_gets_its_files(box: Box, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if way != "link":
        monkeypatch.setattr(os, "link", refused)
    if way != "call":
        monkeypatch.setattr(local_rename, "_call", lambda: None)
    box.send(box.put("a.csv", "hello"))
    assert box.run(max_tries=1).counts == {"messages": 1, "listed": 1, "copied": 1}
    assert box.files() == {f"{box.clouds.name}/a.csv": "hello"}


@pytest.mark.parametrize("has_call", [True, False])
def test_a_file_that_somebody_else_made_meanwhile_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_call: bool) -> None:
    if not has_call:
        monkeypatch.setattr(local_rename, "_call", lambda: None)
    with target.turn(tmp_path, "a.csv", lambda: None) as file:
        file.begin(5)
        file.write(0, memoryview(b"hello"))
        (tmp_path / "a.csv").write_text("mine")
        with pytest.raises(AlreadyExists):
            file.publish("s3://sales/a.csv", "", overwrite=False)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.csv": "mine"}


def test_a_full_disk_ends_the_job_and_no_message_is_lost(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: TargetFile, start: int, block: memoryview) -> None:
        with target.translated(self.key):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(TargetFile, "write", full)
    box.send(*(box.put(f"{n}.csv") for n in range(5)))
    ran = box.run(max_tries=1)
    assert ran.code == 1 and "no room left" in ran.error["message"]
    assert (box.left(), box.letters(), box.files()) == (5, [], {})


def test_a_message_is_deleted_only_when_the_record_is_on_the_disk(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Record) -> None:
        raise StoreFull

    monkeypatch.setattr(Record, "sync", full)
    box.send(box.put("a.csv"))
    assert box.run().error["type"] == "StoreFull" and box.left() == 1


def test_a_message_is_kept_in_hand_for_as_long_as_it_is_worked_on(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    settle = TargetFile.settle

    def slow(self: TargetFile) -> None:
        time.sleep(3.2)
        settle(self)

    monkeypatch.setattr(TargetFile, "settle", slow)
    box.send(box.put("a.csv"))
    seen: list[int] = []
    looking = threading.Timer(2.9, lambda: seen.append(box.queue.waiting()))
    looking.start()
    ran = box.run(visible_s=2)
    looking.join()
    assert seen == [0], "without an extension it would have been visible again"
    assert ran.counts == {"messages": 1, "listed": 1, "copied": 1} and box.left() == 0


def test_a_cancel_gives_everything_back(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    job = box.clouds.context()
    settle = TargetFile.settle

    def cancelling(self: TargetFile) -> None:
        job.cancel()
        time.sleep(0.5)
        settle(self)

    monkeypatch.setattr(TargetFile, "settle", cancelling)
    box.send(*(box.put(f"{n}.csv") for n in range(30)))
    ran = box.run(job, concurrency=2)
    assert ran.error["type"] == "Cancelled"
    assert box.queue.waiting() == box.left() > 0, "none is hidden"
    assert all(not name.rpartition("/")[2].startswith(".") for name in box.files())
    monkeypatch.undo()
    box.run()
    assert box.left() == 0 and len(box.files()) == 30


def test_no_more_messages_are_taken_than_asked_for(box: Box) -> None:
    box.send(*(box.put(f"{n}.csv") for n in range(12)))
    assert box.run(max_messages=5).counts == {"messages": 5, "listed": 5, "copied": 5}
    assert box.queue.waiting() == 7


def test_an_empty_queue_is_no_failure(box: Box) -> None:
    assert (box.run().code, box.run().counts) == (0, {})


def test_a_dry_run_takes_nothing(box: Box) -> None:
    box.send(box.put("a.csv"))
    ran = box.run(box.clouds.context(dry_run=True))
    assert ran.result["report"]["plan"]["waiting"] == 1 and box.queue.waiting() == 1 and not box.target.exists()


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"queue": "no-such-queue"}, "no queue 'no-such-queue'"), ({"queue": "not a name"}, "does not name a queue"),
        ({"target": "s3://sales/"}, "a folder of this machine"), ({"target": "file:///etc/portal/"}, "outside the folders"),
        ({"sources": ["abfss://c@a/"]}, "not in S3"), ({"dead_letters": "no-such-queue"}, "no queue 'no-such-queue'"),
        ({"dead_letters": "file:///etc/dead/"}, "outside the folders"), ({"queue_connection": "nobody"}, "no connection 'nobody'"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_told_before_anything_is_received(box: Box, params: dict[str, Any], told: str) -> None:
    box.send(box.put("a.csv"))
    ran = box.run(**params)
    assert ran.code in (1, 2) and told in ran.error["message"]
    assert box.queue.waiting() == 1


def test_the_dead_letters_are_not_the_queue_itself(box: Box) -> None:
    assert "queue itself" in box.run(dead_letters=box.queue.url).error["message"]


def test_the_queue_may_be_named_by_its_url(box: Box) -> None:
    box.send(box.put("a.csv"))
    assert box.run(queue=box.queue.url).counts["copied"] == 1


def closing(monkeypatch: pytest.MonkeyPatch, bucket: str, error: PortalError) -> None:
    """One bucket cannot be read."""
    whole = Ends.of

    def refusing(self: Ends, name: str) -> Any:
        if name == bucket:
            raise error
        return whole(self, name)

    monkeypatch.setattr(Ends, "of", refusing)


@pytest.mark.parametrize("error", [AccessDenied("not yours"), Unreachable("no answer"), SettingError("no such way"), StoreFull()])
def test_messages_that_are_in_trouble_keep_none_from_its_turn(box: Box, monkeypatch: pytest.MonkeyPatch, error: PortalError) -> None:
    closing(monkeypatch, "closed", error)
    box.send(*(event("closed", f"{n}.csv") for n in range(45)), *(box.put(f"{n}.csv") for n in range(5)))
    ran = box.run(max_tries=3, retry_s=600)
    assert ran.counts == {"messages": 50, "listed": 50, "copied": 5, "failed": 45}
    assert len([name for name in box.files() if not is_partial(name)]) == 5
    assert (box.left(), box.letters()) == (45, [])


@pytest.mark.parametrize("patience_s", [0.0, 300.0])
def test_a_job_in_which_every_message_is_in_trouble_ends(box: Box, monkeypatch: pytest.MonkeyPatch, patience_s: float) -> None:
    """Because they come again, or because it has gone on for long."""
    monkeypatch.setattr(downloads, "PATIENCE_S", patience_s)
    closing(monkeypatch, box.clouds.name, AccessDenied("not yours"))
    box.send(*(box.put(f"{n}.csv") for n in range(25)))
    ran = box.run(max_tries=1, retry_s=0 if patience_s else 600, wait_s=1)
    assert ran.error["message"].startswith("not yours") and (box.left(), box.letters()) == (25, [])


@pytest.mark.parametrize("others", [True, False])
def test_a_message_that_came_far_too_often_is_dead_if_others_could_be_read(box: Box, monkeypatch: pytest.MonkeyPatch, others: bool) -> None:
    closing(monkeypatch, "closed", Unreachable("no answer"))
    box.send(*([box.put("a.csv")] if others else []), event("closed", "a.csv"))
    for _ in range(10):
        box.queue.extend([found.receipt for found in box.queue.receive(wait_s=0)], 0)
    box.run(max_tries=2, retry_s=600, concurrency=1)
    assert len(box.letters()) == others and box.left() == (not others)
    assert not others or "Received 11 times while others could be read: no answer" in box.letters()[0]["reason"]


def test_a_link_that_leads_out_of_the_target_is_no_reason_to_wait(box: Box) -> None:
    (box.target / box.clouds.name).mkdir(parents=True)
    (box.target / box.clouds.name / "a.csv").symlink_to("/etc/passwd")
    box.send(box.put("a.csv"))
    ran = box.run(max_tries=2, wait_s=1)
    assert ran.counts == {"messages": 1, "listed": 1, "failed": 1, "dead_lettered": 1} and "outside the folders" in box.letters()[0]["reason"]


def test_a_target_that_may_not_be_written_to_is_told_before_anything_is_received(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.send(box.put("a.csv"))
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    ran = box.run(max_tries=1)
    assert "may not be written to" in ran.error["message"] and (box.queue.waiting(), box.letters()) == (1, [])


def test_what_was_never_tried_is_no_try(box: Box) -> None:
    """An outage, a cancel, a kill: each time the message was received."""
    box.send(event(box.clouds.name, "gone.csv"))
    for _ in range(5):
        (found,) = box.queue.receive(wait_s=0)
        box.queue.extend([found.receipt], 0)
    ran = box.run(max_tries=3, retry_s=0, max_messages=1)
    assert ran.counts == {"messages": 1, "listed": 1, "failed": 1} and (box.left(), box.letters()) == (1, [])
    box.run(max_tries=3, retry_s=0, max_messages=1)
    assert box.letters() == [] and len(box.files()) == 1, "a hidden file holds the count for the next job"
    assert box.run(max_tries=3, max_messages=1).counts["dead_lettered"] == 1
    assert "Try 3 of 3" in box.letters()[0]["reason"] and (box.left(), box.files()) == (0, {})


def test_a_store_that_does_not_answer_sends_nothing_to_the_dead_letters(box: Box) -> None:
    """However often a message came."""
    toml = box.clouds.home / "connections.toml"
    toml.write_text('[gone]\nkind = "s3"\nendpoint_url = "http://127.0.0.1:9"\naccess_key_id = "a"\nsecret_access_key = "b"\n')
    box.send(event(box.clouds.name, "a.csv"))
    ran = box.run(source_connection="gone", max_tries=1, retry_s=600)
    assert ran.code == 1 and ran.rows["a.csv"]["cause"] == "unreachable"
    assert ran.error["message"].startswith("Nothing could be fetched; its message comes again. a.csv: ") and not ran.error["hint"]
    assert (box.left(), box.letters()) == (1, [])


def test_a_crash_at_any_step_loses_no_message_and_doubles_no_file(box: Box) -> None:
    """Four attempts of one job, each killed at another step, then one that ends."""
    names = [f"{n}.csv" for n in range(8)]
    box.send(*(box.put(name, name) for name in names))
    job = box.clouds.context()
    params = {"queue": box.queue.name, "target": f"file://{box.target}/", "wait_s": 3, "visible_s": 2, "concurrency": 1}
    (job.folder / "params.json").write_text(json.dumps(params))
    for step in ("filled", "published", "recorded", "deleted"):
        command = [sys.executable, "-m", "tests.dying_download", step, str(job.folder)]
        assert subprocess.run(command, cwd=ROOT, check=False, timeout=60).returncode == 9
        assert all(data == name.rpartition("/")[2] for name, data in box.files().items() if not is_partial(name))
    job.attempt = 5
    ran = box.run(job, wait_s=2.5)
    assert box.files() == {f"{box.clouds.name}/{name}": name for name in names} and box.left() == 0
    assert ran.code == 0 and ran.result["counts"]["listed"] == ran.result["counts"]["copied"] + ran.result["counts"]["skipped"]
    assert {row["source_key"] for row in ran.table} == set(names), "what was deleted is in the books"


def test_a_file_that_another_process_writes_is_waited_for(box: Box) -> None:
    """Both were told of the same object."""
    notice = box.put("a.csv", "hello")
    box.send(notice)
    (box.target / box.clouds.name).mkdir(parents=True)
    with target.turn(box.target, f"{box.clouds.name}/a.csv", lambda: None) as file:
        running = threading.Thread(target=box.run)
        running.start()
        time.sleep(1.0)
        assert running.is_alive()
        file.begin(5)
        file.write(0, memoryview(b"hello"))
        file.publish(str(notice.url), "", overwrite=False)
    running.join()
    assert list(box.files().values()) == ["hello"] and box.left() == 0


def test_a_large_object_of_another_store_is_fetched_by_the_command(strict_s3: str, home: Path, s3_server: Server, unique: str) -> None:
    """From another S3 than the queue's, one that checks what it gets."""
    lines = [f"AWS_ENDPOINT_URL={s3_server.url}", "AWS_ACCESS_KEY_ID=testing", "AWS_SECRET_ACCESS_KEY=testing-secret"]
    with (home / ".env").open("a") as file:
        file.write("\n".join(lines) + "\n")
    values = {"kind": "s3", "endpoint_url": strict_s3, **KEYS}
    (home / "connections.toml").write_text("[strict]\n" + "".join(f'{name} = "{value}"\n' for name, value in values.items()))
    client = boto3.client("s3", endpoint_url=strict_s3, region_name="us-east-1", aws_access_key_id=KEYS["access_key_id"],
                          aws_secret_access_key=KEYS["secret_access_key"])  # fmt: skip
    client.create_bucket(Bucket=unique)
    data = os.urandom(9 << 20)
    client.put_object(Bucket=unique, Key="a/large.bin", Body=data)
    connection = S3Connection(endpoint_url=s3_server.url, access_key_id="testing", secret_access_key="testing-secret")  # type: ignore[arg-type]
    with NoticeQueue.open(connection, unique, create=True) as queue:
        queue.send([event(unique, "a/large.bin", size=len(data))])
    target_folder = home / "data" / "in"
    command = [sys.executable, "-m", "engines.download", "--queue", unique, "--source-connection", "strict", "--target", f"file://{target_folder}/",
               "--wait-s", "0", "--layout", "key", "--work-dir", str(home / "work")]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, timeout=60, env={**os.environ, "PORTAL_HOME": str(home)}, capture_output=True)
    assert hashlib.sha256((target_folder / "a" / "large.bin").read_bytes()).digest() == hashlib.sha256(data).digest()
