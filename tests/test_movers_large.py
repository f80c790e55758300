"""Large objects: blocks over several processes, what is resumed after an attempt that was cut off, and what happens when a process dies."""

from __future__ import annotations

import hashlib
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from awscrt import checksums as crt
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import Cancelled
from portal.ledger.journal import Journal
from portal.movers import sums
from portal.movers.layout import block_bytes, runs
from portal.movers.sums import Running
from portal.wire.ends import Block
from tests.moved import Trip, folder_url
from tests.proxy import Proxy, Rule, asks, faults
from tests.transferring import Clouds, get, keys, put

BLOCK = 1 << 18
DATA = random.Random(1).randbytes(10 * BLOCK + 17)
BLOCKS = 11


pytestmark = pytest.mark.usefixtures("hasty")


PUT_BLOCK = asks("PUT", r"comp=block(&|$)")


def put_large(clouds: Clouds, algorithm: str = "CRC64NVME") -> None:
    client: Any = clouds.s3.client  # type: ignore[attr-defined]
    client.put_object(Bucket=clouds.name, Key="a", Body=DATA, ChecksumAlgorithm=algorithm)


def cut_off(trip: Trip, blocks: int) -> None:
    """Run an attempt that ends after so many blocks."""
    staged = 0

    def tell(objects: int, size: int) -> None:
        nonlocal staged
        staged += size
        if staged >= blocks * BLOCK:
            raise Cancelled

    with pytest.raises(Cancelled):
        trip.run(tell)


@pytest.mark.parametrize("algorithm", ["CRC64NVME", "CRC32", "SHA256"])
def test_a_half_copied_object_goes_on_block_by_block(wires: tuple[Clouds, Proxy, Proxy], algorithm: str) -> None:
    clouds, s3, adls = wires
    put_large(clouds, algorithm)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, concurrency=2, processes=2)
    cut_off(trip, 4)
    with trip.journal() as journal:
        known = journal.state.upload(0)
    assert known and 4 <= len(known[1]) < BLOCKS and keys(clouds.adls) == []
    s3.seen.clear(), adls.seen.clear()
    row = trip.run().rows["a"]
    assert (row["outcome"], row["proof"]) == ("copied", "end-to-end")
    assert adls.count("PUT", r"comp=block(&|$)") == BLOCKS - len(known[1])
    assert row["resumed_bytes"] == sum(block.size_bytes for block in known[1])
    if algorithm != "SHA256":  # a hash must be made of all of it again
        assert s3.count("GET", "/a") == BLOCKS - len(known[1])
    assert get(clouds.adls, "a") == DATA


def test_blocks_of_another_length_are_not_resumed(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    """Cut into 8, 8, … blocks of then, and half as long now: only some of the numbers and lengths are the same."""
    clouds, _, _ = wires
    put(clouds.s3, "a", DATA[: 3 * BLOCK])
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=2 * BLOCK, concurrency=1)
    with trip.journal() as journal:
        journal.begin([0])
        journal.blocks(0, "0123456789abcdef", [Block(1, BLOCK, 7, "gone")], step_bytes=2 * BLOCK)
    again = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, concurrency=1)
    again.folder = trip.folder
    row = again.run().rows["a"]
    assert (row["outcome"], row["resumed_bytes"], get(clouds.adls, "a")) == ("copied", 0, DATA[: 3 * BLOCK])


def test_a_source_that_changed_meanwhile_is_not_resumed(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _, _ = wires
    put_large(clouds)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, concurrency=2)
    cut_off(trip, 4)
    put(clouds.s3, "a", DATA[::-1])
    assert trip.run().rows["a"]["cause"] == "source-changed"
    assert keys(clouds.adls) == []


