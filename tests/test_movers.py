"""Objects on their way from one store to another: whole, proven, and every one accounted for."""

from __future__ import annotations

import hashlib
import os
import random
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from portal.errors import Cancelled
from portal.movers import pool
from portal.movers.messages import Moved, Report
from portal.planning.plan import Page, Verdict
from portal.stores.base import Store
from portal.transfer import moving
from tests.moved import JOB, Trip, folder_url
from tests.proxy import Proxy, Rule, asks, faults
from tests.transferring import Clouds, get, keys, put

SIZES = {"a.bin": 0, "b.bin": 1, "d/c.bin": 3_000, "d/ü e.bin": 70_000, "large.bin": 600_000}
BLOCK = 1 << 18
BOTH = ("d/c.bin", "large.bin")
"""Read and written whole, and block by block."""


pytestmark = pytest.mark.usefixtures("hasty")


def data_of(key: str) -> bytes:
    return random.Random(key).randbytes(SIZES.get(key, 3_000))


def fill(store: Store, prefix: str = "") -> None:
    for key in SIZES:
        put(store, prefix + key, data_of(key))


def places(clouds: Clouds) -> dict[str, tuple[str, Store, str]]:
    """URL, store and prefix of each place."""
    folder = clouds.home / "data" / "f"
    return {
        "s3": (f"{clouds.bucket}/p/", clouds.s3, "p/"), "adls": (f"{clouds.lake}/p/", clouds.adls, "p/"),
        "file": (folder_url(folder), clouds.local, f"{folder}/"[1:]),
    }  # fmt: skip


@pytest.mark.parametrize(("source", "target"), [("s3", "adls"), ("s3", "s3"), ("s3", "file"), ("file", "s3"), ("file", "adls"), ("adls", "s3"),
                                                ("adls", "adls"), ("adls", "file")])  # fmt: skip
def test_every_direction_brings_every_byte(clouds: Clouds, source: str, target: str) -> None:
    url, store, prefix = places(clouds)[source]
    fill(store, prefix)
    there, other, _ = places(clouds)[target]
    there = there.replace("/p/", "/q/") if target != "file" else there.replace("/f/", "/g/")
    moved = Trip(clouds, url, there, block_bytes=BLOCK).run()
    assert moved.books.outcomes == {"copied": len(SIZES)}, moved.books.failures
    assert moved.told == [len(SIZES), sum(SIZES.values())]
    begin = there.split("//", 1)[1].partition("/")[2]
    assert {key: get(other, begin + key) for key in SIZES} == {key: data_of(key) for key in SIZES}
    level = "size" if target == "file" else "end-to-end" if source == "s3" else "streamed"
    # moto does not tell the checksum of an object of parts: only its size is known then.
    assert moved.books.proofs == ({level: 4, "size": 1} if target == "s3" else {level: 5})
    row = moved.rows[prefix + "large.bin"]
    assert (row["source_size"], row["target_size"], row["bytes_through"], row["mode"]) == (600_000, 600_000, 600_000, "stream")
    assert row["source_url"] == f"{url}large.bin" and row["target_url"] == f"{there}large.bin" and row["source_modified"].startswith("20")


def test_the_dfs_endpoint_takes_the_same(clouds: Clouds) -> None:
    fill(clouds.s3)
    moved = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", endpoint="dfs", block_bytes=BLOCK).run()
    assert moved.books.outcomes == {"copied": len(SIZES)}, moved.books.failures
    assert {key: get(clouds.adls, key) for key in keys(clouds.adls)} == {key: data_of(key) for key in SIZES}


def put_with(clouds: Clouds, key: str, algorithm: str, data: bytes, **more: Any) -> None:
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket=clouds.name, Key=key, Body=data, **({"ChecksumAlgorithm": algorithm} if algorithm else {}), **more)


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_the_stored_checksum_is_compared_whatever_it_is(wires: tuple[Clouds, Proxy, Proxy], algorithm: str) -> None:
    clouds, s3, _ = wires
    for key in BOTH:
        put_with(clouds, key, algorithm, data_of(key))
    rows = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK).run().rows
    assert {key: (rows[key]["proof"], rows[key]["source_checksum"].partition(":")[0]) for key in rows} == dict.fromkeys(
        BOTH, ("end-to-end", algorithm.lower())
    )
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/bad/", block_bytes=BLOCK)
    s3.rules = [Rule(faults.flip_answer(100), asks("GET", "bin"), times=-1)]
    moved = trip.run()
    assert (moved.books.causes, moved.retryable) == ({"proof-failed": 2}, True), moved.rows
    assert all(f"have {algorithm.lower()} " in row["reason"] for row in moved.rows.values()), moved.rows
    assert keys(clouds.adls, "bad/") == []


