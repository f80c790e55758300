"""After a power cut at any moment, from any disk that the file system may leave: what was promised is kept. Rules: `tests.power`."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import chain, combinations
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.power.cutting import Lab
from tests.power.machine import put
from tests.power.scenarios import KILLED, SCENARIOS, Scenario
from tests.power.states import MOST, MOST_OF_ALL, Disk, cut
from tests.power.volume import Change, Volume, parent

EXHAUSTIVE = os.environ.get("PORTAL_FAULTS") == "all"


@pytest.fixture
def lab() -> Iterator[Lab]:
    with Lab.opened() as opened:
        yield opened


@pytest.mark.timeout(7200 if EXHAUSTIVE else 600)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda item: item.name.replace(" ", "-"))
def test_what_was_promised_is_kept_after_a_power_cut_at_any_moment(lab: Lab, scenario: Scenario) -> None:
    report = lab.play(scenario, most=MOST_OF_ALL if EXHAUSTIVE else MOST, thorough=EXHAUSTIVE)
    print(report)
    assert not report.faults, "\n".join(report.faults.values())
    assert report.disks >= report.calls / 2, "a trace without alternatives proves nothing"


@pytest.mark.timeout(7200 if EXHAUSTIVE else 600)
@pytest.mark.parametrize("scenario", KILLED, ids=lambda item: item.name.replace(" ", "-"))
def test_what_a_killed_process_left_unsynced_is_synced_by_the_one_that_goes_on(lab: Lab, scenario: Scenario) -> None:
    report = lab.play_on(scenario, most=MOST_OF_ALL if EXHAUSTIVE else MOST, thorough=EXHAUSTIVE)
    print(report)
    assert not report.faults, "\n".join(report.faults.values())
    assert report.disks


# The harness can fail


def named(name: str) -> Scenario:
    return next(item for item in SCENARIOS if item.name == name)


def breaks(lab: Lab, name: str, forgotten: Callable[[str], bool]) -> str:
    """What is broken when the fsync of some files or folders is left out."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if not forgotten(os.readlink(f"/proc/self/fd/{descriptor}")):
            real(descriptor)

    with patch.object(os, "fsync", fsync):
        return "\n".join(lab.play(named(name), enough=1).faults.values())


def test_a_submit_that_does_not_sync_the_folder_is_caught(lab: Lab) -> None:
    assert "was taken and is lost" in breaks(lab, "submit", os.path.isdir)


def test_a_submit_that_does_not_sync_the_file_is_caught(lab: Lab) -> None:
    assert "of a job that was taken is set aside" in breaks(lab, "submit", os.path.isfile)


def test_a_running_record_that_is_replaced_by_an_unsynced_one_is_caught(lab: Lab) -> None:
    assert "of a job that was taken is set aside" in breaks(lab, "claim and start", os.path.isfile)


def test_a_job_that_is_removed_from_the_queue_before_its_archive_record_has_its_name_is_caught(lab: Lab) -> None:
    assert "was taken and is lost" in breaks(lab, "run and finish", lambda path: "/archive/" in path and os.path.isdir(path))


def test_follow_ups_that_are_not_synced_before_their_parent_goes_are_caught(lab: Lab) -> None:
    found = breaks(lab, "finish with follow-ups", lambda path: path.endswith("/queue"))
    assert "the follow-up" in found and "is lost" in found


def test_a_cancel_that_is_not_synced_is_caught(lab: Lab) -> None:
    assert "was cancelled and ran" in breaks(lab, "cancel a waiting job", lambda path: path.endswith("/cancel"))


# The model itself, on a small file system


FOLDERS, NAMES = ("a", "b"), ("x", "y", "z")
PATHS = [f"{folder}/{name}" for folder in FOLDERS for name in NAMES]
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(("create", "unlink")), st.sampled_from(PATHS)),
        st.tuples(st.sampled_from(("link", "rename")), st.sampled_from(PATHS), st.sampled_from(PATHS)),
        st.tuples(st.just("folder"), st.sampled_from(FOLDERS)),
        st.tuples(st.just("file"), st.sampled_from(PATHS)),
        st.tuples(st.just("write"), st.sampled_from(PATHS), st.integers(0, 6), st.binary(min_size=1, max_size=4)),
        st.tuples(st.just("truncate"), st.sampled_from(PATHS), st.integers(0, 6)),
    ),
    max_size=9,
)  # fmt: skip


