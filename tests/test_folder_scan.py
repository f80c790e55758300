"""What a look at a watched folder finds, what it leaves and says so, and when a file counts as still."""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal.triggers.folder import beneath, left, scan
from portal.triggers.folder.identity import Identity
from portal.triggers.folder.later import Later
from portal.triggers.folder.pace import Pace
from portal.triggers.folder.scan import Scan, Seen, Sight
from portal.triggers.folder.still import Stillness
from portal.triggers.folder.wanted import Wanted


@contextmanager
def opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def looked(folder: Path, include: Collection[str] = (), exclude: Collection[str] = (), **options: Any) -> Sight:
    with opened(folder) as root:
        return Scan(Wanted(list(include), list(exclude)), **{"recursive": True, "markers": False, **options}).look(root)


def names(sight: Sight) -> list[str]:
    return sorted(file.name for file in sight.files)


def reasons(sight: Sight) -> dict[str, list[str]]:
    return {item["why"]: item["first"] for item in sight.left.facts()}


def test_files_of_all_folders_are_found_with_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "deep.csv").write_text("123")
    (tmp_path / "top.csv").touch()
    sight = looked(tmp_path)
    assert names(sight) == ["a/b/deep.csv", "top.csv"] and sight.folders == ["", "a", "a/b"] and not sight.left
    status = (tmp_path / "a/b/deep.csv").stat()
    deep = next(file for file in sight.files if file.name == "a/b/deep.csv")
    assert deep.identity == Identity(status.st_dev, status.st_ino, 3, status.st_mtime_ns)
    assert names(looked(tmp_path, recursive=False)) == ["top.csv"]


def test_patterns_choose_names_and_keep_out_of_folders(tmp_path: Path) -> None:
    for name in (".hidden/a.csv", "in/a.csv", "in/a.tmp", "in/skip/a.csv", "b.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert names(looked(tmp_path, include=["*.csv"], exclude=[".*", "*.tmp"])) == ["in/a.csv", "in/skip/a.csv"]
    assert names(looked(tmp_path, include=["in/*"], exclude=["*/skip"])) == ["in/a.csv", "in/a.tmp"]
    (tmp_path / ".hidden" / "link").symlink_to("/etc/passwd")
    (tmp_path / "x.tmp").symlink_to("/etc/passwd")
    assert not looked(tmp_path, exclude=[".*", "*.tmp"]).left, "what is not meant is not complained of"


@given(
    globs=st.lists(st.text("ab*?[]/.", max_size=5), max_size=3),
    name=st.lists(st.text("ab.", min_size=1, max_size=3), min_size=1, max_size=3).map("/".join),
)
def test_a_pattern_without_a_slash_is_about_the_last_part_of_a_name(globs: list[str], name: str) -> None:
    expected = any(fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob) for glob in globs)
    assert Wanted([], globs).excluded(name) is expected
    assert Wanted(globs, []).wants(name) is (expected or not globs)


def test_links_are_not_followed_wherever_they_lead(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    folder.mkdir()
    outside.mkdir()
    (outside / "secret").write_text("s")
    (folder / "file").symlink_to(outside / "secret")
    (folder / "folder").symlink_to(outside)
    (folder / "nowhere").symlink_to("gone")
    (folder / "self").symlink_to("self")
    sight = looked(folder)
    assert names(sight) == [] and sorted(reasons(sight)[left.LINK]) == ["file", "folder", "nowhere", "self"]


def test_what_is_no_file_is_told_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "socket"))
        sight = looked(tmp_path)
    assert names(sight) == [] and sorted(reasons(sight)[left.SPECIAL]) == ["pipe", "socket"]


def test_strange_names_are_kept_and_those_that_are_not_utf8_are_told(tmp_path: Path) -> None:
    strange = ["a\nb.csv", "ü" * 127, "x" * 255, " ", "\\", "a\tb", "'\"", "%2F", "🜲.csv", "-rf"]
    for name in strange:
        (tmp_path / name).touch()
    (tmp_path / os.fsdecode(b"caf\xe9.csv")).touch()
    (tmp_path / os.fsdecode(b"dir\xff")).mkdir()
    (tmp_path / os.fsdecode(b"dir\xff") / "inside").touch()
    sight = looked(tmp_path)
    assert names(sight) == sorted(strange)
    assert sorted(reasons(sight)[left.NOT_UTF8]) == ["caf\\xe9.csv", "dir\\xff"]


