"""The kernel's library: built from the sources that are here or not loaded at all, and nothing breaks without a compiler."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from native import COMPILER, built, needs_compiler

from portal.cli import main
from portal.native import build, library

ROOT = Path(__file__).parent.parent
FAKE = "#!/bin/sh\nwhile [ $# -gt 0 ]; do [ $1 = -o ] && echo made > $2; shift; done\n"


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for built libraries, sources of our own, and a compiler that makes a file."""
    shutil.copytree(build.SOURCES, tmp_path / "src")
    (tmp_path / "c++").write_text(FAKE)
    (tmp_path / "c++").chmod(0o755)
    monkeypatch.setattr(build, "SOURCES", tmp_path / "src")
    monkeypatch.setenv("PORTAL_NATIVE_DIR", str(tmp_path / "built"))
    monkeypatch.setenv("CXX", str(tmp_path / "c++"))
    library.forget()
    yield tmp_path
    library.forget()


def test_a_build_is_kept_until_a_source_changes(place: Path) -> None:
    first = build.build(build.compiler())
    assert first == build.path() and first.read_text() == "made\n"
    first.write_text("kept")
    assert build.build(["no-such-compiler"]).read_text() == "kept", "it is not built again"
    with (place / "src" / "csv.h").open("a") as source:
        source.write("// changed\n")
    second = build.build(build.compiler())
    assert second != first and [path.name for path in (place / "built").iterdir()] == [second.name], "the old one is cleared away"


def test_a_library_of_other_sources_is_not_loaded(place: Path) -> None:
    build.build(build.compiler())
    with (place / "src" / "cells.h").open("a") as source:
        source.write("// changed\n")
    assert library.library() is None and library.absence() == "it was not built from these sources"


def test_a_library_that_cannot_be_loaded_is_told_and_left(place: Path) -> None:
    build.build(build.compiler())
    assert library.library() is None and library.absence().startswith("it cannot be loaded (")


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_library_that_others_can_write_to_is_not_loaded(place: Path, which: str) -> None:
    target = build.build(build.compiler())
    (target if which == "file" else target.parent).chmod(0o777)
    assert library.library() is None and "can be written to by others" in library.absence()


@pytest.mark.parametrize("which", ["file", "folder"])
def test_a_library_of_another_user_is_not_loaded(place: Path, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = build.build(build.compiler())
    planted, real = target if which == "file" else target.parent, Path.stat
    as_other = lambda path, **more: os.stat_result([*real(path)[:4], 4711, *real(path)[5:10]]) if path == planted else real(path, **more)  # noqa: E731
    monkeypatch.setattr(Path, "stat", as_other)
    assert library.library() is None and "belongs to another user (uid 4711)" in library.absence()


def test_nothing_is_built_where_others_can_write(place: Path) -> None:
    (place / "built").mkdir()
    (place / "built").chmod(0o777)
    with pytest.raises(build.BuildFailed, match="can be written to by others"):
        build.build(build.compiler())


def test_a_build_replaces_a_library_that_others_can_write_to(place: Path) -> None:
    target = build.build(build.compiler())
    target.write_text("planted")
    target.chmod(0o666)
    assert build.build(build.compiler()).read_text() == "made\n"


@needs_compiler
def test_a_library_without_our_functions_is_no_kernel(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CXX")
    (place / "src" / "kernel.cpp").write_text('extern "C" __attribute__((visibility("default"))) int portal_csv_whole() { return 0; }\n')
    build.build(COMPILER)
    assert library.library() is None and "it lacks portal_csv_parse" in library.absence()


@pytest.mark.parametrize("text", ["#!/bin/sh\necho no such header >&2; exit 1\n", ""])
def test_a_compiler_that_fails_leaves_nothing_behind(place: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "c++").write_text(text)
    (place / "c++").chmod(0o755 if text else 0o644)
    assert build.main() == 1
    assert ("no such header" if text else "cannot be run") in capsys.readouterr().err
    assert list((place / "built").iterdir()) == []


def test_sources_that_change_meanwhile_make_no_library(place: Path) -> None:
    (place / "c++").write_text(FAKE + f"echo // >> {place}/src/csv.h\n")
    with pytest.raises(build.BuildFailed, match="changed while"):
        build.build(build.compiler())
    assert list((place / "built").iterdir()) == []


def test_without_a_compiler_the_build_says_so_and_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(place / "nothing"))
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert build.compiler() == [] and build.main() == 0
    assert "No C++ compiler was found: conversions work" in capsys.readouterr().out


def test_the_compiler_of_the_ziglang_wheel_is_the_last_resort(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    assert build.compiler() == [str(place / "c++")]
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(place))
    assert build.compiler() == [str(place / "c++")]
    monkeypatch.setenv("PATH", str(place / "nothing"))
    assert build.compiler() == [sys.executable, "-m", "ziglang", "c++"]


def test_it_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PORTAL_NATIVE", "0")
    library.forget()
    assert library.library() is None and "PORTAL_NATIVE=0" in library.absence()
    library.forget()


def test_check_tells_whether_the_kernel_is_there(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    built()
    main(["check"])
    assert ("The converter has its kernel." in capsys.readouterr().out) == (not library.absence())
    monkeypatch.setenv("PORTAL_NATIVE", "0")
    library.forget()
    main(["check"])
    main(["check", "--json"])
    told = capsys.readouterr().out
    assert "The converter has no kernel: it is turned off (PORTAL_NATIVE=0)." in told and '"kernel": false' in told
    library.forget()


@needs_compiler
def test_the_build_by_hand_names_the_library() -> None:
    built()
    ran = subprocess.run([sys.executable, "-m", "portal.native.build"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert str(build.path()) in ran.stdout and COMPILER
    assert library.library() is not None and library.absence() == ""
