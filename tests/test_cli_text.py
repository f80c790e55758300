"""What the command line reads and writes: durations, moments, tables, and the end of a log."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from portal import clock
from portal.cli import jobs, logs
from portal.cli.logs import tail_start
from portal.cli.text import day, moment, seconds, short, size, span, table
from portal.cli.watch import EXIT_CODES, Screen, ended, exit_code, measure
from portal.errors import BadParameters
from portal.jobs import Attempt, Job, Status
from portal.progress import Progress
from portal.settings import Settings
from portal.spool import Spool
from tests.queues import a_job


@pytest.mark.parametrize(("text", "expected"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("1d", 86_400), ("1w", 604_800), ("0.5h", 1800)])
def test_durations(text: str, expected: float) -> None:
    assert seconds(text) == expected


@given(st.text(max_size=20))
@settings(max_examples=200, deadline=None)
def test_whatever_is_typed_as_a_time_is_read_or_refused_clearly(text: str) -> None:
    for read in (seconds, day, lambda typed: moment(typed, ahead=True)):
        try:
            read(text)
        except BadParameters as error:
            assert error.hint


def test_moments_are_absolute_or_a_distance_from_now() -> None:
    assert moment("2026-11-21T12:00:00+02:00", ahead=True) == "2026-11-21T10:00:00.000Z"
    assert 3_590_000 < clock.parse_ms(moment("1h", ahead=True)) - clock.now_ms() <= 3_600_000
    assert 3_590_000 < clock.now_ms() - clock.parse_ms(moment("1h", ahead=False)) < 3_610_000
    with pytest.raises(BadParameters, match="has no time zone"):
        moment("2026-11-21T12:00:00", ahead=True)


@given(st.lists(st.text(alphabet="ab\r é", max_size=12), max_size=30), st.booleans(), st.integers(0, 40))
@settings(max_examples=200, deadline=None)
def test_the_end_of_a_log_is_found_from_its_end(lines: list[str], complete: bool, wanted: int) -> None:
    data = "\n".join(lines).encode() + (b"\n" if complete and lines else b"")
    whole = data.splitlines(keepends=True) if b"\r" not in data else [part + b"\n" for part in data.split(b"\n")[:-1]] + [data.split(b"\n")[-1]]
    whole = [line for line in whole if line]
    path = Path("/dev/shm" if Path("/dev/shm").is_dir() else "/tmp") / f"portal-tail-{id(lines)}"
    path.write_bytes(data)
    try:
        start = tail_start(path, wanted)
    finally:
        path.unlink()
    assert data[start:] == b"".join(whole[max(0, len(whole) - wanted) :] if wanted else [])


def test_the_end_of_a_long_log_spans_blocks(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%07d" % number + b"x" * 93 + b"\n" for number in range(5000)))
    assert path.read_bytes()[tail_start(path, 1000) :].startswith(b"0004000")
    assert tail_start(path, 10_000) == 0
    assert tail_start(tmp_path / "none", 5) == 0


def test_sizes_and_durations_for_people() -> None:
    assert [size(count) for count in (0, 1023, 1536, 5 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 GiB"]
    assert [span(value) for value in (0.25, 12.34, 245, 7800)] == ["250 ms", "12.3 s", "4 m 05 s", "2 h 10 m"]
    assert (short("2026-11-21T10:58:31.123Z"), short(None)) == ("2026-11-21 10:58:31", "")


def test_a_table_aligns_text_left_and_numbers_right() -> None:
    assert table(["name", "n"], [["a b\nc", 5], ["d", 1234]]) == "NAME      N\na b c     5\nd      1234"


def test_progress_tells_rate_and_time_to_go() -> None:
    told = measure(Progress(done=50, total=200, unit="objects", note="x.csv", rate=10, rate_bytes=2 << 20))
    assert told == "50/200 objects  25%  2.0 MiB/s  15.0 s to go  x.csv"
    assert measure(Progress(done=7, unit="rows")) == "7 rows"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_one_line_that_is_rewritten() -> None:
    stream = Terminal()
    screen = Screen(stream)
    screen.update("10 %")
    screen.update("10 %")
    screen.update("20 %")
    screen.say("done")
    assert stream.getvalue() == "\r\x1b[2K10 %\r\x1b[2K20 %\r\x1b[2Kdone\n"


def test_a_pipe_gets_plain_lines_and_not_too_many() -> None:
    stream = io.StringIO()
    screen = Screen(stream)
    for percent in range(100):
        screen.update(f"{percent} %")
    screen.say("done")
    assert stream.getvalue() == "0 %\ndone\n"


def test_the_exit_code_of_a_chain_is_that_of_its_worst_end() -> None:
    def code_of(*statuses: Status) -> int:
        return exit_code([Job("0" * 26, "list", {}, "2026-11-21T10:00:00.000Z", status=status) for status in statuses])

    assert set(EXIT_CODES) == {status for status in Status if status.finished}
    assert code_of() == code_of(Status.SUCCEEDED) == 0
    assert code_of(Status.SUCCEEDED, Status.PARTIAL) == 3
    assert code_of(Status.PARTIAL, Status.REJECTED) == 2
    assert code_of(Status.REJECTED, Status.CANCELLED, Status.PARTIAL) == 1


def test_a_name_cannot_drive_the_terminal() -> None:
    shown = table(["source"], [["a\x1b]0;owned\x07\x1b[2Jb.csv"], ["\u202egpj.exe"], ["Größe.csv"]])
    assert shown.splitlines()[1:] == ["a�]0;owned��[2Jb.csv", "�gpj.exe", "Größe.csv"]


HOSTILE = "a\x1b]0;owned\x07\nb.csv"


@pytest.mark.parametrize("stream", [io.StringIO(), Terminal()])
def test_no_name_of_an_object_drives_the_terminal(stream: io.StringIO) -> None:
    failures = [{"key": HOSTILE, "reason": f"no {HOSTILE}"}]
    result = {"counts": {"listed": 2, "failed": 1}, "report": {"failures": failures}}
    job = Job("0" * 26, "migrate", {}, "2026-11-21T10:00:00.000Z", status=Status.PARTIAL, result=result, error=f"x {HOSTILE}")
    screen = Screen(stream)
    screen.update(HOSTILE)
    screen.say(ended(job))
    assert "\x07" not in stream.getvalue() and "\x1b]" not in stream.getvalue()
    assert "  a�]0;owned��b.csv: no a�]0;owned�" in stream.getvalue()


def test_a_log_does_not_drive_the_terminal_and_stays_as_it_is_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log"
    path.write_bytes("ü\x1b[2J\tx\n\xff cut".encode("latin-1"))
    shown = Terminal()
    monkeypatch.setattr("sys.stdout", shown)
    assert logs._print_from(path, 0) == path.stat().st_size
    assert shown.getvalue() == "��[2J   x\n� cut"


def test_a_dry_run_tells_its_plan_and_a_copy_its_proof() -> None:
    cost = {"total": 0.5, "currency": "USD", "lines": [{"what": "PUT", "count": 3, "cost": 0.5}]}
    plan = {
        "actions": {"copy": {"objects": 3, "bytes": 1024}}, "excluded_by_reason": {}, "conflicts_by_class": {}, "time_s": 65, "cost": cost,
        "assumptions": ["As assumed."],
    }  # fmt: skip
    extras = {"objects": 2, "bytes": 10, "file": "extras.csv"}
    job = Job("0" * 26, "migrate", {}, "2026-11-21T10:00:00.000Z", status=Status.SUCCEEDED, labels={"dry_run": "yes"})
    job = replace(job, result={"counts": {"listed": 3}, "report": {"dry_run": plan, "extras": extras, "proof": {}}})
    told = ended(job)
    assert "copy: 3 objects, 1,024 bytes" in told and "1 min 5 s" in told and "As assumed." in told and "extras.csv" in told
    moved = replace(job, labels={}, result={"counts": {"copied": 3}, "report": {"proof": {"end-to-end": 2, "size": 1, "none": 0}}})
    assert ended(moved).splitlines()[1:] == ["  proof: 2 end-to-end, 1 size"]
    one = replace(moved, result={"counts": {"messages": 1, "listed": 1, "copied": 1}})
    assert ": 1 message, 1 listed, 1 copied" in ended(one)


def test_what_is_shown_of_a_job_keeps_the_lines_of_its_errors(config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    spool, error = Spool(config), "No bucket.\n  because: SQS\x1b[2J answered 400.\n  what to do: Make it."
    attempt = Attempt(1, "w", "h", "2026-11-21T10:00:00.000Z", outcome="failed", error=error)
    now = clock.iso(clock.now_ms())
    job = a_job(attempts=(attempt,), status=Status.FAILED, finished_at=now)
    spool.archive_path(job).parent.mkdir(parents=True)
    spool.archive_path(job).write_text(job.to_json())
    assert jobs.show([job.id], config) == 0
    lines = capsys.readouterr().out.splitlines()
    first, *rest = lines[lines.index("attempts") + 1 :]
    assert first == "  1  2026-11-21 10:00:00  failed  on w: No bucket."
    assert rest == ["    because: SQS\N{REPLACEMENT CHARACTER}[2J answered 400.", "    what to do: Make it."]
