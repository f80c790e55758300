"""Whatever a person or a restored backup does to the files: `check` names it, and repair and a worker bring every job to one place."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import check, clock, settings
from portal.check import Depth, Finding, inspecting
from portal.errors import BadJobFile
from portal.jobs import LATEST_MS, Attempt, Followup, Job, Status, derived_id
from portal.spool import Spool, claiming, records, settling
from portal.spool.finishing import finish, freeze
from tests.queues import a_job, soon, tidy_names, unsynced

ID = "[0-6][0-9A-HJKMNP-TV-Z]{25}"
PLACES = ("queue", "queue/delayed", "queue/running", "queue/keys", "queue/cancel", "queue/locks", "archive")


def end(spool: Spool, claim: claiming.Claim) -> None:
    """End a claimed job as its runner and a worker would."""
    job = claim.job
    folder = spool.folder(job.id)
    folder.mkdir(exist_ok=True)
    (folder / "report.txt").write_text("all of it")
    finish(spool.layout, freeze(spool.layout, job, Status.SUCCEEDED, None))
    claim.lock.remove()
    claim.let_go()


def drain(spool: Spool) -> None:
    """Take the turns of a worker, its engines ending at once, until nothing is left to do."""
    for _ in range(30):
        for job_id in records.running_ids(spool.layout):
            settling.settle(spool.layout, job_id)
        for job_id in records.names(spool.layout.cancel):
            settling.cancel_waiting(spool.layout, job_id)
        tidy_names(spool)
        claiming.promote(spool.layout, LATEST_MS)
        for claim in claiming.claims(spool.layout):
            end(spool, claim)


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same home at two moments: jobs that wait in the first have finished, failed once or started others in the second."""
    home = tmp_path_factory.mktemp("lives") / "home"
    home.mkdir()
    config = settings.load(home).model_copy(update={"min_free_mb": 0, "min_free_inodes": 0})
    spool = Spool(config)
    then = (Followup("act", {"n": 1}), Followup("act", {"n": 2}, then=(Followup("act", {"n": 3}),)))
    with unsynced():
        finished, retried, parent = (spool.submit(job) for job in (a_job(), a_job(key="k1"), a_job(then=then)))
        claims = {claim.job.id: claim for claim in claiming.claims(spool.layout)}
        end(spool, claims[finished.id])
        for claim in claims.values():
            claim.let_go()
        for job_id in records.running_ids(spool.layout):
            settling.settle(spool.layout, job_id)
        spool.submit(a_job(not_before=soon(600), key="k2"))
        shutil.copytree(home, home.with_name("earlier"))
        for claim in claiming.claims(spool.layout):
            if claim.job.id == parent.id:
                end(spool, claim)
            else:
                attempt = Attempt(1, "w", "h", clock.iso(clock.now_ms()), finished_at=clock.iso(clock.now_ms()), outcome="failed")
                records.save(spool.layout, claim.job.evolve(attempts=(attempt,)))
                records.put_back(spool.layout, claim.job, clock.now_ms() + 60_000)
                claim.lock.remove()
        cut_off = spool.submit(a_job(priority=0))
        next(claiming.claims(spool.layout)).let_go()
        running = a_job(id=cut_off.id).evolve(attempts=(Attempt(1, "w", "h", cut_off.submitted_at),), submitted_at=cut_off.submitted_at)
        records.save(spool.layout, running)
    assert {spool.find(job.id).status for job in (finished, parent)} == {Status.SUCCEEDED} and spool.find(retried.id).attempts  # type: ignore[union-attr]
    return home.with_name("earlier"), home


Act = tuple[Any, ...]
NAMES = st.sampled_from(["x.json", "notes.txt", "old.json.bak", "same", "other priority", "another job"])
ACTS = st.one_of(
    st.tuples(st.just("copy"), st.integers(0, 60), st.sampled_from(PLACES), NAMES),
    st.tuples(st.just("move"), st.integers(0, 60), st.sampled_from(PLACES), NAMES),
    st.tuples(st.just("truncate"), st.integers(0, 60), st.integers(0, 400)),
    st.tuples(st.just("delete"), st.integers(0, 60)),
    st.tuples(st.just("earlier"), st.sampled_from(["queue", "archive", "logs"]), st.booleans()),
)