@pytest.mark.parametrize("target", ["adls", "file", "s3"])
def test_an_upload_that_is_gone_is_begun_anew(wires: tuple[Clouds, Proxy, Proxy], target: str) -> None:
    clouds, s3, _ = wires
    size = 6 << 20 if target == "s3" else BLOCK  # S3 takes no smaller parts than 5 MiB
    data = random.Random(2).randbytes(4 * size)
    put(clouds.s3, "x/a", data)
    folder = clouds.home / "data" / "t"
    url = {"adls": f"{clouds.lake}/", "file": folder_url(folder), "s3": f"{clouds.bucket}/y/"}[target]
    trip = Trip(clouds, f"{clouds.bucket}/x/", url, block_bytes=size, concurrency=1)
    staged = 0

    def tell(objects: int, moved: int) -> None:
        nonlocal staged
        staged += moved
        if staged >= 2 * size:
            raise Cancelled

    with pytest.raises(Cancelled):
        trip.run(tell)
    if target == "adls":
        put(clouds.adls, "a", b"takes the blocks with it")
        clouds.adls.delete("a")
    elif target == "s3":
        s3.rules = [Rule(faults.answer(404, "NoSuchUpload"), asks("PUT", "partNumber"))]  # moto answers 500 for an upload that is gone
    else:
        (left,) = folder.iterdir()
        left.unlink()
    assert trip.run().books.outcomes == {"copied": 1}
    store, key = {"adls": (clouds.adls, "a"), "file": (clouds.local, f"{folder}/a"[1:]), "s3": (clouds.s3, "y/a")}[target]
    assert get(store, key) == data
    if target == "file":
        assert [path.name for path in folder.iterdir()] == ["a"]


