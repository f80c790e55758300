"""Telling people of a job, from its submit to the receiver: a real worker, real engines, a real webhook, a real mail server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engines import notify
from portal import cli, clock, settings, submission
from portal.context import JobContext, Result
from portal.errors import BadParameters, NotTold, Unreachable
from portal.jobs import Job, Status
from portal.notifying import wish
from portal.settings import CODE_ROOT, Settings
from portal.spool import finishing
from portal.worker import Worker
from tests.archives import finished_job, put
from tests.queues import finished, run, until
from tests.receivers import MailServer, Receiver, mail_server, receiver

HIDDEN = "a-part-nobody-sees"
TWO = ("ops@example.com", "boss@example.com")


@pytest.fixture
def hook() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


def connect(config: Settings, hook: Receiver | None = None, mail: MailServer | None = None, **more: str) -> None:
    """Write connections.toml: `ops` is the webhook, `team` the mail server."""
    extra = "".join(f'{name} = "{value}"\n' for name, value in more.items())
    text = f'[ops]\nkind = "webhook"\nurl = "{hook.url}"\n{extra}' if hook else ""
    to = ", ".join(f'"{name}"' for name in TWO)
    if mail:
        text += f'[team]\nkind = "smtp"\nhost = "localhost"\nport = {mail.port}\nsecurity = "none"\nfrom = "p@example.com"\nto = [{to}]\n'
    config.connections_file.write_text(text)


@pytest.fixture
def quick(home: Path) -> Settings:
    """Settings with which what failed is tried again at once."""
    with (home / ".env").open("a") as file:
        file.write("PORTAL_RETRY_BASE_S=0.01\nPORTAL_RETRY_MAX_S=0.02\nPORTAL_URL=https://portal.example.com/\n")
    return settings.load(home)


@pytest.fixture
def worker(quick: Settings) -> Iterator[Worker]:
    made = Worker(quick)
    yield made
    made.leave()


def failing(config: Settings, *notify: str, **more: Any) -> Job:
    """A job that fails when it looks: its folder is none that may be read."""
    return submission.new_job(config, "list", {"source": "file:///etc/"}, by="ann", then=wish.entries(notify), **more)


def news(worker: Worker, parent: Job) -> list[Job]:
    """The notifications of a finished job, ended."""
    return [until(lambda job_id=job_id: finished(worker.spool, job_id), turn=worker.turn) for job_id in finishing.child_ids(parent)]


def test_a_failure_is_told_once_though_the_receiver_is_down_at_first(quick: Settings, hook: Receiver, worker: Worker) -> None:
    hook.answers = [500, 503, 200]
    connect(quick, hook, signing_secret="whsec_" + "A" * 32)
    [parent] = run(worker, failing(quick, "ops:failed,succeeded,slower", name="nightly"))
    assert parent.status in (Status.FAILED, Status.REJECTED)
    [told] = news(worker, parent)
    assert (told.status, len(told.attempts), told.engine, told.parent, told.priority) == (Status.SUCCEEDED, 3, "notify", parent.id, 1)
    assert told.result and told.result["report"]["told_of"] == parent.id
    assert len({request.headers["webhook-id"] for request in hook.requests}) == 1 and len(hook.requests) == 3
    assert len({request.body for request in hook.requests}) == 1
    body = json.loads(hook.requests[-1].body)
    assert body["type"] == f"job.{parent.status.value}" and body["data"]["job"]["name"] == "nightly"
    assert body["data"]["url"] == f"https://portal.example.com/job?id={parent.id}"
    assert body["data"]["job"]["error"].splitlines()[0] == str(parent.error).splitlines()[0]


def test_no_file_and_no_log_holds_the_address(quick: Settings, hook: Receiver, worker: Worker) -> None:
    hook.answers = [404]
    connect(quick, hook)
    [parent] = run(worker, failing(quick, "ops:failed"))
    [told] = news(worker, parent)
    assert told.status is Status.FAILED and len(told.attempts) == 1, "a refusal is not tried again"
    assert "localhost answered 404" in str(told.error) and "webhook was removed" in str(told.error)
    holding = [path for path in quick.home.rglob("*") if path.is_file() and HIDDEN.encode() in path.read_bytes()]
    assert holding == [quick.connections_file]
    hook.answers = [200]
    again = submission.retry(quick, worker.spool, told.id, by="ann")
    done = until(lambda: finished(worker.spool, again.id), turn=worker.turn)
    assert done.status is Status.SUCCEEDED
    assert [request.headers["webhook-id"] for request in hook.requests] == [f"msg_{parent.id}-{parent.status.value}"] * 2


def test_a_job_that_succeeds_tells_only_those_who_want_to_know(quick: Settings, hook: Receiver, worker: Worker) -> None:
    connect(quick, hook, format="slack")
    (quick.home / "data" / "a.csv").write_text("x\n1\n")
    source = {"source": f"file://{quick.home}/data/"}
    done = run(worker, *(submission.new_job(quick, "list", source, by="ann", then=wish.entries([text])) for text in ("ops:failed", "ops:ended")))
    assert [job.status for job in done] == [Status.SUCCEEDED] * 2
    assert [len(news(worker, job)) for job in done] == [0, 1]
    assert json.loads(hook.requests[0].body)["blocks"][0]["text"]["text"] == "list succeeded"


# ── the engine by itself ──


def ended(config: Settings, **changes: Any) -> Job:
    """A job in the archive that ended just now."""
    now = clock.iso(clock.now_ms())
    job = finished_job(now, submitted_at=now, **{"status": Status.FAILED, "error": "No object arrived.", **changes})
    put(config.archive_dir, job)
    return job


def context(config: Settings, job_id: str = "", attempt: int = 1, **more: Any) -> JobContext:
    folder = config.logs_dir / (job_id or "by-hand")
    folder.mkdir(exist_ok=True)
    return JobContext(job_id or "by-hand", folder, config, attempt=attempt, **more)


def tell(config: Settings, connection: str = "ops", attempt: int = 1, *, dry_run: bool = False, **params: Any) -> Result:
    return notify.run(notify.Params(connection=connection, **params), context(config, attempt=attempt, dry_run=dry_run))


def test_recipients_who_have_the_mail_do_not_get_it_again(config: Settings) -> None:
    job = ended(config)
    with mail_server() as server:
        connect(config, mail=server)
        server.answers = {TWO[1]: ["450 greylisted", "250 OK"]}
        with pytest.raises(Unreachable, match=r"1 of 2 recipients\. The others have to wait: boss@example.com: 450 greylisted") as problem:
            tell(config, "team", job=job.id)
        assert problem.value.retryable
        done = tell(config, "team", 2, job=job.id)
    assert server.envelopes == [[TWO[0]], [TWO[1]]]
    assert (done.outcome, done.counts) == ("succeeded", {"sent": 1, "recipients": 2, "recipients_refused": 0})


def test_a_retried_notification_leaves_out_whom_the_first_one_reached(config: Settings) -> None:
    job = ended(config)
    with mail_server() as server:
        connect(config, mail=server)
        server.answers = {TWO[1]: ["450 greylisted", "250 OK"]}
        with pytest.raises(Unreachable):
            notify.run(notify.Params(connection="team", job=job.id), context(config, "FIRST"))
        notify.run(notify.Params(connection="team", job=job.id), context(config, "SECOND", retry_of="FIRST"))
    assert server.envelopes == [[TWO[0]], [TWO[1]]]


def test_a_recipient_who_is_refused_makes_it_partial_and_all_of_them_a_failure(config: Settings) -> None:
    job = ended(config)
    with mail_server() as server:
        connect(config, mail=server)
        server.answers = {TWO[1]: ["550 no such user"]}
        done = tell(config, "team", job=job.id)
        assert done.outcome == "partial" and done.warnings == ("A recipient was refused: boss@example.com: 550 no such user",)
        (config.logs_dir / "by-hand" / "checkpoint.json").unlink()
        server.answers = {name: ["550 no such user"] for name in TWO}
        with pytest.raises(NotTold, match="Nobody got the mail"):
            tell(config, "team", job=job.id)


def test_a_receiver_that_asks_for_a_short_wait_gets_it(config: Settings, hook: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    connect(config, hook)
    waited: list[float] = []
    monkeypatch.setattr(notify.time, "sleep", waited.append)
    hook.answers = [(429, {"Retry-After": "30"}, b""), 200]
    assert tell(config, job=ended(config).id).outcome == "succeeded"
    assert waited == [30.0]
    hook.answers = [(429, {"Retry-After": "3600"}, b"")]
    with pytest.raises(Unreachable, match="429"):
        tell(config, job=ended(config).id)
    assert waited == [30.0], "a long wait is the queue's"


def test_a_dry_run_shows_the_message_and_sends_nothing(config: Settings, hook: Receiver) -> None:
    with mail_server() as server:
        connect(config, hook, server)
        job = ended(config)
        told = {name: tell(config, name, job=job.id, dry_run=True).report["plan"]["message"] for name in ("ops", "team")}
    assert json.loads(told["ops"])["data"]["job"]["id"] == job.id and "Subject: nightly failed" in told["team"]
    assert not hook.requests and not server.mails


@pytest.mark.parametrize(("connection", "job", "said"), [
    ("ops", "", "Nothing says which job"), ("ops", "01KA0000000000000000000000", "no record of the job 01KA"),
    ("nobody", "", "no connection 'nobody'"),
])  # fmt: skip
def test_what_cannot_be_told_is_refused_clearly(config: Settings, hook: Receiver, connection: str, job: str, said: str) -> None:
    connect(config, hook)
    with pytest.raises(BadParameters, match=said):
        tell(config, connection, job=job)


def test_it_is_a_command_too(config: Settings, hook: Receiver) -> None:
    connect(config, hook)
    job = ended(config)
    command = [sys.executable, "-m", "engines.notify", "--connection", "ops", "--job", job.id, "--quiet"]
    done = subprocess.run(command, cwd=CODE_ROOT, env={**os.environ, "PORTAL_HOME": str(config.home)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["report"]["title"] == "nightly failed" and HIDDEN not in done.stdout + done.stderr
    assert len(hook.requests) == 1


def test_a_dry_run_leaves_the_message_readable_in_the_log(quick: Settings, hook: Receiver, worker: Worker) -> None:
    with mail_server() as server:
        connect(quick, hook, server)
        about = ended(quick, labels={"name": "Prüfung der Umsätze"}, error="No object arrived.\nLook at <the> source.")
        order = {"job": about.id}
        jobs = [submission.new_job(quick, "notify", {"connection": name, **order}, by="ann", labels={"dry_run": "yes"}) for name in ("ops", "team")]
        done = run(worker, *jobs)
        assert not hook.requests and not server.mails
    assert [job.status for job in done] == [Status.SUCCEEDED] * 2
    posted, mailed = ("".join(line[31:] for line in worker.spool.log_path(job.id).read_text().splitlines(True)) for job in jobs)
    assert '"summary": "Prüfung der Umsätze failed",\n' in posted and "Nothing is sent." in posted
    for line in ("Subject: Prüfung der Umsätze failed\n", "To: ops@example.com, boss@example.com\n", "Look at <the> source.\n"):
        assert line in mailed


# ── the command line ──


def test_submit_takes_wishes_as_flags_and_in_a_file(config: Settings, hook: Receiver, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    connect(config, hook)
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"engine": "list", "params": {"source": "s3://b/"}, "notify": ["ops:slower"]}))
    for arguments in (["list", "--source", "s3://b/", "--notify", "ops:slower"], ["--file", str(file)]):
        assert cli.main(["submit", *arguments, "--json"]) == 0
        job = json.loads(capsys.readouterr().out)
        assert [(item["engine"], item["when"]) for item in job["then"]] == [("notify", "slower")]
    for wrong, said in (("ops:exploded", "'exploded' is nothing to be told of"), ("nowhere", "no connection 'nowhere'")):
        assert cli.main(["submit", "list", "--source", "s3://b/", "--notify", wrong]) != 0
        assert said in capsys.readouterr().err


def test_testing_all_connections_sends_nothing(config: Settings, hook: Receiver, capsys: pytest.CaptureFixture[str]) -> None:
    connect(config, hook)
    assert cli.main(["connections", "test"]) == 0
    assert hook.requests == [] and "ops" not in capsys.readouterr().out
    assert cli.main(["connections", "test", "ops"]) == 0
    assert len(hook.requests) == 1
    assert cli.main(["connections"]) == 0
    shown = capsys.readouterr().out
    assert "http://localhost (json)" in shown and HIDDEN not in shown