def test_only_twenty_names_are_told_and_all_are_counted(tmp_path: Path) -> None:
    for number in range(50):
        (tmp_path / f"{number}\n").symlink_to("gone")
    sight = looked(tmp_path)
    (told,) = sight.left.facts()
    assert told["count"] == 50 and len(told["first"]) == 20 and all(name.endswith("\\n") for name in told["first"])
    assert "and 49 more, because it is a symbolic link" in sight.left.problem()


def test_paths_that_would_be_too_long_and_folders_too_deep_stay(tmp_path: Path) -> None:
    (tmp_path / "longer").touch()
    assert reasons(looked(tmp_path, spare_bytes=4090)) == {left.TOO_LONG: ["longer"]}
    assert names(looked(tmp_path, spare_bytes=4089)) == ["longer"]
    deep = tmp_path.joinpath(*["d"] * (scan.DEEPEST + 2))
    deep.mkdir(parents=True)
    (deep / "file").touch()
    sight = looked(tmp_path)
    assert names(sight) == ["longer"] and len(reasons(sight)[left.TOO_LONG]) == 1


def test_folders_whose_files_were_taken_are_not_entered(tmp_path: Path) -> None:
    (tmp_path / "Queued").mkdir()
    (tmp_path / "Queued" / "file").touch()
    status = (tmp_path / "Queued").stat()
    assert names(looked(tmp_path, skipped={(status.st_dev, status.st_ino)})) == []
    assert names(looked(tmp_path)) == ["Queued/file"]


@pytest.mark.skipif(not os.path.ismount("/dev/shm"), reason="there is no file system inside a folder to look at")
def test_a_folder_on_another_file_system_is_told_and_not_entered() -> None:
    sight = looked(Path("/dev"), recursive=False)
    assert "shm" in reasons(sight)[left.FOREIGN]


def test_files_that_the_portal_is_writing_are_nobodys_yet(tmp_path: Path) -> None:
    (tmp_path / ".portal-0123456789abcdef.part").touch()
    assert names(looked(tmp_path)) == []


def test_with_markers_only_files_that_have_one_are_found(tmp_path: Path) -> None:
    for name in ("a.csv", "a.csv.done", "b.csv", "c.csv.done", ".done", "sub.done"):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "d").touch()
    (tmp_path / "sub" / "d.done").write_text("any content")
    (tmp_path / "dir.done").mkdir()
    sight = looked(tmp_path, markers=True)
    assert names(sight) == ["a.csv", "sub/d"]
    marker = (tmp_path / "sub" / "d.done").stat()
    assert next(file for file in sight.files if file.name == "sub/d").marker == Identity.of(marker)
    assert reasons(sight) == {left.NO_FILE: ["c.csv.done"]} and not sight.left.problem(), "that a file is yet to come is no problem"


def test_no_more_files_than_memory_is_meant_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MOST_FILES", 3)
    for number in range(5):
        (tmp_path / str(number)).touch()
    sight = looked(tmp_path)
    assert len(sight.files) == 3 and sight.left.count(left.TOO_MANY) == 2


def test_a_folder_that_vanishes_during_the_look_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").touch()
    real = beneath.folder

    @contextmanager
    def vanishing(root: int, relative: str, *, make: bool = False) -> Iterator[int]:
        if relative == "a":
            (tmp_path / "a").rmdir()
        with real(root, relative, make=make) as found:
            yield found

    monkeypatch.setattr(beneath, "folder", vanishing)
    assert names(looked(tmp_path)) == ["b"]


def test_a_link_put_in_the_place_of_a_folder_during_the_look_is_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, outside = tmp_path / "in", tmp_path / "outside"
    (folder / "a").mkdir(parents=True)
    outside.mkdir()
    (outside / "secret").touch()
    real = beneath.folder

    @contextmanager
    def swapped(root: int, relative: str, *, make: bool = False) -> Iterator[int]:
        if relative == "a":
            (folder / "a").rmdir()
            (folder / "a").symlink_to(outside)
        with real(root, relative, make=make) as found:
            yield found

    monkeypatch.setattr(beneath, "folder", swapped)
    sight = looked(folder)
    assert names(sight) == [] and reasons(sight) == {left.LINK: ["a/"]}


