"""What pages read: the jobs that fit, the end of a log, figures in words, and text that stays text."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import clock
from portal.durable import write_durably
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import Spool
from portal.ui import job_rows, job_search, log_tail, wording
from portal.ui.job_search import Filters

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def archived(spool: Spool, number: int, *, status: Status = Status.SUCCEEDED, days_ago: int = 0, **values: object) -> Job:
    """Put a record into the archive, as the worker would leave it."""
    moment = datetime.now(UTC) - timedelta(days=days_ago)
    when = clock.iso(round(moment.timestamp() * 1000))
    tail = "".join(_ALPHABET[(number >> shift) & 31] for shift in range(40, -1, -5))
    made = Job(f"01{tail.rjust(24, '0')}", str(values.pop("engine", "list")), {}, when, finished_at=when, status=status, **values)  # type: ignore[arg-type]
    path = spool.archive_path(made)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, made.to_json().encode())
    return made


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def test_pages_hold_every_job_once_newest_first(spool: Spool) -> None:
    made = [archived(spool, number).id for number in range(job_search.PAGE_SIZE + 7)]
    first, second = (job_search.page(spool, Filters(), number) for number in (1, 2))
    assert [job.id for job in (*first.jobs, *second.jobs)] == made[::-1]
    assert first.more and not second.more


def test_living_jobs_come_before_finished_ones(spool: Spool) -> None:
    old = archived(spool, 1)
    waiting = spool.submit(Job("01M7YZ6HXDWKZ0NY9XTY10402E", "list", {}, clock.iso(clock.now_ms())))
    assert [job.id for job in job_search.page(spool, Filters(), 1).jobs] == [waiting.id, old.id]
    assert [job.id for job in job_search.page(spool, Filters(statuses=("succeeded",)), 1).jobs] == [old.id]
    assert [job.id for job in job_search.page(spool, Filters(statuses=("queued",)), 1).jobs] == [waiting.id]


@pytest.mark.parametrize(
    ("filters", "found"),
    [
        (Filters(engine="migrate"), [2]), (Filters(owner="anna"), [1]), (Filters(statuses=("failed", "rejected")), [2]),
        (Filters(text="NO SUCH bucket"), [2]), (Filters(days=1), [3, 2]), (Filters(owner="nobody"), []),
    ],
)  # fmt: skip
def test_filters_choose(spool: Spool, filters: Filters, found: list[int]) -> None:
    made = {
        1: archived(spool, 1, submitted_by="anna", days_ago=3),
        2: archived(spool, 2, engine="migrate", status=Status.FAILED, error="There is no such bucket."),
        3: archived(spool, 3, submitted_by="bert"),
    }
    assert [job.id for job in job_search.page(spool, filters, 1).jobs] == [made[number].id for number in found]


def test_pages_further_back_do_not_read_what_they_skip(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(3 * job_search.PAGE_SIZE):
        archived(spool, number)
    read: list[Path] = []
    real = job_search.records.read
    monkeypatch.setattr(job_search.records, "read", lambda path: (read.append(path), real(path))[1])
    assert len(job_search.page(spool, Filters(), 3).jobs) == job_search.PAGE_SIZE
    assert len(read) == job_search.PAGE_SIZE


def test_a_search_that_takes_long_stops_and_says_where(spool: Spool) -> None:
    for number in range(5):
        archived(spool, number)
    found = job_search.finished(spool, Filters(text="nothing has this"), 0, 50, budget_s=-1)
    assert found.searched_to == f"{datetime.now(UTC):%Y-%m-%d}" and not found.jobs


def test_a_record_nobody_can_read_does_not_hide_the_others(spool: Spool) -> None:
    good, bad = archived(spool, 1), archived(spool, 2)
    spool.archive_path(bad).write_text("{")
    assert [job.id for job in job_search.page(spool, Filters(), 1).jobs] == [good.id]


def test_the_end_of_a_huge_log_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "huge.log"
    with path.open("wb") as file:
        file.truncate(1 << 30)
        file.seek(0, 2)
        file.write(b"\n2026-11-21T10:58:31.123Z WARN  slow read\nplain words\n")
    tail = log_tail.read(path)
    assert [(line["level"], line["text"]) for line in tail.lines[-2:]] == [("WARN", "slow read"), ("", "plain words")]
    assert not tail.whole and "1.0 GiB" in tail.about
    assert len(log_tail.read(path, "Warnings").lines) == 1


@hypothesis_settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=40).map(lambda raw: raw.replace(b"\n", b"")), max_size=30))
def test_any_log_keeps_its_lines_and_their_places(tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]) -> None:
    path = tmp_path_factory.mktemp("log") / "a.log"
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(content)
    tail = log_tail.read(path)
    assert [line["text"] for line in tail.lines] == [raw.decode("utf-8", "replace") for raw in lines if raw]
    assert all(content[line["at"] :].startswith(raw) for line, raw in zip(tail.lines, [raw for raw in lines if raw], strict=True))


PIECES = st.sampled_from(["http://", "HTTPS://", "www.", "evil.example", "a@", "/", "http:\r//", ":", " ", ":small[]", "\n"]) | st.text(max_size=9)
LINK = re.compile(r"(https?://|www(?=\.))[-.\w]+|[-.\w+]+@[-\w]+(\.[-\w]+)+", re.IGNORECASE)
"""What mdast-util-gfm-autolink-literal makes a link of, in a piece of text whose escapes are read."""


@hypothesis_settings(max_examples=300, deadline=None)
@given(st.text(max_size=60) | st.lists(PIECES, max_size=12).map("".join))
def test_text_from_outside_stays_text(text: str) -> None:
    """Whatever Markdown, HTML or one of Streamlit's own directives begins with stands behind a backslash."""
    pieces = [""]
    for part in wording.plain(text).split(wording.APART):
        letters = iter(part)
        for letter in letters:
            assert letter not in "`*_{}[]()<>#+-.!|~$:&^=@/"
            pieces[-1] += next(letters) if letter == "\\" else letter
        pieces.append("")
    assert not [piece for piece in pieces if LINK.search(piece)]
    assert "".join(pieces).replace("  \n", "\n") == text.replace("\r", "").replace("  \n", "\n")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (wording.size(0), "0 B"), (wording.size(1536), "1.5 KiB"), (wording.size(5 << 40), "5.0 TiB"),
        (wording.duration(0.2), "200 ms"), (wording.duration(75), "1m 15s"),
        (wording.duration(7300), "2h 01m"), (wording.duration(None), "–"),
        (wording.count_of(1, "job"), "1 job"), (wording.count_of(1200, "job"), "1,200 jobs"),
    ],
)  # fmt: skip
def test_figures_in_words(said: str, expected: str) -> None:
    assert said == expected


def test_a_row_of_a_waiting_job_says_why_it_waits_and_with_which_priority(spool: Spool) -> None:
    job = spool.submit(Job("01M7YZ6HXDWKZ0NY9XTY10402E", "list", {}, clock.iso(clock.now_ms()), priority=3))
    done = archived(spool, 1)
    waits, ended = job_rows.rows(spool, [job, done], may_act=True)
    assert waits["note"] == "No worker is running on this queue: start one with python worker.py." and waits["priority"] == 3
    assert ended["note"] == "" and ended["priority"] is None


def test_a_page_far_down_a_long_queue_opens_only_what_it_shows(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.iso(clock.now_ms())
    ids = [spool.submit(Job(f"01M7YZ6HXDWKZ0NY9XTY1{number:05d}", "list", {}, now)).id for number in range(120)]
    old = archived(spool, 1)
    opened: list[Path] = []
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (opened.append(path), read(path))[1])
    second = job_search.page(spool, Filters(), 2)
    assert [job.id for job in second.jobs] == ids[50:100] and second.more
    assert len([path for path in opened if path.suffix == ".json"]) <= 51
    third = job_search.page(spool, Filters(), 3)
    assert [job.id for job in third.jobs] == [*ids[100:], old.id] and not third.more
