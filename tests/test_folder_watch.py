"""A watched folder from the file that is dropped to the job in the queue: what is taken and when, and what is told of the rest."""

from __future__ import annotations

import errno
import json
import os
import select
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from ulid import ULID

from portal import clock
from portal.errors import AccessDenied, BadParameters, DiskNearlyFull, NotFound, PortalError
from portal.jobs import Status
from portal.spool import disk, records
from portal.triggers import book, history
from portal.triggers.folder import left, moving, taking, watch
from portal.triggers.folder.lease import Lease, Writers
from tests.folders import STILL_S, Box, contents

Boxes = Callable[..., Box]

NOBODY = 65534


@pytest.fixture
def box(boxes: Boxes) -> Box:
    return boxes()


@pytest.fixture
def boxes(tmp_path: Path) -> Iterator[Boxes]:
    with ExitStack() as made:

        def make(on: dict[str, Any] | None = None, **changes: Any) -> Box:
            found = Box(tmp_path, on or {}, changes)
            made.callback(found.close)
            return found

        yield make


def happened(box: Box) -> list[history.Happened]:
    return history.events(box.spool.layout, "sales")


# What is taken


def test_still_files_become_one_job_with_their_names_kept(box: Box) -> None:
    dropped = {"a.csv": "1", "in/b\nc.csv": "22", "x" * 255: "333"}
    for name, content in dropped.items():
        box.drop(name, content)
    (job,) = box.settled()
    assert box.files(job) == dropped and contents(box.watched) == {} and box.manifests() == []
    assert job.params["source"] == f"file://{box.queued}/{job.id}/"
    assert job.submitted_by == "trigger:sales" and job.labels == {"name": "sales", "trigger": "sales", "event": job.id}
    (event,) = happened(box)
    assert (event.outcome, event.job, event.event, event.reason) == ("submitted", job.id, job.id, "3 files, 6 bytes")


def test_a_follow_up_may_quote_the_files(boxes: Boxes) -> None:
    box = boxes(then=[{"engine": "list", "params": {"source": {"$event": "/source"}}}])
    box.drop("a")
    (job,) = box.settled()
    assert job.then[0].params["source"] == f"file://{box.queued}/{job.id}/"


def test_a_file_that_changes_is_taken_when_it_has_been_still(box: Box) -> None:
    path = box.drop("a.csv", "1")
    box.look()
    box.look(STILL_S - 1)
    path.write_text("12")
    box.look(STILL_S - 1)
    assert box.jobs() == []
    path.write_text("13")
    os.utime(path, ns=(0, 0))  # even who sets the time back is seen to have written
    box.look(2)
    path.write_text("14")
    os.utime(path, ns=(0, 0))
    box.look(STILL_S - 1)
    assert box.jobs() == []
    box.look(STILL_S + 1)
    assert [box.files(job) for job in box.jobs()] == [{"a.csv": "14"}]


@pytest.mark.parametrize("moment", [0, 4_000_000_000])
def test_a_files_own_time_does_not_matter(box: Box, moment: int) -> None:
    os.utime(box.drop("a"), (moment, moment))
    box.look()
    assert box.jobs() == [] and len(box.settled()) == 1


