"""What becomes of messages that wait in a queue: one job at a time takes them, whatever dies in between."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from portal import clock
from portal.connections import S3Connection
from portal.errors import NotFound, PortalError
from portal.jobs import Job, Status
from portal.notices.sqs import NoticeQueue
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import book, failing, noticed, sqs, state
from portal.triggers.trigger import Trigger
from tests.queues import dies_at, unsynced
from tests.servers import Server
from tests.triggering import end_jobs, jobs_of, told, watch

AT = clock.parse_ms("2026-11-20T06:00:00.000Z")


@pytest.fixture
def spool(config: Settings, s3_server: Server) -> Spool:
    with (config.home / ".env").open("a") as file:
        file.write(f"AWS_ENDPOINT_URL={s3_server.url}\nAWS_ACCESS_KEY_ID=testing\nAWS_SECRET_ACCESS_KEY=testing-secret\n")
    return Spool(Settings(home=config.home, min_free_mb=0, min_free_inodes=0))


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk() -> Iterator[None]:
    with unsynced():
        yield


@pytest.fixture
def queue(s3_server: Server, unique: str) -> Iterator[NoticeQueue]:
    connection = S3Connection(endpoint_url=s3_server.url, access_key_id="testing", secret_access_key="testing-secret")  # type: ignore[arg-type]
    with NoticeQueue.open(connection, unique, create=True) as found:
        yield found


def made(spool: Spool, queue: str, **changes: Any) -> Trigger:
    params = {"target": f"file://{spool.settings.home}/data/in/"}
    given = {"kind": "sqs", "on": {"queue": queue, "poll_s": 10}, "engine": "download", "params": params}
    return book.save(spool.settings, Trigger(name="fetch", **{**given, **changes}), "ann")


def look(spool: Spool, after_s: float = 0.0) -> float:
    """A look by a service that has just begun."""
    found = watch(spool, book.load(spool.layout, "fetch"))
    try:
        return found.look(AT + int(after_s * 1000))
    finally:
        found.close()


def jobs(spool: Spool) -> list[Job]:
    return jobs_of(spool, "fetch")


def test_messages_that_wait_become_a_job_that_takes_them(spool: Spool, queue: NoticeQueue) -> None:
    made(spool, queue.name)
    assert look(spool) == 10 and jobs(spool) == []
    queue.send(["a", "b"])
    look(spool, 10)
    (job,) = jobs(spool)
    assert (job.engine, job.params["queue"], job.submitted_by) == ("download", queue.name, "trigger:fetch")
    assert (job.labels["trigger"], job.labels["event"]) == ("fetch", clock.iso(AT + 10_000))
    assert state.state(spool.layout, "fetch").told["waiting"] == 2
    assert queue.waiting() == 2, "the trigger takes no message into its hands"


def test_there_is_one_job_at_a_time(spool: Spool, queue: NoticeQueue) -> None:
    made(spool, queue.name)
    queue.send(["a"])
    for second in range(5):
        look(spool, second)
    assert len(jobs(spool)) == 1
    end_jobs(spool.settings)
    look(spool, 60)
    assert len(jobs(spool)) == 1, "messages still wait: the next one"
    assert [outcome for _, outcome in told(spool, "fetch")] == ["submitted", "submitted"]


def test_a_look_that_dies_anywhere_leaves_one_job(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs.SqsWatch, "_waiting", lambda *_: 3)  # no connection is shared with the process that dies
    number, died = 0, True
    while died:
        number += 1
        shutil.rmtree(spool.layout.triggers)
        spool.layout.make()
        end_jobs(spool.settings)
        made(spool, "q")
        died = dies_at(number, lambda: look(spool))
        look(spool, 10)
        assert len(jobs(spool)) == 1, f"died before call {number}"
    assert number > 10


def test_run_now_makes_a_job_though_nothing_waits_and_though_it_is_paused(spool: Spool, queue: NoticeQueue) -> None:
    made(spool, queue.name)
    book.pause(spool.layout, "fetch", "ann", "holiday")
    queue.send(["a"])
    look(spool)
    assert jobs(spool) == []
    book.ask(spool.layout, "fetch", "bob")
    look(spool, 1)
    look(spool, 2)
    assert len(jobs(spool)) == 1 and not book.is_asked(spool.layout, "fetch")


def test_a_queue_whose_jobs_fail_is_given_longer_and_longer_pauses(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqs.SqsWatch, "_waiting", lambda *_: 3)
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_ms", lambda: AT - 1)
        made(spool, "q")
    now_s, began = 0.0, []
    for _ in range(900):
        before = len(told(spool, "fetch"))
        look(spool, now_s)
        if len(told(spool, "fetch")) > before:
            began.append(now_s)
            (job,) = jobs(spool)
            ended = job.evolve(status=Status.FAILED, finished_at=clock.iso(AT + int(now_s * 1000)))
            end_jobs(spool.settings)
            path = spool.layout.archived(job.id, str(ended.finished_at))
            for old in spool.layout.archive.rglob(f"{job.id}.json"):
                old.unlink()
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(ended.to_json())
        now_s += 10
    pauses = [after - before for before, after in pairwise(began)]
    assert pauses[:6] == [20, 40, 80, 160, 320, 640]
    assert max(pauses) <= failing.LONGEST_S + 10
    assert "failed_jobs" in state.state(spool.layout, "fetch").told
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_ms", lambda: AT + int(now_s * 1000))
        made(spool, "other")
    before = len(told(spool, "fetch"))
    look(spool, now_s)
    assert len(told(spool, "fetch")) == before + 1, "it was changed since: perhaps it works now"


def ends_well(spool: Spool, now_s: float, **counts: int) -> None:
    """The job that waits."""
    (job,) = jobs(spool)
    ended = job.evolve(status=Status.SUCCEEDED, finished_at=clock.iso(AT + int(now_s * 1000)), result={"counts": counts})
    end_jobs(spool.settings)
    for old in spool.layout.archive.rglob(f"{job.id}.json"):
        old.unlink()
    path = spool.layout.archived(job.id, str(ended.finished_at))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(ended.to_json())


def began_at(spool: Spool, looks: int, **counts: int) -> list[float]:
    """When jobs began that end at once, in looks every ten seconds."""
    began = []
    for now_s in range(0, looks * 10, 10):
        look(spool, now_s)
        if jobs(spool):
            began.append(float(now_s))
            ends_well(spool, now_s, **counts)
    return began


def test_a_queue_whose_jobs_take_nothing_is_given_longer_and_longer_pauses(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine that takes no messages."""
    monkeypatch.setattr(sqs.SqsWatch, "_waiting", lambda *_: 3)
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_ms", lambda: AT - 1)
        made(spool, "q")
    began = began_at(spool, 900, listed=7)
    pauses = [after - before for before, after in pairwise(began)]
    assert pauses[:6] == [30, 50, 90, 170, 330, 650] and max(pauses) <= failing.LONGEST_S + 10
    found = state.state(spool.layout, "fetch").told
    assert found["idle_jobs"] >= 6 and clock.parse_ms(found["next_at"]) > AT
    assert dict(noticed.figures("sqs", found)).keys() == {"Messages, about", "Jobs in a row that took nothing", "Next job from"}
    before = len(told(spool, "fetch"))
    book.ask(spool.layout, "fetch", "bob")
    look(spool, 9000)
    ends_well(spool, 9000)
    look(spool, 9010)
    assert len(told(spool, "fetch")) == before + 2, "somebody ran it: perhaps it works now"
    ends_well(spool, 9010)
    look(spool, 9020)
    assert jobs(spool) == []
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_ms", lambda: AT + 9_025_000)
        made(spool, "q", engine="download")
    look(spool, 9030)
    assert len(jobs(spool)) == 1, "it was changed"


