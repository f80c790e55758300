"""Failed tries of messages are counted over jobs, in a file that is no promise."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal import clock
from portal.stores.partial import is_partial
from portal.transfer.downloading import tries
from portal.transfer.downloading.tries import Tries


def test_the_next_job_knows_what_failed_before(tmp_path: Path) -> None:
    first = Tries(tmp_path, "q")
    first.add("a")
    first.add("a")
    first.add("b")
    first.forget("b")
    first.close()
    again = Tries(tmp_path, "q")
    assert [again.of(name) for name in "abc"] == [2, 0, 0]
    assert Tries(tmp_path, "another").of("a") == 0
    again.forget("a")
    again.close()
    assert list(tmp_path.iterdir()) == []


def test_two_jobs_at_once_add_to_each_other(tmp_path: Path) -> None:
    one, other = Tries(tmp_path, "q"), Tries(tmp_path, "q")
    one.add("a")
    other.add("a")
    assert Tries(tmp_path, "q").of("a") == 2


def test_the_file_is_hidden_from_listings(tmp_path: Path) -> None:
    Tries(tmp_path, "q").add("a")
    (path,) = tmp_path.iterdir()
    assert is_partial(path.name)


@given(st.binary(max_size=80))
def test_whatever_a_crash_left_is_passed_over(tmp_path_factory: pytest.TempPathFactory, rest: bytes) -> None:
    folder = tmp_path_factory.mktemp("in")
    Tries(folder, "q").add("a")
    (path,) = folder.iterdir()
    path.write_bytes(path.read_bytes() + rest)
    assert Tries(folder, "q").of("a") == 1


def test_a_long_file_is_written_anew_and_old_messages_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries, "_MOST_LINES", 10)
    now_ms = clock.now_ms()
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms - 15 * 86_400_000)
    Tries(tmp_path, "q").add("old")
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms)
    before = Tries(tmp_path, "q")
    for _ in range(20):
        before.add("a")
    (path,) = tmp_path.iterdir()
    found = Tries(tmp_path, "q")
    assert (found.of("a"), found.of("old")) == (20, 0)
    assert list(tmp_path.iterdir()) == [path] and len(path.read_text().splitlines()) == 1


def test_a_file_that_cannot_be_kept_costs_the_count_of_other_jobs_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Tries(tmp_path, "q").add("a")
    (path,) = tmp_path.iterdir()
    path.unlink()
    path.mkdir()
    found = Tries(tmp_path, "q")
    found.add("a")
    found.add("a")
    found.close()
    assert found.of("a") == 2 and len(caplog.records) == 1