def built() -> Volume:
    volume = Volume()
    for folder in FOLDERS:
        volume.mkdir(folder)
    volume.sync_folder("")
    return volume


def take(volume: Volume, step: tuple[Any, ...]) -> None:
    """Do one step if it can be done."""
    what, path, *more = step
    there = path in volume.entries
    match what:
        case "create" if not there:
            inode = volume.create(path)
            volume.write(inode, 0, f"file {inode}".encode())
        case "folder":
            volume.sync_folder(path)
        case "link" if there and more[0] not in volume.entries:
            volume.link(path, more[0])
        case "rename" if there:
            volume.rename(path, more[0])
        case "unlink" if there:
            volume.unlink(path)
        case "file" if there:
            volume.sync(volume.entries[path])
        case "write" | "truncate" if there:
            getattr(volume, what)(volume.entries[path], *more)


def seen(volume: Volume) -> dict[str, bytes]:
    return {path: item.content for path, inode in volume.entries.items() if not (item := volume.inodes[inode]).is_folder}


def contents(volume: Volume, **about: Any) -> list[dict[str, bytes]]:
    return [disk.content for disk in cut(volume, **about).disks]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_when_all_is_synced_there_is_one_disk_and_it_is_what_programs_see(steps: list[tuple[Any, ...]]) -> None:
    volume = built()
    for step in steps:
        take(volume, step)
    for inode in volume.inodes:
        volume.sync(inode)
    for folder in ("", *FOLDERS):
        volume.sync_folder(folder)
    assert contents(volume) == [seen(volume)]


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_the_entries_of_the_disks_are_those_of_dropping_unsynced_operations_and_nothing_else(steps: list[tuple[Any, ...]]) -> None:
    """Against the rules told in another way: of all sets of operations, those that hold a beginning of the operations of each entry."""
    volume = built()
    for step in steps:
        if step[0] not in ("write", "truncate"):
            take(volume, step)
    for inode in volume.inodes:
        volume.sync(inode)
    every = chain.from_iterable(combinations(volume.pending, count) for count in range(len(volume.pending) + 1))
    expected = {frozenset(played(volume, kept).items()) for kept in every if in_order(volume.pending, kept)}
    found = cut(volume, most=1 << 20)
    assert not found.sampled
    assert {frozenset(disk.content.items()) for disk in found.disks} == {
        frozenset((path, volume.inodes[inode].content) for path, inode in entries if path not in FOLDERS) for entries in expected
    }  # fmt: skip


def in_order(pending: list[Change], kept: tuple[Change, ...]) -> bool:
    """Whether, of the operations of each entry, those that are kept are the first ones."""
    for path in {path for change in pending for path in change.paths}:
        flags = [change in kept for change in pending if path in change.paths]
        if flags != sorted(flags, reverse=True):
            return False
    return True


def played(volume: Volume, kept: tuple[Change, ...]) -> dict[str, int]:
    entries = dict(volume.durable)
    for change in kept:
        for path, inode in change.entries:
            if inode is None:
                entries.pop(path, None)
            else:
                entries[path] = inode
    return entries


@settings(max_examples=100, deadline=None)
@given(STEPS, st.sampled_from([("folder", folder) for folder in FOLDERS] + [("file", path) for path in PATHS]))
def test_a_sync_leaves_fewer_disks_and_never_another_one(steps: list[tuple[Any, ...]], sync: tuple[str, str]) -> None:
    volume = built()
    for step in steps:
        take(volume, step)
    before = cut(volume, most=1 << 14)
    take(volume, sync)
    after = cut(volume, most=1 << 14)
    if not before.sampled:
        assert set(after.disks) <= set(before.disks)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_content_is_what_was_there_at_some_moment_or_a_part_of_it_and_zeros(steps: list[tuple[Any, ...]]) -> None:
    volume = built()
    history: dict[int, list[bytes]] = {}
    for step in steps:
        take(volume, step)
        for inode, item in volume.inodes.items():
            history.setdefault(inode, [b""]).append(item.content)
    for inode, item in volume.inodes.items():
        assert item.variants()[0] == item.content and item.variants()[-1] == item.synced
        known = [set(values) | {0} for values in zip_longest_bytes(history.get(inode, []))]
        for content in item.variants():
            assert len(content) <= len(known) and all(byte in values for byte, values in zip(content, known, strict=False))