@pytest.mark.parametrize("left", [[3, 3], [9, 6, 3]])
def test_a_queue_whose_jobs_take_messages_is_given_no_pause(spool: Spool, monkeypatch: pytest.MonkeyPatch, left: list[int]) -> None:
    """Though as many come meanwhile, if the job says that it took some; and whatever it says, if fewer wait."""
    waiting = iter(left)
    monkeypatch.setattr(sqs.SqsWatch, "_waiting", lambda *_: next(waiting))
    with monkeypatch.context() as patched:
        patched.setattr(clock, "now_ms", lambda: AT - 1)
        made(spool, "q")
    assert began_at(spool, len(left), **({"messages": 3} if left[0] == left[-1] else {})) == [10.0 * n for n in range(len(left))]


def test_a_queue_that_is_not_there_is_an_error_that_says_so(spool: Spool, unique: str) -> None:
    made(spool, unique)
    with pytest.raises(NotFound, match=f"no queue '{unique}'"):
        look(spool)


def test_a_queue_that_is_made_later_is_found(spool: Spool, unique: str, s3_server: Server) -> None:
    found = watch(spool, made(spool, unique))
    with pytest.raises(PortalError):
        found.look(AT)
    connection = S3Connection(endpoint_url=s3_server.url, access_key_id="testing", secret_access_key="testing-secret")  # type: ignore[arg-type]
    with NoticeQueue.open(connection, unique, create=True) as queue:
        queue.send(["a"])
        found.look(AT + 1000)
    assert len(jobs(spool)) == 1
    found.close()


def test_the_watch_of_a_removed_home_changes_nothing(spool: Spool, queue: NoticeQueue, tmp_path: Path) -> None:
    made(spool, queue.name)
    found = watch(spool, book.load(spool.layout, "fetch"))
    queue.send(["a"])
    shutil.rmtree(spool.layout.triggers / "fetch")
    with pytest.raises(FileNotFoundError):
        found.look(AT)
    assert jobs(spool) == []
    found.close()