def test_a_clock_that_is_set_back_does_not_matter(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    real = clock.now_ms
    box.drop("a")
    box.look()
    monkeypatch.setattr(clock, "now_ms", lambda: real() - 400 * 86_400_000)
    box.look(STILL_S + 1)
    (first,) = box.jobs()
    box.drop("a", "again")
    box.settled()
    assert sorted(contents(box.queued).values()) == ["again", "x"] and len({job.id for job in box.jobs()} | {first.id}) == 2


def test_nobody_has_to_be_still_who_leaves_a_marker(boxes: Boxes) -> None:
    box = boxes({"ready": "marker"})
    box.drop("a.csv", "1", done=True)
    box.drop("b.csv", "2")
    box.look()
    (job,) = box.jobs()
    assert box.files(job) == {"a.csv": "1"} and sorted(contents(box.watched)) == ["b.csv"], "the marker goes after its file"
    (box.watched / "b.csv.done").touch()
    box.look()
    assert len(box.jobs()) == 2 and contents(box.watched) == {}


def test_a_job_gets_at_most_so_many_files_the_oldest_first(boxes: Boxes) -> None:
    box = boxes({"max_files": 2})
    for number, name in enumerate("edcba"):
        os.utime(box.drop(name), (number, number))
    jobs = box.settled()
    assert [sorted(box.files(job)) for job in jobs] == [["d", "e"], ["b", "c"], ["a"]]


@pytest.mark.parametrize("overlap", ["skip", "wait"])
def test_the_next_batch_waits_in_the_folder_until_the_job_before_has_ended(boxes: Boxes, overlap: str) -> None:
    box = boxes({"max_files": 1}, overlap=overlap)
    box.drop("a")
    box.drop("b")
    (first,) = box.settled()
    assert box.look() <= 1, "the end of a job makes no event"
    assert len(contents(box.watched)) == 1 and box.jobs() == [first]
    box.watch.close()
    box.watch = box.fresh_watch()  # a service that was started anew knows of the job, too
    assert len(box.settled()) == 1
    box.end(first)
    box.look(2)
    assert len(box.jobs()) == 1 and contents(box.watched) == {} and [item.outcome for item in happened(box)] == ["submitted"] * 2


def test_the_empty_folder_of_an_ended_job_is_removed_and_what_an_engine_left_stays(boxes: Boxes) -> None:
    box = boxes(overlap="skip")
    box.drop("in/a")
    (job,) = box.settled()
    (box.queued / job.id / "in" / "a").unlink()
    box.end(job)
    box.look(2)
    assert not (box.queued / job.id).exists()
    box.drop("b")
    (other,) = box.settled()
    box.end(other)
    box.look(2)
    assert box.files(other) == {"b": "x"}


def test_a_look_that_has_been_busy_for_long_goes_on_in_the_next(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes({"max_files": 1})
    for name in "abc":
        box.drop(name)
    box.look()
    monkeypatch.setattr(watch, "_BUSY_S", -1)
    assert [box.look(STILL_S + 1), len(box.jobs())] == [0, 1]
    assert [box.look(), len(box.jobs())] == [0, 2]


# Who still writes


def test_a_file_somebody_has_open_for_writing_is_not_taken_however_still_it_is(box: Box) -> None:
    path = box.drop("a", "half")
    with path.open("a") as writer:
        assert box.settled() == [] and box.left() == {left.OPEN: ["a"]} and not box.problem()
        writer.write(" and half")
    box.look(STILL_S + 1)
    box.look(STILL_S + 1)
    assert [box.files(job) for job in box.jobs()] == [{"a": "half and half"}]


def test_a_marker_does_not_make_a_file_complete_that_is_being_written(boxes: Boxes) -> None:
    box = boxes({"ready": "marker"})
    path = box.drop("a", done=True)
    with path.open("a"):
        box.look()
        assert box.jobs() == [] and sorted(contents(box.watched)) == ["a", "a.done"]
    box.look(3)
    assert len(box.jobs()) == 1 and contents(box.watched) == {}


def test_who_opens_a_file_while_it_is_moved_gets_it_back(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """The opener waits in the kernel until the lease is given back; a thread, because open(2) of the file would wait for ourselves."""
    path = box.drop("a", "first")
    real, opener = taking.beneath.rename_new, []

    def opened_meanwhile(source: int, name: str, target: int, fresh: str) -> None:
        if not opener:
            opener.append(os.fork())
            if not opener[0]:
                with path.open("a") as file:
                    file.write(" second")
                os._exit(0)
            deadline = time.monotonic() + 10
            while "lease" not in _waits_for(opener[0]) and time.monotonic() < deadline:
                time.sleep(0.005)
        real(source, name, target, fresh)

    monkeypatch.setattr(taking.beneath, "rename_new", opened_meanwhile)
    # The second look at what was moved would find the writer, too, but only if that is quick.
    monkeypatch.setattr(moving, "_why_not_there", lambda there, file, _: "" if file.name in os.listdir(there) else left.GONE)
    box.look()
    began = time.monotonic()
    box.look(STILL_S + 1)
    assert os.waitpid(opener[0], 0)[1] == 0
    assert time.monotonic() - began < 30, "the opener waited until the kernel took the lease away, after 45 s: it was not given back"
    assert contents(box.watched) == {"a": "first second"} and contents(box.queued) == {} and box.jobs() == [] and box.manifests() == []
    assert records.names(box.queued) == [], "no empty folder is left of it"
    monkeypatch.undo()
    box.settled()
    assert [box.files(job) for job in box.jobs()] == [{"a": "first second"}]


def _waits_for(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/wchan").read_text() + Path(f"/proc/{pid}/stack").read_text()
    return ""


@pytest.mark.parametrize("taken", [False, True])
def test_a_file_put_in_the_place_of_another_while_that_is_moved_goes_back(box: Box, monkeypatch: pytest.MonkeyPatch, taken: bool) -> None:
    path = box.drop("report.csv", "old")
    real = taking.beneath.rename_new
    fresh = box.drop(".new", "new")

    def replaced_meanwhile(source: int, name: str, target: int, final: str) -> None:
        if fresh.exists():
            fresh.rename(path)
            real(source, name, target, final)
            if taken:
                path.write_text("third")
        else:
            real(source, name, target, final)

    monkeypatch.setattr(taking.beneath, "rename_new", replaced_meanwhile)
    box.look()
    box.look(STILL_S + 1)
    assert box.jobs() == []
    assert contents(box.watched) == ({"report.csv": "third", "report~1.csv": "new"} if taken else {"report.csv": "new"})
    box.settled()
    assert sorted(contents(box.queued).values()) == (["new", "third"] if taken else ["new"])


def test_a_file_that_vanishes_while_it_is_taken_is_no_problem(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("a")
    box.drop("b")
    begin = watch.recovery.begin

    def vanishing(*arguments: Any) -> None:
        begin(*arguments)
        (box.watched / "a").unlink(missing_ok=True)

    monkeypatch.setattr(watch.recovery, "begin", vanishing)
    (job,) = box.settled()
    assert box.files(job) == {"b": "x"} and happened(box)[0].reason == "1 file, 1 byte" and not box.problem()


def test_without_a_file_there_is_no_job_and_no_trace(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("in/a")
    begin = watch.recovery.begin

    def vanishing(*arguments: Any) -> None:
        begin(*arguments)
        (box.watched / "in" / "a").unlink(missing_ok=True)
        (box.watched / "in").rmdir()

    monkeypatch.setattr(watch.recovery, "begin", vanishing)
    assert box.settled() == [] and box.manifests() == [] and records.names(box.queued) == [] and happened(box) == []


def test_where_nobody_can_be_asked_who_writes_stillness_decides_and_that_is_told(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(taking, "Lease", _NoLease)
    box.drop("a")
    assert len(box.settled()) == 1 and box.left() == {} and not box.problem()
    told = []
    monkeypatch.setattr(left.Left, "add", lambda _, why, name, job="": told.append((why, name)))
    box.drop("b")
    box.settled()
    assert (left.UNSURE, "b") in told


class _NoLease(Lease):
    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor)
        self.writers = Writers.UNKNOWN


# Another user's folder


@contextmanager
def as_nobody() -> Iterator[None]:
    """As a user who may not do everything, like the portal's."""
    if os.geteuid():
        yield
        return
    os.setegid(NOBODY)
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)
        os.setegid(0)


@pytest.fixture
def own_box() -> Iterator[Box]:
    """A home of the user that `as_nobody` is."""
    with tempfile.TemporaryDirectory(prefix="portal-test-") as name:
        if not os.geteuid():
            os.chown(name, NOBODY, NOBODY)
        with as_nobody():
            found = Box(Path(name) / "home")
        yield found
        found.close()


def test_a_folder_that_may_not_be_changed_keeps_its_files_and_that_is_a_problem(own_box: Box) -> None:
    with as_nobody():
        own_box.drop("open/a")
        own_box.drop("closed/b")
        (own_box.watched / "closed").chmod(0o555)
        (job,) = own_box.settled()
        assert own_box.files(job) == {"open/a": "x"} and own_box.left() == {left.READ_ONLY: ["closed/b"]}
        assert "closed/b, because its folder may not be changed" in own_box.problem()
        (own_box.watched / "closed").chmod(0o755)
        assert len(own_box.settled()) == 2 and not own_box.problem()


@pytest.mark.skipif(os.geteuid() != 0, reason="files of another user cannot be made")
def test_files_that_this_user_may_not_read_or_move_stay(own_box: Box) -> None:
    for name, mode in (("secret", 0o600), ("sticky/theirs", 0o644), ("theirs", 0o644)):
        path = own_box.watched / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("x")
        path.chmod(mode)
    (own_box.watched / "sticky").chmod(0o1777)
    with as_nobody():
        (job,) = own_box.settled()
        assert own_box.files(job) == {"theirs": "x"}, "a file of another user can be moved and not leased"
        own_box.look(30)
        own_box.look(30)
        assert own_box.left() == {left.UNREADABLE: ["secret"], left.READ_ONLY: ["sticky/theirs"]}
        assert own_box.manifests() == []


def test_a_folder_that_cannot_be_read_at_all_is_told_and_comes_back(own_box: Box) -> None:
    with as_nobody():
        own_box.watched.chmod(0)
        with pytest.raises(AccessDenied, match="may not be read"):
            own_box.look()
        own_box.watched.chmod(0o755)
        own_box.drop("a")
        assert len(own_box.settled()) == 1


# What is wrong


def test_a_folder_that_is_gone_is_told(box: Box) -> None:
    box.watched.rmdir()
    with pytest.raises(NotFound, match="There is no folder"):
        box.look()
    box.watched.mkdir()
    box.drop("a")
    assert len(box.settled()) == 1


def test_a_folder_to_wait_in_on_another_file_system_is_refused(boxes: Boxes, tmp_path: Path) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        if os.stat(elsewhere).st_dev == tmp_path.stat().st_dev:
            pytest.skip("there is one file system")
        box = boxes()
        box.watch.ctx.settings.__dict__["local_roots"] = (tmp_path, Path(elsewhere))
        box.watch.trigger = box.trigger.model_copy(update={"on": {**box.trigger.on, "queued": f"file://{elsewhere}/"}})
        box.drop("a")
        with pytest.raises(PortalError, match="different file systems"):
            box.look()
        assert contents(box.watched) == {"a": "x"}


def test_nothing_is_moved_while_no_job_can_be_made_of_it(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("a")
    box.look()
    monkeypatch.setattr(disk, "refuse_when_full", _refuse)
    with pytest.raises(DiskNearlyFull):
        box.look(STILL_S + 1)
    monkeypatch.undo()
    box.watch.trigger = box.trigger.model_copy(update={"params": {"target": "nowhere"}})
    with pytest.raises(BadParameters):
        box.look(STILL_S + 1)
    assert contents(box.watched) == {"a": "x"} and contents(box.queued) == {} and box.manifests() == []
    box.watch.trigger = box.trigger
    box.look(STILL_S + 1)
    assert len(box.jobs()) == 1


def _refuse(*_: Any) -> None:
    raise DiskNearlyFull("The disk is nearly full.")


def test_files_whose_job_was_refused_wait_for_it_and_lose_nothing(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("a")
    box.look()
    monkeypatch.setattr(box.spool, "submit", _refuse)
    for _ in range(3):
        with pytest.raises(DiskNearlyFull):
            box.look(STILL_S + 1)
    assert len(box.manifests()) == 1 and list(contents(box.queued).values()) == ["x"]
    monkeypatch.undo()
    box.look()
    (job,) = box.jobs()
    assert box.files(job) == {"a": "x"} and box.manifests() == []


def test_a_manifest_that_cannot_be_read_is_told_with_what_to_do(box: Box) -> None:
    folder = box.watch.home.make_batches()
    (folder / f"{'0' * 26}.json").write_text("{")
    with pytest.raises(PortalError, match="cannot be read") as told:
        box.look()
    assert "back into the watched folder" in told.value.hint


def test_a_marker_that_may_not_be_removed_is_told_and_its_file_goes_on(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes({"ready": "marker"})
    box.drop("a", done=True)

    def refused(*_: Any) -> None:
        raise PermissionError("not yours")

    monkeypatch.setattr(moving, "remove_marker", refused)
    box.look()
    assert len(box.jobs()) == 1 and box.left() == {left.MARKER_STAYS: ["a.done"]} and "a.done" in box.problem()


def test_the_marker_of_a_later_file_is_not_taken_for_that_of_the_earlier_one(boxes: Boxes, monkeypatch: pytest.MonkeyPatch) -> None:
    box = boxes({"ready": "marker"})
    box.drop("a", "first", done=True)
    real = moving._remove_markers

    def meanwhile(*arguments: Any) -> None:
        monkeypatch.undo()
        box.drop("a", "second", done=True)
        real(*arguments)

    monkeypatch.setattr(moving, "_remove_markers", meanwhile)
    box.look()
    box.look(3)
    assert [box.files(job) for job in box.jobs()] == [{"a": "first"}, {"a": "second"}] and contents(box.watched) == {}


def test_a_file_that_cannot_be_moved_does_not_keep_the_others_back(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("a")
    box.drop("b")
    real, tried = taking.beneath.rename_new, []

    def busy(source: int, name: str, target: int, fresh: str) -> None:
        if name == "a":
            tried.append(box.now)
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        real(source, name, target, fresh)

    monkeypatch.setattr(taking.beneath, "rename_new", busy)
    (job,) = box.settled()
    assert box.files(job) == {"b": "x"} and "cannot be moved" in box.problem()
    for _ in range(40):
        box.look(10)
    assert 3 <= len(tried) <= 10, "ever later"


def test_what_stays_is_told_once_and_goes_on_being_told(box: Box, caplog: pytest.LogCaptureFixture) -> None:
    (box.watched / "link").symlink_to("/etc/passwd")
    box.settled()
    since = box.problem_since()
    for name in "abc":
        box.drop(name)
        box.settled()
    assert len(box.jobs()) == 3 and box.problem_since() == since and caplog.text.count("because it is a symbolic link") == 1
    (box.watched / "link").unlink()
    box.look(10)
    assert not box.problem()


@pytest.mark.parametrize(("status", "told"), [(Status.FAILED, True), (Status.CANCELLED, True), (Status.SUCCEEDED, False)])
def test_what_a_job_left_behind_is_told(box: Box, status: Status, told: bool) -> None:
    for name in ("d", "in/a\nb", "c", "b"):
        box.drop(name)
    (job,) = box.settled()
    box.end(job, status)
    box.look(100)
    files = f"b, c, d, … of job {job.id}, in QueuedForUpload"
    assert box.left() == ({left.BEHIND: [files]} if told else {})
    assert box.problem() == (f"Taken and left behind: {files}, because the job ended without them: retry it, or move them back into the watched "
                             "folder." if told else "")  # fmt: skip
    assert [item["jobs"] for item in box.fresh_watch().home.state.told["left"]] == ([[job.id]] if told else [])
    shutil.rmtree(box.queued / job.id)
    box.look(100)
    assert box.left() == {} and not box.problem()


@pytest.mark.parametrize("engine", ["upload", "list"])
def test_files_whose_job_is_nowhere_are_told_where_jobs_leave_none(boxes: Boxes, engine: str) -> None:
    box = boxes(engine=engine, params={"target": "s3://sales/"}) if engine == "upload" else boxes()
    for name in ("0" * 26, str(ULID()), "somebodys"):  # an old one, one that another trigger may be filling now, one that is no job's
        (box.queued / name).mkdir(parents=True)
        (box.queued / name / "a").touch()
    box.look()
    assert box.left() == ({left.NO_JOB: [f"a of job {'0' * 26}, in QueuedForUpload"]} if engine == "upload" else {})


# Paused, asked, removed


def test_a_paused_trigger_takes_nothing_until_somebody_asks_and_then_once(box: Box) -> None:
    book.pause(box.spool.layout, "sales", "ann")
    box.watch = box.fresh_watch()
    box.drop("a")
    assert box.settled() == []
    book.ask(box.spool.layout, "sales", "ann")
    box.look()
    assert box.jobs() == [] and box.watch.home.asked(), "a file is as still as ever"
    box.look(STILL_S + 1)
    assert len(box.jobs()) == 1 and not box.watch.home.asked()
    box.drop("b")
    assert len(box.settled()) == 1


def test_a_wish_to_run_now_is_done_when_nothing_is_there_to_be_taken(box: Box) -> None:
    book.ask(box.spool.layout, "sales", "ann")
    box.look()
    assert box.watch.home.asked()
    box.look(STILL_S + 1)
    assert not box.watch.home.asked() and happened(box) == []


@pytest.mark.parametrize("submitted", [False, True])
def test_a_removed_trigger_gives_back_what_has_no_job(box: Box, monkeypatch: pytest.MonkeyPatch, submitted: bool) -> None:
    box.drop("in/a", "1")
    box.look()
    if submitted:
        monkeypatch.setattr(watch.recovery, "end", _refuse)
    else:
        monkeypatch.setattr(box.spool, "submit", _refuse)
    with pytest.raises(DiskNearlyFull):
        box.look(STILL_S + 1)
    monkeypatch.undo()
    book.remove(box.spool.layout, "sales")
    (gone,) = (box.spool.layout.triggers / name for name in records.names(box.spool.layout.triggers) if name.startswith(".removed-"))
    box.watch.home.place = gone
    box.watch.home.__dict__.pop("path")
    box.watch.settle()
    assert not book.has_begun(gone)
    if submitted:
        assert contents(box.watched) == {} and [box.files(job) for job in box.jobs()] == [{"in/a": "1"}]
    else:
        assert contents(box.watched) == {"in/a": "1"} and box.jobs() == [] and records.names(box.queued) == []


def test_a_trigger_made_anew_under_the_name_gives_back_what_is_not_its_own(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    box.drop("a")
    box.look()
    monkeypatch.setattr(box.spool, "submit", _refuse)
    with pytest.raises(DiskNearlyFull):
        box.look(STILL_S + 1)
    monkeypatch.undo()
    (path,) = box.watch.home.batches.iterdir()
    path.write_text(json.dumps({**json.loads(path.read_text()), "uid": "another"}))
    box.look()
    assert contents(box.watched) == {"a": "x"} and box.jobs() == [] and box.manifests() == []


# Waking


def test_a_dropped_file_wakes_the_service_and_a_flood_does_not_keep_it_busy(box: Box) -> None:
    (box.watched / "in").mkdir()
    assert box.look() == 5
    box.look(10)
    (descriptor,) = box.watch.descriptors
    assert not select.select([descriptor], [], [], 0)[0]
    box.drop("in/a")
    assert select.select([descriptor], [], [], 5)[0]
    assert 0 < box.watch.look(0) < 0.11, "looked at just now"
    assert not select.select([descriptor], [], [], 0)[0], "what was heard was read"
    assert box.look() == pytest.approx(STILL_S)
    box.watch.close()
    assert box.watch.descriptors == ()


def test_without_file_events_the_folder_is_looked_at_all_the_same(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: Any) -> None:
        raise OSError("no inotify instances are left")

    monkeypatch.setattr("portal.triggers.folder.hints.Inotify", none)
    assert box.look() == box.settings.poll_s and box.watch.descriptors == ()
    box.drop("a")
    assert len(box.settled()) == 1


def test_all_is_on_the_disk_before_the_job_is_promised(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, both folders and the job's folder are synced one by one for a few files, and the file system is for many."""
    synced: list[str] = []
    real = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    box.drop("in/a")
    box.look()
    monkeypatch.setattr(os, "fsync", noted)
    submit = box.spool.submit
    at_submit: list[int] = []
    monkeypatch.setattr(box.spool, "submit", lambda job: (at_submit.append(len(synced)), submit(job))[1])
    box.look(STILL_S + 1)
    (job,) = box.jobs()
    before = synced[: at_submit[0]]
    assert {f"{box.queued}/{job.id}/in/a", f"{box.queued}/{job.id}/in", f"{box.watched}/in"} <= set(before)
    whole: list[int] = []
    monkeypatch.setattr(moving.beneath, "sync_file_system", whole.append)
    for number in range(moving._FEW + 1):
        box.drop(str(number))
    box.settled()
    assert len(whole) == 1


def test_a_job_of_the_usual_engine_gets_its_folder(boxes: Boxes) -> None:
    """The parameters that the kind sets are those of the engine."""
    box = boxes(engine="upload", params={"target": "s3://sales/"})
    box.drop("a.csv")
    (job,) = box.settled()
    assert job.engine == "upload" and job.params["source"] == f"file://{box.queued}/{job.id}/"
    assert job.params["after"] == "move" and job.params["done_folder"] == f"file://{box.home}/data/UploadedToS3/"
