"""What becomes of files after their job: where done ones lie, what a job left, batches that were begun, jobs that fail one after the other."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from portal import clock, submission
from portal.cli import submit
from portal.errors import BadParameters, DiskNearlyFull, PortalError, TriggerNotFound
from portal.jobs import Job, Status
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import book, standing
from portal.triggers.folder import behind, left, moving
from tests.folders import STILL_S, Box, contents

Boxes = Callable[..., Box]


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    with ExitStack() as made:

        def make(on: dict[str, Any] | None = None, **changes: Any) -> Box:
            found = Box(tmp_path, on or {}, changes)
            made.callback(found.close)
            return found

        yield make


def test_what_has_been_done_is_not_taken_again_where_it_lies_in_the_watched_folder(boxes: Boxes, tmp_path: Path) -> None:
    box = boxes(engine="upload", params={"target": "s3://sales/", "done_folder": f"file://{tmp_path}/data/Watch/done/"})
    box.drop("a")
    box.drop("done/before")
    (job,) = box.settled()
    assert box.files(job) == {"a": "x"} and contents(box.watched) == {"done/before": "x"}


def _fail(*_: Any) -> None:
    raise DiskNearlyFull("The disk is nearly full.")


def cut_off(box: Box, monkeypatch: pytest.MonkeyPatch, *, moved: int) -> None:
    """Take what is there, and have it cut off when so many files were moved."""
    allowed, real = [None] * moved, moving.take

    def take(*given: Any) -> None:
        if not allowed:
            _fail()
        allowed.pop()
        real(*given)

    box.look()
    with monkeypatch.context() as patched:
        patched.setattr(moving, "take", take)
        patched.setattr(box.spool, "submit", _fail)
        with pytest.raises(DiskNearlyFull):
            box.look(STILL_S + 1)
    assert len(box.manifests()) == 1


def edited(box: Box, folder: Path) -> None:
    """Have the trigger watch another folder."""
    folder.mkdir()
    on = {"folder": f"file://{folder}/", "still_s": STILL_S}
    box.trigger = book.save(box.settings, box.trigger.model_copy(update={"on": on}), by="bob")
    box.watched, box.watch = folder, box.fresh_watch()


@pytest.mark.parametrize("moved", [0, 1, 3])
def test_a_batch_whose_folder_is_gone_goes_on_with_what_was_moved(boxes: Boxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    box = boxes()
    for name in "abc":
        box.drop(f"in/{name}", name)
    cut_off(box, monkeypatch, moved=moved)
    shutil.rmtree(box.watched)
    edited(box, tmp_path / "data" / "New")
    box.drop("d", "d")
    jobs = box.settled()
    wanted = [dict(list({f"in/{name}": name for name in "abc"}.items())[:moved])] if moved else []
    assert [box.files(job) for job in jobs] == [*wanted, {"d": "d"}]
    assert box.manifests() == [] and not box.problem()


def test_a_file_that_cannot_go_back_is_told_and_keeps_no_other_waiting(boxes: Boxes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes()
    old = box.watched
    box.drop("a")
    cut_off(box, monkeypatch, moved=1)
    (name,) = box.manifests()
    (box.queued / name.removesuffix(".json") / "a").write_text("written on after it was moved")
    shutil.rmtree(old)
    edited(box, tmp_path / "data" / "New")
    box.drop("b", "b")
    assert [box.files(job) for job in box.settled()] == [{"b": "b"}] and box.manifests() == [name]
    assert "a has to go back to the folder that it came from, and that is gone" in box.problem()
    old.mkdir()
    box.look(10)
    assert contents(old) == {"a": "written on after it was moved"} and box.manifests() == []
    box.look(10)
    assert not box.problem()


def test_a_manifest_that_cannot_be_read_keeps_nothing_else_back(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes()
    box.drop("a", "a")
    cut_off(box, monkeypatch, moved=1)
    (box.watch.home.batches / f"{'0' * 26}.json").write_text("{")
    box.drop("b", "b")
    for _ in range(3):
        with pytest.raises(PortalError, match="cannot be read"):
            box.look(STILL_S + 1)
    assert [box.files(job) for job in box.jobs()] == [{"a": "a"}, {"b": "b"}]


def failing(box: Box, monkeypatch: pytest.MonkeyPatch, looks: int, number: int = 30) -> list[float]:
    """Drop files whose jobs fail at once; returns when jobs were made, in seconds. The clocks of the wall and of the looks go together."""
    start = clock.now_ms() - int(box.now * 1000)
    monkeypatch.setattr(clock, "now_ms", lambda: start + int(box.now * 1000))
    for name in range(number):
        box.drop(f"{name:02}.csv")
    made = []
    for _ in range(looks):
        box.look(2)
        for job in box.jobs():
            made.append(box.now)
            box.end(job, Status.FAILED)
    return made


@pytest.mark.parametrize("overlap", ["skip", "allow"])
def test_files_wait_where_they_are_while_jobs_fail_one_after_the_other(boxes: Boxes, monkeypatch: pytest.MonkeyPatch, overlap: str) -> None:
    box = boxes({"max_files": 1}, overlap=overlap)
    made = failing(box, monkeypatch, 400, number=12)
    first = 12 if overlap == "allow" else 1  # those that are made before one has failed
    assert made.count(made[0]) == first
    if overlap == "skip":
        assert [round(after - before, -1) for before, after in pairwise(made)] == [20, 40, 80, 160, 320]
        told = box.fresh_watch().home.state.told
        assert told["failed_jobs"] == 6 and told["next_at"] > clock.iso(clock.now_ms())
        assert "The latest 6 jobs failed one after the other: files wait in the folder" in box.problem()
        assert len(contents(box.watched)) == 12 - len(made) and told["waiting"] == 12 - len(made)


def test_jobs_side_by_side_that_fail_together_are_one_failure_and_one_is_tried(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes({"max_files": 1}, overlap="allow")
    assert len(failing(box, monkeypatch, 5, number=3)) == 3
    for name in "abc":
        box.drop(name)
    for _ in range(15):
        box.look(2)
    (job,) = box.jobs()
    assert "The latest job failed" in box.problem()
    box.look(100)
    assert box.jobs() == [job], "the one that is tried has not ended"
    box.end(job, Status.SUCCEEDED)
    box.look(10)
    assert len(box.jobs()) == 2 and "latest" not in box.problem()


def test_who_runs_or_edits_a_trigger_whose_jobs_fail_has_it_tried_at_once(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes({"max_files": 1}, overlap="skip")
    failing(box, monkeypatch, 60)
    assert box.look(2) and box.jobs() == []
    book.ask(box.spool.layout, "sales", "ann")
    box.look(2)
    (job,) = box.jobs()
    assert not book.is_asked(box.spool.layout, "sales")
    box.end(job, Status.FAILED)
    box.look(2)
    assert box.jobs() == []
    book.save(box.settings, box.trigger.model_copy(update={"priority": 1}), by="ann")
    box.watch = box.fresh_watch()
    assert [job.priority for job in box.settled()] == [1]


UPLOAD: dict[str, Any] = {"engine": "upload", "params": {"target": "s3://sales/"}}


@pytest.mark.parametrize(
    ("changes", "told"), [(UPLOAD, True), ({**UPLOAD, "params": {"target": "s3://sales/", "after": "keep"}}, False), ({}, False)]
)
def test_files_that_a_job_left_though_it_succeeded_are_told_where_it_empties_its_folder(boxes: Boxes, changes: dict[str, Any], told: bool) -> None:
    box = boxes(**changes)
    box.drop("b.txt")
    (job,) = box.settled()
    box.end(job, Status.SUCCEEDED)
    box.look(61)
    assert box.left() == ({left.LEFT_OUT: [f"b.txt of job {job.id}, in QueuedForUpload"]} if told else {})
    assert bool(box.problem()) is told


@pytest.mark.parametrize(
    ("counts", "why"), [({"left": 1}, left.LEFT_OUT), ({"left": 1, "failed": 1}, left.BEHIND), ({"stayed": 1}, left.BEHIND), ({}, left.BEHIND)]
)
def test_a_retry_is_advised_and_made_where_it_may_help(
    boxes: Boxes, capsys: pytest.CaptureFixture[str], counts: dict[str, int], why: str
) -> None:  # fmt: skip
    box = boxes(**UPLOAD)
    box.drop("b.txt")
    (job,) = box.settled()
    box.end(job.evolve(result={"counts": {"listed": 2, "copied": 1, **counts}}), Status.PARTIAL)
    box.look(61)
    assert list(box.left()) == [why]
    assert retried(box, capsys) == ([job.id] if why == left.BEHIND else [])


def test_what_failed_is_told_however_many_older_folders_there_are(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(behind, "MOST", 20)
    monkeypatch.setattr(behind, "NEWEST", 5)
    box = boxes(**UPLOAD)
    asked: list[str] = []
    find = box.spool.find
    monkeypatch.setattr(box.spool, "find", lambda job_id: asked.append(job_id) or find(job_id))
    old = [f"{number:026}" for number in range(100)]
    for name in old:
        (box.queued / name).mkdir(parents=True)
        (box.queued / name / "a").touch()
    box.drop("a.csv")
    (job,) = box.settled()
    box.end(job, Status.FAILED)
    box.look(61)
    assert box.left()[left.BEHIND] == [f"a.csv of job {job.id}, in QueuedForUpload"]
    most = 0
    for _ in range(6):  # every folder has its turn, a bounded number in one look
        asked.clear()
        box.look(61)
        most = max(most, len([name for name in asked if name in old]))
    (none,) = (item for item in box.fresh_watch().home.state.told["left"] if item["why"] == left.NO_JOB)
    assert none["count"] == 100 and 20 <= most <= 25
    for name in old:
        shutil.rmtree(box.queued / name)
    box.look(61)
    assert list(box.left()) == [left.BEHIND]


def test_a_paused_trigger_tells_what_its_last_job_left_behind(boxes: Boxes) -> None:
    box = boxes()
    box.drop("a")
    (job,) = box.settled()
    book.pause(box.spool.layout, "sales", "ann")
    box.watch = box.fresh_watch()
    box.drop("b")
    box.look(10)
    assert not box.problem()
    box.end(job, Status.FAILED)
    assert 5 <= box.look(61) <= 60
    assert f"a of job {job.id}" in box.problem() and contents(box.watched) == {"b": "x"}
    assert [item.kind for item in standing.troubles(box.spool.layout) if item.name == "sales"] == ["trigger-problem"]
    shutil.rmtree(box.watched)
    shutil.rmtree(box.queued)
    box.look(61)
    assert not box.problem()


def retried(box: Box, capsys: pytest.CaptureFixture[str], *more: str) -> list[str]:
    """Which jobs `retry --trigger` retries."""
    assert submit.retry(["--trigger", "sales", *more], box.settings) == 0
    return [str(again.retry_of) for text in capsys.readouterr().out.split() if (again := box.spool.find(text))]


def test_everything_of_a_trigger_that_failed_is_retried_with_one_command(boxes: Boxes, capsys: pytest.CaptureFixture[str]) -> None:
    box = boxes({"max_files": 1})
    for name in "abcde":
        box.drop(name)
    failed, partial, _, emptied, _ = jobs = box.settled()
    ends = (Status.FAILED, Status.PARTIAL, Status.SUCCEEDED, Status.REJECTED, Status.CANCELLED)
    for job, status in zip(jobs, ends, strict=True):
        box.end(job, status)
    (box.queued / emptied.id / next(iter(box.files(emptied)))).unlink()
    assert retried(box, capsys) == [failed.id, partial.id]
    assert retried(box, capsys) == [], "their retries have not ended"
    again = {str(job.retry_of): job for job in box.jobs()}
    box.end(again[failed.id], Status.FAILED)
    box.end(again[partial.id], Status.SUCCEEDED)
    assert retried(box, capsys, "--since", "1d") == [again[failed.id].id], "the latest of its chain, and nothing that succeeded in the end"


def test_one_that_can_be_retried_no_more_keeps_no_other_from_it(
    boxes: Boxes, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    box = boxes({"max_files": 1})
    box.drop("a")
    box.drop("b")
    first, second = box.settled()
    for job in (first, second):
        box.end(job, Status.FAILED)
    real = submission.retry

    def retry(settings: Settings, spool: Spool, job_id: str, **named: Any) -> Job:
        if job_id == first.id:
            raise BadParameters("There is no connection 'gone'.")
        return real(settings, spool, job_id, **named)

    monkeypatch.setattr(submission, "retry", retry)
    assert submit.retry(["--trigger", "sales"], box.settings) == 1
    out, err = capsys.readouterr()
    assert f"{first.id}: There is no connection 'gone'." in err
    assert [job.retry_of for job in box.jobs()] == [second.id] and out.strip() == box.jobs()[0].id


def test_what_cannot_be_retried_by_trigger_is_said(boxes: Boxes, capsys: pytest.CaptureFixture[str]) -> None:
    box = boxes()
    assert submit.retry(["--trigger", "sales"], box.settings) == 0
    assert "No job of the trigger sales has anything left" in capsys.readouterr().err
    assert submit.retry(["--trigger", "sales", "--json"], box.settings) == 0
    assert capsys.readouterr().out.strip() == "[]"
    with pytest.raises(TriggerNotFound, match="'sale'"):
        submit.retry(["--trigger", "sale"], box.settings)
    for wrong in ([], ["0" * 26, "--trigger", "sales"], ["0" * 26, "--since", "1d"]):
        with pytest.raises(SystemExit):
            submit.retry(wrong, box.settings)