def test_md5_is_made_compared_and_stored_when_it_is_asked_for(clouds: Clouds) -> None:
    for key in BOTH:
        put_with(clouds, key, "CRC64NVME", data_of(key))
    rows = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, md5=True).run().rows
    for key in BOTH:
        md5 = hashlib.md5(data_of(key)).hexdigest()
        assert rows[key]["md5"] == md5 and f"md5:{md5}" in rows[key]["source_checksum"] and "crc64nvme:" in rows[key]["source_checksum"]
        assert clouds.adls.stat(key).checksums["md5"] == md5
    plain = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/plain/", block_bytes=BLOCK).run().rows
    assert [plain[key]["md5"] for key in BOTH] == [None, None]


@pytest.mark.parametrize("verify", ["crc", "md5"])
@pytest.mark.parametrize("target", ["adls", "s3", "file"])
def test_what_is_verified_is_read_back(clouds: Clouds, target: str, verify: str) -> None:
    fill(clouds.s3, "x/")
    moved = Trip(clouds, f"{clouds.bucket}/x/", places(clouds)[target][0], block_bytes=BLOCK, verify=verify).run()
    assert moved.books.proofs == {"read-back": len(SIZES)}, moved.books.failures


def test_a_target_that_rots_is_found_and_removed(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    for key in BOTH:
        put(clouds.s3, key, data_of(key))
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, verify="crc")
    adls.rules = [Rule(faults.flip_answer(100), asks("GET", r"bin\?(?!comp)"), times=-1)]
    moved = trip.run()
    adls.rules = []
    assert moved.books.causes == {"proof-failed": 2} and all("read back" in row["reason"] for row in moved.rows.values()), moved.rows
    assert keys(clouds.adls) == []


def test_excluded_failing_and_known_entries_are_written_down_unmoved(clouds: Clouds) -> None:
    fill(clouds.s3)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")
    page = trip.pages[0]
    page.actions[:2], page.reasons[:2] = ["exclude", "fail"], ["too small", "the target cannot hold 'x'"]
    trip.verdicts[2], trip.verdicts[3] = Verdict.EXISTS, Verdict.SAME
    moved = trip.run()
    assert [row["outcome"] for row in moved.rows.values()] == ["excluded", "failed", "skipped", "skipped", "copied"]
    assert moved.rows["b.bin"]["cause"] == "name" and not moved.retryable
    assert "this very version" in moved.rows["d/ü e.bin"]["reason"]
    assert keys(clouds.adls) == ["large.bin"]


def test_nothing_is_overwritten_that_appeared_meanwhile(clouds: Clouds) -> None:
    fill(clouds.s3)
    for key in SIZES:
        put(clouds.adls, key, b"somebody else's")
    for overwrite, outcome in (("fail", "failed"), ("skip", "skipped")):
        moved = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", overwrite=overwrite, block_bytes=BLOCK).run()
        assert moved.books.outcomes == {outcome: len(SIZES)} and moved.books.causes == ({"exists": len(SIZES)} if outcome == "failed" else {})
    assert {get(clouds.adls, key) for key in SIZES} == {b"somebody else's"}
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", overwrite="replace", block_bytes=BLOCK)
    trip.verdict(Verdict.REPLACE)
    assert trip.run().books.outcomes == {"copied": len(SIZES)}
    assert {key: get(clouds.adls, key) for key in SIZES} == {key: data_of(key) for key in SIZES}


@pytest.mark.parametrize("target", ["adls", "s3", "file"])
def test_what_an_attempt_that_was_cut_off_had_written_is_known_by_its_mark(clouds: Clouds, target: str) -> None:
    fill(clouds.s3, "x/")
    trip = Trip(clouds, f"{clouds.bucket}/x/", places(clouds)[target][0], block_bytes=BLOCK)
    trip.run()
    (trip.folder / "journal.ndjson").unlink()
    with trip.journal() as journal:
        journal.begin(range(trip.count))
    moved = trip.run()
    assert moved.books.outcomes == {"copied": len(SIZES)}
    small = sum(SIZES.values()) - SIZES["large.bin"]
    # Whether a service that speaks as Azure does compares anything it says when it is written to; a small object is moved again then.
    assert (moved.books.bytes_through, moved.books.resumed_bytes) == ((small, SIZES["large.bin"]) if target == "adls" else (0, sum(SIZES.values())))
    levels = {"s3": {"end-to-end": 5}, "file": {"size": 5}, "adls": {"end-to-end": 4, "size": 1}}
    assert moved.books.proofs == levels[target]
    assert "cut off" in moved.rows["x/large.bin"]["reason"]


def test_another_jobs_object_at_a_target_that_was_begun_is_left_alone(clouds: Clouds) -> None:
    fill(clouds.s3)
    Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, job_id="another").run()
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK)
    trip.verdict(Verdict.UNKNOWN)
    assert trip.run().books.causes == {"exists": len(SIZES)}
    trip.pages[0].ours = [f"another.{n + 1}" for n in range(trip.count)]
    assert trip.run().books.causes == {"exists": len(SIZES)}, "marks of other entries are no reason to overwrite these"
    trip.pages[0].ours = [f"first.9 another.{n}" for n in range(trip.count)]
    assert trip.run().books.outcomes == {"copied": len(SIZES)}
    assert clouds.adls.stat("b.bin").metadata["portal_copy"] == f"{JOB}.{trip.n('b.bin')}"