def test_ten_thousand_files_are_looked_at_within_two_seconds_of_processor_time(tmp_path: Path) -> None:
    for folder in range(10):
        (tmp_path / str(folder)).mkdir()
        for number in range(1000):
            os.close(os.open(tmp_path / str(folder) / f"{number}.csv", os.O_CREAT))
    still = Stillness(0.001)
    before = time.process_time()
    for _ in range(2):
        ready, _ = still.look(looked(tmp_path, exclude=[".*", "*.tmp", "*.part"]).files)
    assert len(ready) == 10_000 and time.process_time() - before < 2 * 2.0


# Stillness


def a_file(name: str = "a", *, size: int = 1, mtime_ns: int = 0, changed_ns: int = 0, inode: int = 1) -> Seen:
    return Seen(name, Identity(1, inode, size, mtime_ns), changed_ns)


@given(
    steps=st.lists(
        st.tuples(
            st.floats(0, 4, allow_nan=False),
            st.dictionaries(st.sampled_from("abc"), st.tuples(st.integers(0, 1), st.integers(-1, 1), st.integers(0, 1)), max_size=3),
        ),
        max_size=12,
    )
)
def test_a_file_is_still_when_every_look_for_long_enough_saw_the_same(steps: list[tuple[float, dict[str, tuple[int, int, int]]]]) -> None:
    now, still_s = 0.0, 3.0
    still = Stillness(still_s, lambda: now)
    history: dict[str, list[tuple[float, tuple[int, int, int]]]] = {}
    for pause, there in steps:
        now += pause
        files = [a_file(name, size=size, mtime_ns=mtime, changed_ns=changed) for name, (size, mtime, changed) in there.items()]
        ready, next_s = still.look(files)
        history = {name: [*history.get(name, []), (now, state)] for name, state in there.items()}
        expected = {name for name, seen in history.items() if _same_since(seen) + still_s <= now}
        assert {file.name for file in ready} == expected
        waits = [_same_since(seen) + still_s - now for name, seen in history.items() if name not in expected]
        assert next_s == pytest.approx(min(waits, default=math.inf))


def _same_since(seen: list[tuple[float, tuple[int, int, int]]]) -> float:
    since, last = seen[-1]
    for moment, state in reversed(seen):
        if state != last:
            break
        since = moment
    return since


def test_a_file_replaced_by_one_that_looks_the_same_is_another_file() -> None:
    now = 0.0
    still = Stillness(1, lambda: now)
    still.look([a_file(inode=1)])
    now = 2.0
    assert still.look([a_file(inode=2)])[0] == []


def test_what_could_not_be_moved_is_tried_again_ever_later_until_it_changes() -> None:
    now, told = 0.0, left.Left()
    later, file = Later(lambda: now), a_file()
    waits = []
    for _ in range(12):
        later.stayed(file, left.READ_ONLY)
        began = now
        while not later.due([file], told):
            now += 1
        waits.append(now - began)
    assert waits[:4] == [2, 4, 8, 16] and max(waits) == 600
    assert told.count(left.READ_ONLY) == sum(waits), "each time it is told why"
    for there in ([a_file(size=2)], []):
        later.stayed(file, left.READ_ONLY)
        later.forget_but([file])
        assert not later.due([file], told)
        later.forget_but(there)
        assert later.due([file], told), "it changed, or was away"


@settings(max_examples=30)
@given(lasts=st.lists(st.floats(0, 20, allow_nan=False), min_size=1, max_size=5))
def test_looks_take_a_tenth_of_the_time_at_most(lasts: list[float]) -> None:
    now = 0.0
    pace = Pace(lambda: now)
    for last in lasts:
        assert pace.early_s() == 0
        with pace:
            now += last
        rest = pace.early_s()
        assert rest == pytest.approx(min(60, max(0.1, 10 * last)))
        now += rest + 1e-6