def test_bytes_that_are_not_the_sources_are_never_committed_and_nothing_stays(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, s3, _ = wires
    put_large(clouds)
    folder = clouds.home / "data" / "t"
    trip = Trip(clouds, f"{clouds.bucket}/", folder_url(folder), block_bytes=BLOCK)
    s3.rules = [Rule(faults.flip_answer(5), asks("GET", "/a"), times=-1, skip=3)]
    moved = trip.run()
    assert moved.rows["a"]["cause"] == "proof-failed" and "crc64nvme" in moved.rows["a"]["reason"]
    assert list(folder.iterdir()) == []
    s3.rules = [Rule(faults.flip_answer(5), asks("GET", "/a"), times=1)]
    assert trip.run().books.outcomes == {"copied": 1}, "one flipped bit is got over by beginning anew"


def test_a_process_that_dies_costs_its_blocks_only(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, _s3, adls = wires
    put_large(clouds)
    for n in range(20):
        put(clouds.s3, f"small/{n}", b"x" * n)
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", block_bytes=BLOCK, concurrency=2, processes=2)
    victims: list[int] = []

    def kill() -> None:
        if not victims:
            victims.append(_child())
            os.kill(victims[0], signal.SIGKILL)

    adls.rules = [Rule(faults.before(kill), PUT_BLOCK, skip=2)]
    moved = trip.run()
    assert victims and moved.books.outcomes == {"copied": 21}, moved.books.failures
    assert get(clouds.adls, "a") == DATA


def test_an_object_that_kills_two_processes_is_given_up(wires: tuple[Clouds, Proxy, Proxy]) -> None:
    clouds, s3, _ = wires
    put(clouds.s3, "deadly", b"1")
    put(clouds.s3, "harmless", b"1")
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/", processes=1, concurrency=1)
    s3.rules = [Rule(faults.before(lambda: os.kill(_child(), signal.SIGKILL)), asks("GET", "deadly"), times=-1)]
    moved = trip.run()
    assert moved.rows["deadly"]["outcome"] == "failed" and "ended twice (signal 9)" in moved.rows["deadly"]["reason"]
    assert moved.retryable


def _child() -> int:
    """A process that moves objects for this one."""
    for task in Path("/proc/self/task").iterdir():
        for pid in (task / "children").read_text().split():
            if b"portal.movers.process" in Path("/proc", pid, "cmdline").read_bytes():
                return int(pid)
    raise AssertionError("there is none")


def test_what_nobody_may_see_is_not_in_arguments_or_environment(wires: tuple[Clouds, Proxy, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    clouds, s3, _ = wires
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-environment")
    put(clouds.s3, "a", b"1")
    trip = Trip(clouds, f"{clouds.bucket}/", f"{clouds.lake}/")
    seen: list[bytes] = []

    def look() -> None:
        pid = str(_child())
        seen.extend([Path("/proc", pid, "cmdline").read_bytes(), Path("/proc", pid, "environ").read_bytes()])

    s3.rules = [Rule(faults.before(look), asks("GET", "/a"))]
    trip.run()
    assert seen and not [text for text in seen if b"secret" in text or b"sig=" in text or b"Eby8" in text]


@given(st.binary(max_size=400), st.integers(1, 64), st.lists(st.integers(0, 80), max_size=12), st.sampled_from(["crc64nvme", "crc32", "crc32c"]))
def test_pieces_of_blocks_make_the_checksum_of_the_whole_and_of_its_parts(data: bytes, step: int, cuts: list[int], name: str) -> None:
    parts = _parts(data, cuts)
    composite = f"{name}-composite"
    running, whole = Running([composite], parts, len(data)), Running([name], [], len(data))
    pieces, of_whole = [], []
    starts = list(range(0, len(data), step))
    random.Random(len(data)).shuffle(starts)
    for start in starts:
        pieces += running.pieces(start, memoryview(data)[start : start + step])
        of_whole += whole.pieces(start, memoryview(data)[start : start + step])
    assert sums.assembled(composite, pieces, len(parts)) == sums.of(composite, data, parts)
    assert sums.assembled(name, of_whole, 0) == sums.crc_hex(name, getattr(crt, name)(data))


@given(st.binary(min_size=1, max_size=400), st.integers(1, 64), st.lists(st.integers(0, 80), max_size=12))
def test_hashes_of_parts_are_made_by_runs_in_their_order(data: bytes, step: int, cuts: list[int]) -> None:
    parts = _parts(data, cuts)
    blocks = [(number, start, min(step, len(data) - start), None) for number, start in enumerate(range(0, len(data), step))]
    names = ["sha256-composite"]
    pieces, seen = [], []
    for run in runs(blocks, names, parts, set()):
        running = Running(names, parts, len(data))
        for number, start, size, _ in run:
            seen.append(number)
            pieces += running.pieces(start, memoryview(data)[start : start + size])
    assert sorted(seen) == list(range(len(blocks)))
    digests = [hashlib.sha256(data[start : start + size]).digest() for start, size in sums.starts(parts)]
    assert sums.assembled(names[0], pieces, len(parts)) == hashlib.sha256(b"".join(digests)).hexdigest()


def _parts(data: bytes, cuts: list[int]) -> list[int]:
    """Sizes of parts, none of them empty, that make up the data."""
    sizes, left = [], len(data)
    for cut in cuts:
        if 0 < cut < left:
            sizes.append(cut)
            left -= cut
    return [*sizes, left] if left else sizes or [len(data)]


@given(st.integers(1, 5 << 40), st.integers(1, 64 << 20), st.sampled_from(["s3", "blob", "dfs", "file"]))
def test_blocks_are_as_large_as_the_target_needs_them(size: int, wanted: int, kind: str) -> None:
    found = block_bytes(size, wanted, kind)
    assert found >= wanted and -(-size // found) <= {"s3": 10_000}.get(kind, 50_000)
    assert kind != "s3" or found >= 5 << 20
    assert found == wanted or found < max(wanted, 5 << 20) + 1 or found % (1 << 20) == 0


def test_blocks_that_are_known_are_read_again_only_where_a_checksum_of_them_is_not() -> None:
    blocks = [(0, 0, 10, 7), (1, 10, 10, None), (2, 20, 5, 8)]
    assert list(runs(blocks, ["crc32"], [], {0})) == [[blocks[1]], [blocks[2]]]
    assert list(runs(blocks, [], [], {0, 2})) == [[blocks[1]]]
    assert list(runs(blocks, ["sha256"], [], {0, 2})) == [blocks]
    assert list(runs(blocks, ["sha256-composite"], [10, 15], {0})) == [[blocks[0]], [blocks[1], blocks[2]]]
    assert list(runs(blocks, ["sha256-composite"], [12, 13], {0})) == [blocks]
    assert list(runs(blocks, ["md5", "sha256-composite"], [10, 15], {0})) == [blocks]


def test_the_journal_keeps_checksums_of_blocks(tmp_path: Path) -> None:
    with Journal(tmp_path / "j", 1) as journal:
        journal.blocks(0, "u", [Block(0, 10, 7, "m")], [sums.Piece("crc32", 0, 0, 10, 99)], 10)
    with Journal(tmp_path / "j", 1) as journal:
        assert journal.state.step_bytes(0) == 10
        journal.blocks(0, "u", [Block(0, 10, 7, "m")], [sums.Piece("crc32", 0, 0, 10, 99)], 20)
        assert len(journal.state.sums(0)) == 1, "cut otherwise: nothing of before is known"
        assert [sums.Piece(*found) for found in journal.state.sums(0)] == [sums.Piece("crc32", 0, 0, 10, 99)]
