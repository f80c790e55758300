"""The tracer of the fault tests sees what is done, where it says, and interferes only there."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.faults import kernel
from tests.faults.calls import Call, Stops
from tests.faults.tracer import SHORT_WRITE, ActionFailed, Moment, inject, kill_at, trace


def scribble(folder: Path) -> str:
    """One call of each kind that the model of a file system needs."""
    (folder / "sub").mkdir()
    descriptor = os.open(folder / "a", os.O_CREAT | os.O_RDWR, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    os.write(descriptor, b"0123")
    os.write(descriptor, b"45")
    os.pwrite(descriptor, b"X", 1)
    os.writev(descriptor, [b"6", b"78"])
    copy = os.dup(descriptor)
    os.ftruncate(descriptor, 8)
    os.fsync(descriptor)
    os.close(copy)
    os.close(descriptor)
    with (folder / "a").open("ab") as file:
        file.write(b"end")
    os.link(folder / "a", folder / "b")
    inside = os.open(folder, os.O_RDONLY)
    os.rename("b", folder / "c", src_dir_fd=inside)
    os.unlink("a", dir_fd=inside)
    os.close(inside)
    (folder / "sub").rmdir()
    os.utime(folder / "c", (0, 0))
    return (folder / "c").read_text()


@pytest.mark.parametrize("stops", ["all", "known", "changing"])
def test_every_kind_of_call_is_seen_with_what_it_did(tmp_path: Path, stops: Stops) -> None:
    calls = trace(lambda: scribble(tmp_path), within=tmp_path, stops=stops)
    said = [(call.name, *(path.removeprefix(f"{tmp_path}/") for path in call.paths)) for call in calls if call.changes]
    assert said == [
        ("mkdir", "sub"), ("open", "a"), ("flock", "a"), ("write", "a"), ("write", "a"), ("pwrite", "a"), ("writev", "a"), ("ftruncate", "a"),
        ("fsync", "a"), ("close", "a"), ("close", "a"), ("open", "a"), ("write", "a"), ("close", "a"), ("link", "a", "b"), ("rename", "b", "c"),
        ("unlink", "a"), ("rmdir", "sub"), ("utime", "c"),
    ]  # fmt: skip
    assert [(call.data, call.offset) for call in calls if call.data] == [(b"0123", 0), (b"45", 4), (b"X", 1), (b"678", 6), (b"end", 8)]
    assert "dup" in [call.name for call in calls] and all(call.result >= 0 for call in calls if call.changes)


@pytest.mark.parametrize(("when", "stops"), [("before", "changing"), ("after", "changing"), ("after", "all")])
def test_a_kill_leaves_what_was_done_until_then(tmp_path: Path, when: Any, stops: Stops) -> None:
    whole = made(tmp_path / "whole")
    calls = [call for call in trace(lambda: scribble(whole), within=whole) if call.changes]
    for number, expected in enumerate(calls, 1):
        folder = made(tmp_path / f"{number}")
        call = kill_at(lambda folder=folder: scribble(folder), number, when, within=folder, stops=stops)
        assert call and call.name == expected.name
        done = [call.name for call in calls[: number - (when == "before")]]
        assert (folder / "c").exists() == ("rename" in done)
        assert (folder / "a").exists() == ("open" in done and "unlink" not in done)
        assert (folder / "sub").exists() == ("mkdir" in done and "rmdir" not in done)
    folder = made(tmp_path / "last")
    assert kill_at(lambda: scribble(folder), len(calls) + 1, when, within=folder, stops=stops) is None


def test_while_the_child_stands_still_one_can_look(tmp_path: Path) -> None:
    seen: list[tuple[str, str, list[str]]] = []

    def look(call: Call, when: Moment) -> None:
        seen.append((call.name, when, os.listdir(tmp_path)))

    trace(lambda: (tmp_path / "a").mkdir(), within=tmp_path, stops="changing", watch=look)
    assert seen == [("mkdir", "before", []), ("mkdir", "after", ["a"])]


def test_what_the_action_starts_goes_on_untraced(tmp_path: Path) -> None:
    calls = trace(lambda: subprocess.run(["/bin/sh", "-c", f"echo x > {tmp_path}/a"], check=True) and None)
    assert (tmp_path / "a").read_text() == "x\n" and "fork" in [call.name for call in calls]


def made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


@pytest.mark.skipif(not kernel.CAN_CHANGE, reason="the registers of this machine are not known")
def test_an_injected_error_is_told_and_the_call_is_not_made(tmp_path: Path) -> None:
    outcome = inject(lambda: scribble(tmp_path), 14, errno.ENOSPC, within=tmp_path)
    assert outcome.error and outcome.error[0][0] == "OSError" and "No space left" in outcome.error[1]
    assert outcome.injected_at and outcome.injected_at.name == "close", "a failed close closes all the same"
    (tmp_path / "a").unlink()
    (tmp_path / "sub").rmdir()
    outcome = inject(lambda: scribble(tmp_path), 15, errno.EIO, within=tmp_path)
    assert outcome.injected_at and outcome.injected_at.name == "link" and outcome.calls[-1].name == "link"
    assert not (tmp_path / "b").exists() and (tmp_path / "a").exists()


@pytest.mark.skipif(not kernel.CAN_CHANGE, reason="the registers of this machine are not known")
def test_a_short_write_writes_half(tmp_path: Path) -> None:
    outcome = inject(lambda: os.write(os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY), b"0123456789"), 2, SHORT_WRITE, within=tmp_path)
    assert (outcome.value, (tmp_path / "a").read_bytes(), outcome.calls[-1].data) == (5, b"01234", b"01234")


def test_what_the_action_raises_is_told(tmp_path: Path) -> None:
    with pytest.raises(ActionFailed, match="ZeroDivisionError"):
        trace(lambda: 1 / 0)
    assert inject(lambda: "value", 1, errno.EIO).value == "value"
