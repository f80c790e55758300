"""What is proven of a copy or a conversion, and how entries of a plan get into the journal."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest

from portal.errors import Cancelled, Unreachable
from portal.planning.plan import Entry, Verdict
from portal.stores.base import ObjectInfo
from portal.stores.s3 import S3Reader
from portal.tabular.outcome import Converted
from portal.transfer import proof
from tests.moved import Trip
from tests.transferring import Clouds, keys, put


@pytest.fixture(autouse=True)
def quick(hasty: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.transfer.conversions._BACKOFF_S", 0.001)


LEVELS = {
    # read back, compared, checked, pulled
    (False, False, False, False): "size", (False, False, True, False): "streamed", (False, True, False, False): "size",
    (False, True, True, False): "end-to-end", (True, False, False, False): "read-back", (True, False, True, False): "read-back",
    (True, True, False, False): "read-back", (True, True, True, False): "read-back",
    (False, False, False, True): "size", (False, False, True, True): "size", (False, True, False, True): "end-to-end",
    (False, True, True, True): "end-to-end", (True, False, False, True): "size", (True, False, True, True): "size",
    (True, True, False, True): "read-back", (True, True, True, True): "read-back",
}  # fmt: skip


def test_the_level_of_proof_is_what_was_done_in_every_case() -> None:
    assert set(LEVELS) == set(itertools.product((False, True), repeat=4))
    for (read_back, compared, checked, pulled), level in LEVELS.items():
        assert proof.level(read_back=read_back, compared=compared, checked=checked, pulled=pulled) == level


def test_the_cheapest_stored_checksum_is_compared_and_md5_only_when_it_was_asked_for() -> None:
    stored = {"md5": "", "sha256": "", "crc32": "", "sha1-composite": ""}
    assert proof.comparable(stored, md5=False) == ["crc32", "sha256", "sha1-composite"]
    assert proof.comparable(stored, md5=True) == ["crc32", "sha256", "sha1-composite", "md5"]
    assert proof.comparable({"md5": ""}, md5=False) == []
    info = ObjectInfo("k", 1, checksums={"sha1-composite": "", "md5": ""})
    assert (proof.source_algorithm(info, "none"), proof.source_algorithm(info, "md5")) == ("", "md5")


def test_damaged_sources_fail_with_the_checksum_named(clouds: Clouds) -> None:
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket=clouds.name, Key="a.csv", Body=b"a\n1\n", ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME="AAAAAAAAAAA=")
    ran = clouds.migrate(mode="stream")
    assert (ran.code, ran.error["retryable"]) == (1, True)
    assert "stored is 0000000000000000" in ran.rows["a.csv"]["reason"]
    assert keys(clouds.adls) == []


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_what_a_conversion_reads_is_compared_with_the_stored_checksum(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    clouds.s3.client.put_object(Bucket=clouds.name, Key="a.csv", Body=b"a\n1\n", ChecksumAlgorithm=algorithm)  # type: ignore[attr-defined]
    row = clouds.migrate(convert="parquet").rows["a.csv"]
    assert (row["proof"], row["mode"], row["source_checksum"].partition(":")[0]) == ("converted", "convert", algorithm.lower())
    read = S3Reader.read
    monkeypatch.setattr(S3Reader, "read", lambda self, size=-1: read(self, size).replace(b"1", b"2"))
    ran = clouds.migrate(convert="parquet", target=f"{clouds.lake}/again/")
    assert f"have {algorithm.lower()} " in ran.rows["a.csv"]["reason"]
    assert keys(clouds.adls) == ["a.parquet"]


def converting(clouds: Clouds, convert: Callable[..., Converted], **route: Any) -> Trip:
    """Three objects, of which the last two are to be converted."""
    for key in "abc":
        put(clouds.s3, key, key)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", convert=convert, **route)
    trip.pages[0].actions = ["copy", "convert", "convert"]
    return trip


def converted(entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted:
    moved(info.size_bytes)
    return Converted(2, 1, 1, (), "0" * 16, info.size_bytes, ObjectInfo(entry.target_key, 7, etag="e"), "1" * 16, True, ("a warning",), "crc32:00")


def test_what_is_converted_stands_in_the_same_journal_as_what_is_copied(clouds: Clouds) -> None:
    moved = converting(clouds, converted).run()
    assert moved.books.outcomes == {"copied": 1, "converted": 2} and moved.told == [3, 3]
    assert moved.books.rows == {"rows_in": 4, "rows_out": 2, "rows_rejected": 2, "rows_filtered": 0}
    row = moved.rows["b"]
    assert (row["target_size"], row["reason"], row["source_checksum"], row["bytes_through"]) == (7, "a warning", "crc32:00", 1)


def test_a_source_replaced_before_its_conversion_is_refused(clouds: Clouds) -> None:
    trip = converting(clouds, converted)
    put(clouds.s3, "b", "another")
    moved = trip.run()
    assert moved.books.outcomes == {"copied": 1, "converted": 1, "failed": 1}
    assert moved.rows["b"]["cause"] == "source-changed" and not moved.retryable


def test_a_conversion_is_tried_again_when_the_failure_may_pass(clouds: Clouds) -> None:
    calls: list[int] = []

    def stumbling(entry: Entry, info: ObjectInfo, **options: Any) -> Converted:
        calls.append(entry.n)
        if calls.count(1) < 3 and entry.n == 1:
            raise Unreachable("for now")
        if entry.n == 2:
            raise ValueError("nobody foresaw this")
        return converted(entry, info, **options)

    moved = converting(clouds, stumbling).run()
    assert (moved.rows["b"]["outcome"], moved.rows["b"]["attempts"]) == ("converted", 3)
    assert moved.rows["c"]["reason"] == "ValueError: nobody foresaw this" and moved.rows["c"]["cause"] == "other"


def test_a_conversion_finds_what_preflight_said_of_its_target(clouds: Clouds) -> None:
    given: dict[int, bool] = {}

    def asked(entry: Entry, info: ObjectInfo, *, overwrite: bool, **options: Any) -> Converted:
        given[entry.n] = overwrite
        return converted(entry, info, overwrite=overwrite, **options)

    trip = converting(clouds, asked)
    trip.verdicts[1] = Verdict.REPLACE
    trip.run()
    assert given == {1: True, 2: False}


def test_a_cancel_ends_conversions_soon(clouds: Clouds) -> None:
    def endless(entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted:
        while True:
            moved(1)

    def tell(objects: int, size: int) -> None:
        if size > 1:
            raise Cancelled

    trip = converting(clouds, endless)
    with pytest.raises(Cancelled):
        trip.run(tell)
    trip.route = type(trip.route)(**{**vars(trip.route), "convert": converted})
    assert trip.run().books.moved == 3


def test_a_plan_of_many_pages_keeps_every_object_once(clouds: Clouds) -> None:
    for n in range(10):
        put(clouds.s3, f"{n:02}")
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")
    (page,) = trip.pages
    columns = ("keys", "sizes", "etags", "modified", "targets", "actions", "reasons", "classes", "md5s", "ours")
    cut = [slice(start, start + 3) for start in range(0, 10, 3)]
    trip.pages = [type(page)(part.start, **{name: getattr(page, name)[part] for name in columns}) for part in cut]
    moved = trip.run()
    assert moved.books.outcomes == {"copied": 10} and list(moved.rows) == [f"{n:02}" for n in range(10)]