def test_an_answer_that_is_lost_makes_no_conflict(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, adls = wires
    for key in BOTH:
        put(clouds.s3, key, data_of(key))
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK)
    adls.rules = [Rule(faults.lose_answer(), asks("PUT", fits), times=2) for fits in ("comp=blocklist", r"c\.bin")]
    rows = trip.run().rows
    assert [rule.hits for rule in adls.rules] == [2, 2]
    for key in BOTH:
        assert (rows[key]["outcome"], rows[key]["proof"], rows[key]["target_etag"]) == ("copied", "end-to-end", clouds.adls.stat(key).etag)
        assert get(clouds.adls, key) == data_of(key)


def test_a_source_that_was_replaced_is_reported_and_not_copied(clouds: Clouds) -> None:
    for key in BOTH:
        put(clouds.s3, key, data_of(key))
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK)
    for key in BOTH:
        put(clouds.s3, key, data_of(key)[::-1])
    moved = trip.run()
    assert (moved.books.causes, moved.retryable) == ({"source-changed": 2}, False)
    for key in BOTH:
        clouds.s3.delete(key)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")
    assert trip.count == 0
    assert keys(clouds.adls) == []


def test_tries_are_bounded_and_what_may_pass_is_told(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, s3, _ = wires
    put(clouds.s3, "a.bin", b"1")
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")
    s3.rules = [Rule(faults.answer(500, "InternalError"), asks("GET", "a.bin"), times=-1)]
    moved = trip.run()
    assert (moved.rows["a.bin"]["cause"], moved.retryable, moved.rows["a.bin"]["attempts"]) == ("unreachable", True, 5)
    assert s3.count("GET", "a.bin") == 5
    s3.rules = []
    assert trip.run().books.outcomes == {"copied": 1}


def test_refused_access_ends_the_tries_soon(wires: tuple[Clouds, Proxy, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moving, "_FEED_OBJECTS", 10)
    monkeypatch.setattr(pool, "_LOAD_AHEAD", -3)
    clouds, s3, _ = wires
    for n in range(100):
        put(clouds.s3, f"{n:03}", b"1")
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", processes=1)
    s3.rules = [Rule(faults.answer(403, "AccessDenied"), asks("GET", r"/\d\d\d"), times=-1)]
    moved = trip.run()
    assert moved.books.causes == {"access-denied": 100} and any("not tried" in row["reason"] for row in moved.rows.values())
    assert s3.count("GET", r"/\d\d\d") < 60


def test_a_cancel_that_comes_with_the_next_page_loses_no_row(clouds: Clouds) -> None:
    fill(clouds.s3)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")

    def pages() -> Iterator[Page]:
        yield trip.pages[0]
        until = time.monotonic() + 10
        while len(keys(clouds.adls)) < trip.count and time.monotonic() < until:
            time.sleep(0.01)
        raise Cancelled

    with trip.journal() as journal:
        with pytest.raises(Cancelled):
            moving.move(trip.route, pages(), trip.verdicts, journal, lambda objects, size: None)
        assert [journal.state.ended(n) for n in range(trip.count)] == [True] * trip.count


def test_a_report_is_written_down_whole_before_it_is_told(clouds: Clouds) -> None:
    """Whoever is told raises Cancelled; what came in the same report is in the journal all the same."""
    fill(clouds.s3)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", processes=1, concurrency=1)
    entries = list(trip.pages[0].entries())

    def tell(objects: int, size: int) -> None:
        raise Cancelled

    with trip.journal() as journal:
        move = moving._Move(trip.route, trip.verdicts, journal, tell)
        move._entries.update((entry.n, entry) for entry in entries)
        report = Report([tuple(Moved(n, "copied", 1)) for n in range(2)])
        move._pool = SimpleNamespace(wait=lambda timeout_s: report, stop=lambda: Report([tuple(Moved(2, "copied", 1))]))  # type: ignore[assignment]
        with pytest.raises(Cancelled):
            move._turn(0)
        move.stop()
        assert [journal.state.ended(n) for n in range(trip.count)] == [True, True, True, False, False]


def test_a_cancel_leaves_a_journal_to_go_on_from(clouds: Clouds) -> None:
    for n in range(400):
        put(clouds.local, f"{clouds.home}/data/f/{n:03}"[1:], os.urandom(2000))
    trip = Trip(clouds, places(clouds)["file"][0], f"{clouds.lake}/")

    def tell(objects: int, size: int) -> None:
        if objects:
            raise Cancelled

    with pytest.raises(Cancelled):
        trip.run(tell)
    before = trip.outcome()
    done = before.books.outcomes["copied"]
    assert 0 < done < 400
    etags = {row["target_key"]: row["target_etag"] for row in before.rows.values()}
    moved = trip.run()
    assert moved.books.outcomes == {"copied": 400}
    assert all(moved.rows[row["source_key"]]["target_etag"] == etags[row["target_key"]] for row in before.rows.values())
