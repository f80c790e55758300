"""Whatever a message says, its row can be written, and the rows of the others are not lost for it."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from hypothesis import example, given, settings
from hypothesis import strategies as st

from portal.errors import NotFound
from portal.ledger import ledger
from portal.ledger.balance import Books
from portal.notices.message import Notice
from portal.notices.sqs import Received
from portal.transfer.downloading import naming
from portal.transfer.downloading.dead_letters import DeadFolder
from portal.transfer.downloading.fetching import Fetched, Fetcher
from portal.transfer.downloading.handling import Ended, Fate, Handler
from portal.transfer.downloading.record import RECORD_FILE, Record

TEXTS = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "x\r\nHost: evil", "x" * 2000, "\x1b[31m", "\0", "%ED%A0%80", "%FF"])
NUMBERS = st.integers() | st.floats() | st.sampled_from([2**63 - 1, 2**63, 2**70, -1, "9223372036854775808", "9" * 30, "5"])
VALUES = TEXTS | NUMBERS | st.none() | st.booleans() | st.just([]) | st.just({})
PLACES = st.sampled_from(["sales", "a--x-s3", "arn:aws:s3:us-east-1:123456789012:accesspoint:x", "c@account", "evil.com?x="]) | VALUES


def shape(**told: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=told)


OBJECTS = st.fixed_dictionaries({"key": TEXTS}, optional={"size": VALUES, "eTag": VALUES, "etag": VALUES, "versionId": VALUES, "version-id": VALUES})
BUCKETS = st.fixed_dictionaries({"name": st.just("sales") | PLACES})
RECORDS = st.fixed_dictionaries(
    {"s3": st.fixed_dictionaries({"bucket": BUCKETS, "object": OBJECTS})},
    optional={"eventName": st.just("ObjectCreated:Put") | VALUES, "eventTime": VALUES, "awsRegion": VALUES},
)  # fmt: skip
OURS = shape(crc64nvme=VALUES | st.just("0" * 16), job=VALUES, trigger=VALUES, source=VALUES, layer=VALUES)
EVENTS = st.fixed_dictionaries({"Records": st.lists(RECORDS, min_size=1, max_size=3)}, optional={"portal": OURS})
BRIDGES = st.fixed_dictionaries({
    "source": st.just("aws.s3"), "detail-type": st.just("Object Created") | VALUES,
    "detail": st.fixed_dictionaries({"bucket": BUCKETS, "object": OBJECTS}, optional={"reason": VALUES}),
})  # fmt: skip
PLAIN = st.builds(json.dumps, EVENTS | BRIDGES)
BODIES = PLAIN | st.text(st.characters()) | PLAIN.map(lambda text: json.dumps({"Type": "Notification", "Message": text}))


class Telling:
    """Stands for a fetcher: finds every other object, and tells what the notice told."""

    def fetch(self, notice: Notice) -> Fetched:
        name = naming.target_name(notice.url, "bucket-key")
        os.fsencode(name)
        f"GET {notice.etag} {notice.version_id}".encode("ascii" if notice.etag else "utf-8")
        if len(notice.key) % 2:
            raise NotFound(f"There is no object {notice.url}.")
        return Fetched("copied", f"file:///in/{name}", "", notice.size_bytes, notice.etag, notice.version_id, crc64nvme=notice.crc64nvme or None)


def books_of(record: Record, path: Path) -> Books:
    books = Books("file:///")
    ledger.write(path, books.through(record.columns()))
    return books


@settings(deadline=None, max_examples=60)
@given(st.lists(BODIES, min_size=1, max_size=8))
@example([json.dumps({"Records": [{"s3": {"bucket": {"name": "sales"}, "object": {"key": "a", "size": 2**63}}}]})])
@example([json.dumps({"Records": [{"s3": {"bucket": {"name": "sales"}, "object": {"key": "a", "eTag": "\ud800"}}}]})])
@example([json.dumps({"Records": [{"eventName": "\ud800", "s3": {}}]})])
def test_whatever_a_message_says_its_row_is_written(bodies: list[str]) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        handler = Handler(cast("Fetcher", Telling()), DeadFolder(folder / "dead", "sales", "J"), (), 1)
        record = Record(folder / RECORD_FILE)
        for n, text in enumerate(bodies):
            ended = handler.handle(Received(f"m{n}", text, "r", 1, 0))
            assert ended.fate is Fate.DELETE and ended.trouble is None, "no message stays in the queue for what it says"
            record.add(ended)
        record.close()
        again = Record(folder / RECORD_FILE)
        books = books_of(again, folder / "ledger.parquet")
        books.refuse_imbalance(again.listed)
        again.close()
        rows = ledger.read(folder / "ledger.parquet").to_pylist()
        assert len(rows) == record.listed >= len(bodies)
        told = json.dumps([books.failures, dict(books.excluded), books.outputs, rows], ensure_ascii=False, default=str)
        assert len(told.encode()) < 100_000 * len(bodies), "nor is it long"


def test_a_row_that_cannot_be_written_as_it_is_costs_no_other_its_place(tmp_path: Path, caplog: Any) -> None:
    """A record of an earlier attempt may hold anything."""
    caplog.set_level(logging.ERROR)
    odd: dict[str, Any] = {"outcome": "failed", "source_key": "odd\ud800", "source_size": 2**63, "source_etag": "\ud800", "reason": "why"}
    plain = {"outcome": "copied", "source_key": "a", "source_size": 5, "target_key": "in/a", "target_size": 5, "proof": "read-back"}
    record = Record(tmp_path / RECORD_FILE)
    for n, row in enumerate((plain, odd, plain)):
        record.add(Ended(Received(f"m{n}", "", "r", 1, 0), Fate.DELETE, {0: row}))
    books = books_of(record, tmp_path / "ledger.parquet")
    record.close()
    first, second, third = ledger.read(tmp_path / "ledger.parquet").to_pylist()
    assert first == third and (first["source_key"], first["source_size"], first["proof"]) == ("a", 5, "read-back")
    assert (second["source_key"], second["source_size"], second["source_etag"], second["reason"]) == ("odd\\ud800", None, "\\ud800", "why")
    assert books.counts(3)["failed"] == 1 and books.counts(3)["copied"] == 2