def zip_longest_bytes(contents: list[bytes]) -> list[list[int]]:
    longest = max(map(len, contents), default=0)
    return [[content[number] for content in contents if number < len(content)] for number in range(longest)]


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_a_sample_is_a_part_of_the_whole_and_holds_its_extremes(steps: list[tuple[Any, ...]]) -> None:
    volume = built()
    for step in steps:
        take(volume, step)
    whole, sample = cut(volume, most=1 << 16), cut(volume, most=1)
    assert sample.sampled or len(whole.disks) == 1
    assert set(sample.disks) <= set(whole.disks)
    assert seen(volume) in [disk.content for disk in sample.disks]


def disks_of(*steps: tuple[Any, ...], before: tuple[tuple[Any, ...], ...] = ()) -> list[dict[str, bytes]]:
    volume = built()
    for step in before:
        take(volume, step)
    for inode in volume.inodes:
        volume.sync(inode)
    for folder in FOLDERS:
        volume.sync_folder(folder)
    for step in steps:
        take(volume, step)
    return contents(volume)


NEW, OLD = ("create", "a/x"), ("create", "b/y")


def test_a_rename_of_unsynced_content_may_leave_an_empty_file_under_the_good_name() -> None:
    found = disks_of(NEW, ("rename", "a/x", "b/y"), ("folder", "b"), before=(OLD,))
    assert {"b/y": b""} in found and {"b/y": b"fil"} in found and {"b/y": b"\0" * 6} in found and {"b/y": b"file 4"} in found
    assert {} not in found, "a name that is replaced is never missing"


def test_a_link_without_a_sync_of_its_folder_may_be_lost_though_the_file_is_synced() -> None:
    found = disks_of(NEW, ("file", "a/x"), ("link", "a/x", "b/y"), ("folder", "a"))
    assert {"a/x": b"file 3"} in found and {"a/x": b"file 3", "b/y": b"file 3"} in found and len(found) == 2


def test_an_unlink_may_be_there_before_the_link_that_came_first() -> None:
    found = disks_of(("link", "a/x", "b/y"), ("unlink", "a/x"), before=(NEW,))
    assert {} in found, "the file is lost"
    assert {} not in disks_of(("link", "a/x", "b/y"), ("folder", "b"), ("unlink", "a/x"), before=(NEW,))


def test_a_rename_across_folders_is_lost_or_done_and_one_sync_is_enough() -> None:
    moved = ("rename", "a/x", "b/y")
    assert disks_of(moved, before=(NEW,)) == [{"a/x": b"file 3"}, {"b/y": b"file 3"}]
    for folder in FOLDERS:
        assert disks_of(moved, ("folder", folder), before=(NEW,)) == [{"b/y": b"file 3"}]


def test_an_entry_in_a_folder_that_is_not_on_the_disk_is_not_there() -> None:
    volume = built()
    volume.mkdir("a/new")
    volume.sync(volume.create("a/new/x"))
    volume.sync_folder("a/new")
    assert contents(volume) == [{}, {"a/new/x": b""}]
    volume.sync_folder("a")
    assert contents(volume) == [{"a/new/x": b""}]


def test_leftovers_are_not_combined_with_each_other() -> None:
    volume = built()
    for number in range(12):
        volume.sync(volume.create(f"a/{number:02}"))
    volume.sync(volume.create("b/x"))
    assert len(cut(volume, most=1 << 13).disks) == 1 << 13
    found = cut(volume, leftovers=lambda path: parent(path) == "a")
    assert len(found.disks) == 2 * 2 + 12 * 2 and not found.sampled
    assert {len([path for path in disk.content if parent(path) == "a"]) for disk in found.disks} == {0, 11, 12}


def test_names_of_one_file_stay_names_of_one_file(lab: Lab) -> None:
    put(Disk(frozenset({"a"}), (("a/x", b"1"), ("a/y", b"1")), (("a/x", "a/y"),)), lab.home)
    assert (lab.home / "a/x").stat().st_ino == (lab.home / "a/y").stat().st_ino
