"""Copying one object, what is proven of it, and what happens when a store lies, stops or changes under it."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from portal.connections import LocalConnection
from portal.errors import Cancelled, NotFound, ProofFailed, SourceChanged, Unreachable
from portal.stores.base import ObjectInfo
from portal.stores.local import LocalReader, LocalStore, LocalWriter
from portal.stores.s3 import S3Reader
from portal.stores.url import StoreURL
from portal.transfer import copying, proof
from portal.transfer.copying import copy_object
from portal.transfer.digests import Digests
from portal.transfer.pool import each
from tests.servers import Server
from tests.transferring import Clouds, get, keys, put


class Troubled(LocalStore):
    """A folder whose reads can be cut off, whose listings can claim checksums, and whose files can rot after the commit."""

    def __init__(self, folder: Path) -> None:
        super().__init__(StoreURL("file", ""), LocalConnection(roots=(str(folder),)))
        self.base = f"{folder}/"[1:]
        self.claims: dict[str, str] = {}
        self.cuts: list[int] = []
        """How many bytes each of the next reads gives before it fails."""
        self.opened: list[int] = []
        self.on_read: Callable[[], None] = lambda: None

    def open_read(self, key: str, *, start: int = 0, length: int | None = None, pin: ObjectInfo | None = None) -> Any:
        self.opened.append(start)
        self.on_read()
        reader = super().open_read(key, start=start, length=length, pin=pin)
        reader.info = replace(reader.info, checksums=self.claims)
        if self.cuts:
            left, read = self.cuts.pop(0), reader.read

            def cut(size: int = -1, /) -> bytes:
                nonlocal left
                if left <= 0:
                    raise Unreachable("cut off")
                block = read(min(size, left))
                left -= len(block)
                return block

            reader.read = cut  # type: ignore[method-assign]
        return reader


@pytest.fixture
def source(tmp_path: Path) -> Troubled:
    (tmp_path / "s").mkdir()
    return Troubled(tmp_path / "s")


@pytest.fixture
def target(tmp_path: Path) -> Troubled:
    (tmp_path / "t").mkdir()
    return Troubled(tmp_path / "t")


DATA = bytes(range(256)) * 100


def copied(source: Troubled, target: Troubled, verify: proof.Verify = "none", pin: ObjectInfo | None = None, **options: Any) -> copying.Copied:
    pin = pin or put(source, f"{source.base}a", DATA)
    options = {"overwrite": False, "moved": lambda size: None, **options}
    return copy_object(source, pin, target, f"{target.base}a", verify=verify, **options)


def test_bytes_that_are_not_the_sources_never_become_visible(source: Troubled, target: Troubled) -> None:
    source.claims = {"sha256": "00" * 32}
    with pytest.raises(ProofFailed, match="stored is 0000"):
        copied(source, target)
    assert keys(target, target.base) == []


@pytest.mark.parametrize("name", ["crc64nvme", "sha256", "sha1", "crc32", "crc32c"])
def test_a_right_checksum_of_the_source_is_recorded(source: Troubled, target: Troubled, name: str) -> None:
    digests = Digests([name])
    digests.update(DATA)
    source.claims = {name: digests.hex(name), "sha256-composite": "00"}
    assert copied(source, target).source_checksum == f"{name}:{digests.hex(name)}"


def test_md5_is_compared_only_when_it_was_asked_for(source: Troubled, target: Troubled) -> None:
    source.claims = {"md5": "00" * 16}
    assert copied(source, target).md5 == ""
    with pytest.raises(ProofFailed, match="md5"):
        copied(source, target, "md5", overwrite=True)


@pytest.mark.parametrize("verify", ["crc", "md5"])
def test_a_target_that_rots_after_the_commit_is_found_and_removed(source: Troubled, target: Troubled, verify: proof.Verify) -> None:
    path = Path("/", target.base, "a")

    def rot() -> None:
        found = path.stat()
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)
        # Same size and time: only the bytes tell.
        os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))

    target.on_read = rot
    with pytest.raises(ProofFailed, match="sent was"):
        copied(source, target, verify)
    assert keys(target, target.base) == []


def test_a_target_that_cannot_be_read_back_does_not_stay(source: Troubled, target: Troubled) -> None:
    target.cuts = [10]
    with pytest.raises(Unreachable):
        copied(source, target, verify="crc")
    assert keys(target, target.base) == []


def test_a_read_back_of_a_folder_reads_the_disk(source: Troubled, target: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "posix_fadvise", lambda descriptor, start, length, advice: told.append(advice))
    pin = put(source, f"{source.base}a", DATA)
    del told[:]
    target.on_read = lambda: told.append(-1)
    assert copied(source, target, "crc", pin).proof == "read-back"
    assert told == [os.POSIX_FADV_DONTNEED, -1]


def test_a_read_that_is_cut_off_goes_on_where_it_stopped(source: Troubled, target: Troubled) -> None:
    source.cuts = [1000, 0, 5000]
    done = copied(source, target, "crc")
    assert source.opened == [0, 1000, 1000, 6000]
    assert get(target, f"{target.base}a") == DATA
    assert done.proof == "read-back"


def test_a_read_that_stays_cut_off_fails(source: Troubled, target: Troubled) -> None:
    source.cuts = [1000, 0, 0, 0, 0]
    with pytest.raises(Unreachable):
        copied(source, target)
    assert keys(target, target.base) == []


def test_a_source_of_another_size_than_listed_is_refused(source: Troubled, target: Troubled) -> None:
    pin = replace(put(source, f"{source.base}a", DATA), etag="", size_bytes=5)
    with pytest.raises(SourceChanged, match="listed were 5"):
        copied(source, target, pin=pin)


def test_a_source_replaced_while_a_read_is_reopened_is_never_mixed(source: Troubled, target: Troubled) -> None:
    source.cuts = [1000]
    pin = put(source, f"{source.base}a", DATA)
    source.on_read = lambda: put(source, f"{source.base}a", DATA[::-1]) and None if source.opened == [0, 1000] else None
    with pytest.raises(SourceChanged):
        copied(source, target, pin=pin)
    assert keys(target, target.base) == []


def test_a_source_that_gives_more_than_it_says_is_refused(source: Troubled, target: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    pin = put(source, f"{source.base}a", DATA)
    monkeypatch.setattr(LocalReader, "read", lambda self, size=-1: self._file.read() and DATA + b"x")
    with pytest.raises(SourceChanged, match="more bytes"):
        copied(source, target, pin=pin)
    assert keys(target, target.base) == []


def test_a_target_shorter_than_what_was_sent_is_not_called_copied(source: Troubled, target: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = LocalWriter.commit
    monkeypatch.setattr(LocalWriter, "commit", lambda self, **options: replace(commit(self, **options), size_bytes=1))
    put(source, f"{source.base}a", DATA)
    with pytest.raises(ProofFailed, match="has 1 bytes"):
        copied(source, target, pin=source.stat(f"{source.base}a"))


def test_a_cancel_between_blocks_leaves_nothing(source: Troubled, target: Troubled) -> None:
    def cancelled(size: int) -> None:
        raise Cancelled

    with pytest.raises(Cancelled):
        copied(source, target, moved=cancelled)
    assert list(Path("/", target.base).iterdir()) == []


@pytest.fixture
def clouds(home: Path, s3_server: Server, adls_server: Server, unique: str) -> Iterator[Clouds]:
    found = Clouds.behind(home, s3_server, adls_server, unique)
    yield found
    found.close()


def put_with_a_wrong_checksum(clouds: Clouds, key: str, data: bytes) -> None:
    """moto stores whatever checksum it is told."""
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket=clouds.name, Key=key, Body=data, ChecksumAlgorithm="CRC64NVME", ChecksumCRC64NVME="AAAAAAAAAAA=")


def test_damaged_sources_fail_with_the_checksum_named(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.transfer.moving._BACKOFF_S", 0.001)
    put_with_a_wrong_checksum(clouds, "a.csv", b"a\n1\n")
    ran = clouds.migrate()
    assert (ran.code, ran.error["retryable"]) == (1, True)
    assert "did not arrive as it is stored" in ran.rows["a.csv"]["reason"]
    assert keys(clouds.adls) == []


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "CRC32C", "SHA1", "SHA256"])
def test_what_a_conversion_reads_is_compared_with_the_stored_checksum(
    clouds: Clouds, monkeypatch: pytest.MonkeyPatch, algorithm: str
) -> None:
    monkeypatch.setattr("portal.transfer.moving._BACKOFF_S", 0.001)
    clouds.s3.client.put_object(Bucket=clouds.name, Key="a.csv", Body=b"a\n1\n", ChecksumAlgorithm=algorithm)  # type: ignore[attr-defined]
    row = clouds.migrate(convert="parquet").rows["a.csv"]
    assert (row["proof"], row["source_checksum"].partition(":")[0]) == ("converted", algorithm.lower())
    read = S3Reader.read
    monkeypatch.setattr(S3Reader, "read", lambda self, size=-1: read(self, size).replace(b"1", b"2"))
    ran = clouds.migrate(convert="parquet", target=f"{clouds.lake}/again/")
    assert f"have {algorithm.lower()} " in ran.rows["a.csv"]["reason"]
    assert keys(clouds.adls) == ["a.parquet"]


def test_a_source_replaced_before_its_conversion_is_refused(clouds: Clouds) -> None:
    from engines import migrate

    put(clouds.s3, "a.csv", b"a\n1\n")
    params = migrate.Params(source=f"{clouds.bucket}/", target=f"{clouds.lake}/", convert="parquet")
    migration = migrate._migration(params, clouds.context(), clouds.s3, clouds.adls)
    planned = migration.plan()
    put(clouds.s3, "a.csv", b"a\n2\n")
    books, _ = migration.move(planned, migration.preflight(planned))
    assert "replaced after it was listed" in books.failures[0]["reason"]
    assert keys(clouds.adls) == []


def test_a_pool_is_bounded_and_ends_with_what_its_work_raises() -> None:
    taken: list[int] = []
    running = threading.Semaphore(0)

    def items() -> Iterator[int]:
        for n in range(1000):
            taken.append(n)
            yield n

    def work(n: int) -> int:
        running.release()
        if n == 3:
            raise NotFound("three")
        return n

    with pytest.raises(NotFound, match="three"):
        list(each(items(), work, 2))
    assert len(taken) < 20
    assert sorted(each(iter(range(50)), lambda n: n * 2, 4)) == list(range(0, 100, 2))


def test_a_plan_of_many_pages_keeps_every_object_once(clouds: Clouds, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.stores import s3

    page = s3.S3Store.list_page
    monkeypatch.setattr(s3.S3Store, "list_page", lambda self, *a, **k: page(self, *a, **{**k, "limit": 3}))
    names = [f"d/{n:02}.csv" for n in range(10)]
    for name in names:
        put(clouds.s3, name)
    ran = clouds.migrate(source=f"{clouds.bucket}/d")
    assert ran.counts == {"listed": 10, "copied": 10}
    assert list(ran.rows) == names
