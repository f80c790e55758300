"""Files that are put away: never another file than the one that was uploaded, never one in place of another."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from portal.stores import local_rename
from portal.stores.local_files import etag
from portal.stores.local_rename import rename_fresh
from portal.transfer.uploading import putting_away
from portal.transfer.uploading.putting_away import After, Away, Gone, PuttingAway, Stays


class Box:
    def __init__(self, root: Path, after: After = "move") -> None:
        self.root, self.source, self.done = root, root / "in", root / "done"
        self.source.mkdir(exist_ok=True)
        self.putting = PuttingAway(after, self.key(self.source), self.key(self.done), (root,))

    @staticmethod
    def key(path: Path) -> str:
        return str(path).lstrip("/")

    def drop(self, name: str, content: str) -> tuple[Path, str]:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
        return path, etag(path.stat())

    def put(self, path: Path, uploaded: str) -> Away:
        return self.putting(self.key(path), uploaded)


@pytest.fixture
def box(tmp_path: Path) -> Box:
    return Box(tmp_path)


def test_a_file_keeps_its_path(box: Box) -> None:
    away = box.put(*box.drop("x/y/a.csv", "1"))
    assert away == Away(str(box.done / "x/y/a.csv"))
    assert (box.done / "x/y/a.csv").read_text() == "1"


def test_what_was_moved_by_an_attempt_that_died_is_found(box: Box) -> None:
    path, uploaded = box.drop("a.csv", "1")
    first = box.put(path, uploaded)
    assert box.put(path, uploaded) == first
    with pytest.raises(Gone):
        box.put(path, "another")


def test_what_was_moved_to_a_name_of_its_own_by_an_attempt_that_died_is_found(box: Box) -> None:
    box.put(*box.drop("n" * 255, "1"))
    path, uploaded = box.drop("n" * 255, "2")
    first = box.put(path, uploaded)
    assert first.apart
    assert Box(box.root).put(path, uploaded) == first
    with pytest.raises(Gone):
        Box(box.root).put(path, "another")


def test_of_two_names_of_one_file_one_is_left(box: Box) -> None:
    path, uploaded = box.drop("a.csv", "1")
    box.done.mkdir()
    os.link(path, box.done / "a.csv")
    assert box.put(path, uploaded) == Away(str(box.done / "a.csv"))
    assert ([*box.source.iterdir()], [child.name for child in box.done.iterdir()]) == ([], ["a.csv"])


def test_another_file_of_that_name_is_left_alone(box: Box) -> None:
    path, uploaded = box.drop("a.csv", "1")
    path.with_name("b").write_text("2")
    path.with_name("b").replace(path)
    with pytest.raises(Stays, match="was changed"):
        box.put(path, uploaded)
    assert (path.read_text(), box.done.exists()) == ("2", False)


@pytest.mark.parametrize("after", ["move", "delete"])
def test_a_file_that_is_replaced_between_the_look_and_the_rename_is_given_back(tmp_path: Path, after: After, monkeypatch: pytest.MonkeyPatch) -> None:
    box = Box(tmp_path, after)
    path, uploaded = box.drop("a.csv", "1")
    real, replaced = local_rename.rename_fresh, False

    def rename(old: Path, new: Path) -> None:
        nonlocal replaced
        if not replaced:
            replaced = True
            path.with_name("b").write_text("2")
            path.with_name("b").replace(path)
        real(old, new)

    monkeypatch.setattr(putting_away, "rename_fresh", rename)
    with pytest.raises(Stays, match="was replaced"):
        box.put(path, uploaded)
    assert [child.name for child in box.source.iterdir()] == ["a.csv"]
    assert path.read_text() == "2"


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["a.csv", "n" * 255, "é" * 127, "x/a.csv"]), st.sampled_from("123")), max_size=12))
def test_every_content_is_kept_once_under_each_name(tmp_path_factory: pytest.TempPathFactory, drops: list[tuple[str, str]]) -> None:
    box = Box(tmp_path_factory.mktemp("box"))
    for name, content in drops:
        path, uploaded = box.drop(name, content)
        away = box.put(path, uploaded)
        assert Path(away.path).read_text() == content
        assert not path.exists()
    kept = sorted(path.read_text() for path in box.done.rglob("*") if path.is_file())
    assert kept == sorted(content for _, content in set(drops))


def test_to_another_file_system_a_file_is_copied_whole_before_it_goes(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    real = local_rename.rename_fresh

    def rename(old: Path, new: Path) -> None:
        if Path(old).parent != Path(new).parent:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        real(old, new)

    monkeypatch.setattr(putting_away, "rename_fresh", rename)
    path, _ = box.drop("a.csv", "1" * 3_000_000)
    moment = path.stat().st_mtime_ns
    for content in ("1" * 3_000_000, "2", "2"):
        path, _ = box.drop("a.csv", content)
        os.utime(path, ns=(moment, moment))
        away = box.put(path, etag(path.stat()))
        assert Path(away.path).stat().st_mtime_ns == moment or away.apart
        assert not path.exists()
    assert len([*box.done.iterdir()]) == 2
    assert [*box.source.iterdir()] == []


def test_a_folder_that_leads_out_is_refused(box: Box, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    box.done.symlink_to(outside)
    path, uploaded = box.drop("a.csv", "1")
    with pytest.raises(Exception, match="outside the folders"):
        box.put(path, uploaded)
    assert (path.exists(), [*outside.iterdir()]) == (True, [])


@pytest.mark.parametrize("way", ["call", "link", "neither"])
def test_a_rename_never_replaces(tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if way != "call":
        monkeypatch.setattr(local_rename, "_call", lambda: None)
    if way == "neither":
        def refused(*_: object, **__: object) -> None:
            raise PermissionError(errno.EPERM, "no links here")

        monkeypatch.setattr(os, "link", refused)
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_text("1")
    other.write_text("2")
    with pytest.raises(FileExistsError):
        rename_fresh(one, other)
    assert (one.read_text(), other.read_text()) == ("1", "2")
    other.unlink()
    rename_fresh(one, other)
    assert (one.exists(), other.read_text()) == (False, "1")