def disorder(home: Path, earlier: Path, act: Act) -> None:
    """Do to a home what a person, or a backup that was put back, would do."""
    if act[0] == "earlier":
        if act[2]:
            shutil.rmtree(home / act[1])
        shutil.copytree(earlier / act[1], home / act[1], dirs_exist_ok=True)
        return
    found = [path for place in ("queue", "archive", "logs") for path in (home / place).rglob("*") if path.is_file()]
    files = sorted(path for path in found if "reserve" not in path.parts)
    path = files[act[1] % len(files)]
    if act[0] == "truncate":
        path.write_bytes(path.read_bytes()[: act[2]])
    elif act[0] == "delete":
        path.unlink()
    else:
        folder = home / act[2] if act[2] != "archive" else home / "archive" / f"{date.today() - timedelta(days=1):%Y/%m/%d}"
        folder.mkdir(parents=True, exist_ok=True)
        target = folder / _name(path, act[3])
        if target != path:
            shutil.copy(path, target) if act[0] == "copy" else path.replace(target)


def _name(path: Path, wish: str) -> str:
    found = re.search(ID, path.name)
    if wish == "other priority" and found:
        return f"2-{found[0]}.json"
    if wish == "another job":
        return re.sub(ID, a_job().id, path.name)
    return path.name if wish == "same" or "." not in wish else wish


# The oracle: told from the files alone, by other code than that of the portal


def content(path: Path) -> Job | None:
    try:
        job = Job.from_json(path.read_bytes())
    except (BadJobFile, OSError):
        return None
    return job if re.fullmatch(ID, job.id) else None


PATTERNS = {"": rf"[0-9]-({ID})\.json", "delayed": rf"[0-9]{{13,15}}-({ID})\.json", "running": rf"({ID})\.json"}
Told = dict[str, list[Path]]
Wrong = Iterator[tuple[str, Path | str]]


def inconsistent(home: Path) -> Wrong:
    """Yield what is inconsistent: why, and the path or the job that a finding must name."""
    told: Told = {}
    archived: Told = {}
    for folder, pattern in PATTERNS.items():
        for path in sorted(item for item in (home / "queue" / folder).glob("*") if not item.is_dir()):
            yield from _in_queue(path, folder, re.fullmatch(pattern, path.name), told)
    for path in sorted((home / "archive").glob("*/*/*/*")):
        yield from _in_archive(home, path, re.fullmatch(PATTERNS["running"], path.name), archived)
    for job_id in set(told) | set(archived):
        if len(archived.get(job_id, ())) > 1:
            yield "several records", job_id
        if len(told.get(job_id, ())) + bool(archived.get(job_id)) > 1:
            yield "in several places", job_id
    known = set(told) | set(archived)
    for paths in archived.values():
        if len(paths) == 1 and not (home / "queue/running" / paths[0].name).exists():
            yield from _children(paths[0], known)
    yield from _small(home, known, set(archived))


def _in_queue(path: Path, folder: str, found: re.Match[str] | None, told: Told) -> Wrong:
    if not found:
        yield "no name of a job", path
        return
    told.setdefault(found[1], []).append(path)
    job = content(path)
    if job is None or job.id != found[1]:
        yield "unreadable or misnamed", path
    elif folder == "running":
        yield "nobody runs it", path
    elif job.finished_at or job.open_attempt:
        yield "it does not wait", path


def _in_archive(home: Path, path: Path, found: re.Match[str] | None, archived: Told) -> Wrong:
    if not found:
        yield "no name of a record", path
        return
    archived.setdefault(found[1], []).append(path)
    job = content(path)
    if job is None or job.id != found[1] or not job.finished_at or job.finished_at[:10] != "-".join(path.parts[-4:-1]):
        yield "no record of that day", path
    elif any(not (home / "logs" / item["name"]).is_file() for item in job.artefacts):
        yield "a file of it is missing", path


def _children(path: Path, known: set[str]) -> Wrong:
    parent = content(path)
    if parent and parent.finished_at and parent.id == path.stem:
        for number, item in enumerate(parent.then):
            child = derived_id(parent.id, number, clock.parse_ms(parent.finished_at))
            if item.when.fires(parent.status) and child not in known:
                yield "never started", child


def _small(home: Path, known: set[str], archived: set[str]) -> Wrong:
    queue = home / "queue"
    keys = [path for path in (queue / "keys").glob("*") if (job := content(path)) is None or job.id not in known]
    markers = [path for path in (queue / "cancel").glob("*") if path.name in archived or path.name not in known]
    locks = [path for path in (queue / "locks").glob("*") if not (queue / f"running/{path.name}.json").exists()]
    for why, paths in (("a key of nothing", keys), ("a marker of nothing", markers), ("a lock of nothing", locks)):
        yield from ((why, path) for path in paths)
    for path in (home / "logs").glob("*"):
        if (found := re.match(ID, path.name)) and found[0] not in known:
            yield "files of nothing", found[0]


def named(found: list[Finding]) -> set[Path | str]:
    texts = [text for item in found for text in (item.what, item.path.name)]
    return {item.path for item in found} | {item.job_id or "" for item in found} | {job_id for text in texts for job_id in re.findall(ID, text)}


def readable(home: Path) -> set[str]:
    """Ids of the jobs that can still be read where the portal, or its repair, looks for them."""
    files = [path for place in ("queue", "queue/delayed", "queue/running", "queue/keys") for path in (home / place).glob("*.json")]
    return {job.id for path in (*files, *(home / "archive").glob("*/*/*/*.json")) if (job := content(path))}


def kept(home: Path, found: list[Finding]) -> set[str]:
    """Ids of the jobs that are kept for a person: in corrupt/, or in a file that the check goes on naming."""
    paths = [*(home / "queue/corrupt").iterdir(), *(item.path for item in found if item.path.is_file())]
    return {job.id for path in paths if (job := content(path))}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else works here: the second look need not wait. What is set aside is expected, and need not be said."""
    monkeypatch.setattr(inspecting, "_PAUSE_S", 0.0)
    monkeypatch.setattr(logging.getLogger("portal.spool"), "disabled", True)


EXAMPLES = int(os.environ.get("DISORDER_EXAMPLES", "40"))


@hypothesis_settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(ACTS, max_size=5))
@example(acts=[("earlier", "queue", True), ("move", 1, "archive", "same")])  # the follow-ups of a record on a wrong day
def test_all_disorder_is_named_and_nothing_that_can_be_read_is_lost(
    lives: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory, acts: list[Act]
) -> None:
    home = tmp_path_factory.mktemp("example") / "home"
    shutil.copytree(lives[1], home)
    for act in acts:
        disorder(home, lives[0], act)
    config = settings.load(home).model_copy(update={"min_free_mb": 0, "min_free_inodes": 0, "retry_base_s": 0})
    before, told = readable(home), named(check.inspect(config, Depth.DEEP))
    assert [item for item in inconsistent(home) if item[1] not in told] == []
    with unsynced():
        check.repair(config, Depth.DEEP)
        assert check.repair(config, Depth.DEEP) == [], "a second repair finds nothing to do"
        spool = Spool(config)
        drain(spool)
    found = check.inspect(config, Depth.DEEP)
    assert [item for item in found if item.repairable] == []
    assert (records.running_ids(spool.layout), spool.waiting()) == ([], [])
    ends = Counter(job.id for path in spool.layout.archive.glob("*/*/*/*.json") if (job := content(path)) and path.stem == job.id)
    doubled = {item.path.stem for item in found if item.kind == "duplicate-record"}
    assert {job_id for job_id, count in ends.items() if count > 1} <= doubled
    assert before - set(ends) - kept(home, found) == set()
    shutil.rmtree(home.parent)


def test_an_untouched_home_has_no_fault_but_the_job_that_was_cut_off(lives: tuple[Path, Path]) -> None:
    for home, kinds in zip(lives, (set(), {"unsettled"}), strict=True):
        config = settings.load(home).model_copy(update={"min_free_mb": 0, "min_free_inodes": 0})
        assert {item.kind for item in check.inspect(config, Depth.DEEP) if not item.note} == kinds
        assert {why for why, _ in inconsistent(home)} == ({"nobody runs it"} if kinds else set())


def test_the_oracle_sees_what_the_check_sees(lives: tuple[Path, Path], tmp_path: Path) -> None:
    """It would find a check that names nothing."""
    home = tmp_path / "home"
    shutil.copytree(lives[1], home)
    disorder(home, lives[0], ("earlier", "queue", False))
    assert {why for why, _ in inconsistent(home)} >= {"in several places"}
    assert json.dumps(sorted(readable(home))) != "[]"
