"""The command line in front of a person: help that reads, errors that tell, and never a traceback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portal import catalog
from portal.cli import COMMANDS, main
from portal.jobs import Job
from portal.settings import CODE_ROOT, Settings
from portal.spool import Spool

SOURCE = "s3://bucket/data/"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(list(arguments))
    except SystemExit as end:  # argparse: help and misuse
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def submit(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, out, err = run(capsys, "submit", "list", "--source", SOURCE, *arguments)
    assert code == 0, err
    return out.strip()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(home: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert out.startswith(f"usage: python -m portal {command}")


def test_the_general_help_names_every_command(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {command} " in out and summary in out for command, (_, summary) in COMMANDS.items())
    assert run(capsys)[0] == 2


@pytest.mark.parametrize("engine", catalog.names())
def test_every_engine_can_be_submitted_by_flags(home: Path, capsys: pytest.CaptureFixture[str], engine: str) -> None:
    code, out, _ = run(capsys, "submit", engine, "--help")
    assert code == 0
    spec = catalog.engine(engine)
    assert spec.summary in out
    assert all(field.flag in out for field in spec.fields)


BAD: list[tuple[list[str], int, str]] = [
    (["nonsense"], 2, "invalid choice: 'nonsense'"),
    (["submit"], 2, "--file"),
    (["submit", "no_such"], 2, "There is no engine 'no_such'"),
    (["submit", "../evil"], 2, "There is no engine '../evil'"),
    (["submit", "list"], 2, "source is missing"),
    (["submit", "list", "--source", "bucket"], 2, "is not a store URL"),
    (["submit", "list", "--sauce", "x"], 2, "unrecognized arguments: --sauce x (did you mean --source?)"),
    (["submit", "list", "--source", SOURCE, "--zzz"], 2, "unrecognized arguments: --zzz\n"),
    (["submit", "list", "--source", SOURCE, "--min-bytes", "10MB"], 2, "min_bytes: write a whole number, like 10485760 for 10 MiB (it is '10MB')"),
    (["submit", "list", "--source", SOURCE, "--modified-since", "yesterday"], 2, "modified_since: write a moment, like 2026-11-21"),
    (["submit", "list", "--source", "https://b.s3.amazonaws.com/x"], 2, "s3://bucket"),
    (["submit", "list", "--source", SOURCE, "--priority", "11"], 2, "priority is 11"),
    (["submit", "list", "--source", SOURCE, "--after", "soon"], 2, "'soon' is not a duration"),
    (["submit", "list", "--source", SOURCE, "--timeout", "0"], 2, "timeout is 0"),
    (["submit", "list", "--source", SOURCE, "--then", "{"], 2, "--then is not JSON"),
    (["submit", "list", "--source", SOURCE, "--then", "/no/such/file"], 2, "/no/such/file cannot be read"),
    (["submit", "list", "--source", SOURCE, "--then", '{"engine": "no_such"}'], 2, "Follow-up no_such"),
    (["submit", "list", "--params", "/no/such/file"], 2, "/no/such/file cannot be read"),
    (["submit", "--file", "/no/such/file"], 2, "/no/such/file cannot be read"),
    (["show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no job '01ARZ3NDEKTSV4RRFFQ69G5FAV'"),
    (["show", "../../etc/passwd"], 1, "There is no job '../../etc/passwd'"),
    (["show", "x"], 1, "too short"),
    (["logs", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "-f"], 1, "There is no job"),
    (["ledger", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no job"),
    (["cancel", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no job"),
    (["retry", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no job"),
    (["rerun", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], 1, "There is no job"),
    (["jobs", "--status", "odd"], 2, "invalid choice: 'odd'"),
    (["jobs", "--since", "2026-13-01"], 2, "'2026-13-01' is not a day"),
    (["audit"], 2, "ACTION"),
    (["audit", "report", "--since", "yesterday"], 2, "'yesterday' is not a duration"),
    (["audit", "report", "--format", "parquet"], 2, "Name a file with -o"),
    (["audit", "verify", "--head", "/no/such/file"], 2, "holds no head of the chain"),
    (["connections", "test", "nowhere"], 1, "There is no connection 'nowhere'"),
    (["engines", "no_such"], 2, "There is no engine 'no_such'"),
]


@pytest.mark.parametrize(("arguments", "code", "said"), BAD, ids=[" ".join(case[0])[:60] for case in BAD])
def test_misuse_ends_in_a_clear_message(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, said in err, out) == (code, True, ""), err
    assert "Traceback" not in err
    assert "does not know" not in err


@pytest.mark.parametrize(("content", "said"), [
    ("{", "is not JSON"), ("[]", "holds no JSON object"), ('{"params": {}}', "must hold an engine's name"),
    ('{"engine": "list", "params": []}', "must hold an engine's name"), ('{"engine": "list", "when": 1}', "'when' is no field"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "then": {}}', "`then` is a list"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "priority": "high"}', "priority"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "timeout_s": "long"}', "timeout"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "not_before": 5}', "not_before"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "labels": {"team": 5}}', "labels: 5 is not a text"),
    ('{"engine": "list", "params": {"source": "s3://b/"}, "key": 7}', "key: 7 is not a text"),
])  # fmt: skip
def test_a_wrong_job_file_is_refused(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, said: str) -> None:
    path = tmp_path / "job.json"
    path.write_text(content)
    code, out, err = run(capsys, "submit", "--file", str(path))
    assert (code, out) == (2, ""), err
    assert said in err


def test_a_bad_setting_is_named(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / ".env").write_text("PORTAL_SLOTS=many\n")
    code, _, err = run(capsys, "jobs")
    assert code == 1
    assert "PORTAL_SLOTS='many' cannot be used" in err


def test_a_surprise_is_told_without_a_traceback(home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("seven")

    monkeypatch.setattr("portal.cli.jobs.jobs", broken)
    code, _, err = run(capsys, "jobs")
    assert code == 1
    assert "ZeroDivisionError: seven" in err
    assert "Traceback" not in err
    Path(err.split("The traceback is in ")[1].split(";")[0]).unlink()


def test_a_job_comes_from_flags_file_and_standard_input(config: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    params, order = tmp_path / "params.json", tmp_path / "job.json"
    params.write_text(json.dumps({"source": "s3://other/"}))
    item = {"engine": "list", "params": {"source": SOURCE}}
    order.write_text(json.dumps({**item, "name": "from file", "then": [item]}))
    code, out, _ = run(capsys, "submit", "list", "--params", str(params), "--source", SOURCE, "--name", "by flags", "--as", "ann", "--priority", "1",
                       "--after", "1h", "--timeout", "2m", "--max-attempts", "5", "--key", "once", "--dry-run", "--json")  # fmt: skip
    told = json.loads(out)
    assert code == 0
    assert (told["params"], told["submitted_by"], told["priority"], told["timeout_s"], told["max_attempts"]) == ({"source": SOURCE}, "ann", 1, 120, 5)
    assert told["labels"] == {"name": "by flags", "dry_run": "yes"}
    assert told["not_before"] > told["submitted_at"]
    assert told["sealed"] is False

    code, out, _ = run(capsys, "submit", "--file", str(order), "--name", "renamed", "--then", '{"engine": "list", "params": {"source": "s3://third/"}}')
    job = Spool(config).find(out.strip())
    assert job is not None
    assert (job.name, [item.params["source"] for item in job.then]) == ("renamed", [SOURCE, "s3://third/"])


def test_the_same_key_is_the_same_job(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert submit(capsys, "--key", "nightly") == submit(capsys, "--key", "nightly") != submit(capsys)


def test_jobs_are_listed_filtered_and_found_by_a_short_id(config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = submit(capsys, "--name", "the first"), submit(capsys, "--as", "ann", "--priority", "1")
    listed = json.loads(run(capsys, "jobs", "--json")[1])
    assert [job["id"] for job in listed] == [second, first]
    assert [job["id"] for job in json.loads(run(capsys, "jobs", "--text", "THE FIRST", "--json")[1])] == [first]
    assert [job["id"] for job in json.loads(run(capsys, "jobs", "--limit", "1", "--json")[1])] == [second]
    assert run(capsys, "jobs", "--engine", "migrate")[1].startswith("No jobs.")
    assert run(capsys, "jobs", "--status", "failed", "--json")[1] == "[]\n"
    table = run(capsys, "jobs")[1]
    assert table.splitlines()[0].split()[:3] == ["ID", "STATUS", "ENGINE"]
    assert first in table

    assert json.loads(run(capsys, "show", first[-6:].lower(), "--json")[1])["id"] == first
    page = run(capsys, "show", first)[1]
    assert all(text in page for text in (first, "queued", "the first", SOURCE))
    code, _, err = run(capsys, "show", first[:4])
    assert (code, "fits 2 jobs" in err) == (1, True)


def test_a_waiting_job_is_cancelled_and_rerun_with_other_parameters(config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    job_id = submit(capsys, "--name", "nightly")
    assert run(capsys, "cancel", job_id)[1] == f"{job_id}  cancel requested\n"
    assert json.loads(run(capsys, "show", job_id, "--json")[1])["cancel_requested"] is True
    code, out, _ = run(capsys, "rerun", job_id, "--source", "s3://other/", "--as", "bob")
    again = Spool(config).find(out.strip())
    assert code == 0
    assert isinstance(again, Job)
    assert (again.params["source"], again.parent, again.submitted_by, again.name) == ("s3://other/", job_id, "bob", "nightly")
    code, _, err = run(capsys, "retry", job_id)
    assert (code, "only a finished job can be retried" in err) == (2, True)


def test_logs_prints_everything_or_the_end(config: Settings, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    main(["submit", "list", "--source", SOURCE])
    job_id = capfdbinary.readouterr().out.decode().strip()
    path = Spool(config).log_path(job_id)
    path.with_name(f"{path.name}.1").write_bytes(b"0\n")
    path.write_bytes(b"1\n2\n3\n")
    assert main(["logs", job_id]) == 0
    assert capfdbinary.readouterr().out == b"0\n1\n2\n3\n"
    assert main(["logs", job_id, "--tail", "2"]) == 0
    assert capfdbinary.readouterr().out == b"2\n3\n"


def test_without_a_worker_it_says_so(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "workers")
    assert (code, out.startswith("No worker is running")) == (1, True)


def test_check_is_fit_for_monitoring(config: Settings, capsys: pytest.CaptureFixture[str]) -> None:
    submit(capsys)
    assert run(capsys, "check")[0] == 0
    broken = config.queue_dir / "5-01ARZ3NDEKTSV4RRFFQ69G5FAV.json"
    broken.write_text("{")
    code, out, _ = run(capsys, "check", "--json")
    assert code == 1
    assert [(item["kind"], item["path"]) for item in json.loads(out)["findings"]] == [("unreadable", str(broken))]
    code, out, _ = run(capsys, "check", "--repair")
    assert "repaired: " in out
    assert not broken.exists()


def test_audit_commands_on_an_empty_archive(home: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run(capsys, "audit", "report")[:2] == (0, "No job finished in this period.\n")
    assert run(capsys, "audit", "report", "--format", "json")[:2] == (0, "[]\n")
    assert run(capsys, "audit", "report", "-o", str(tmp_path / "r.parquet"))[0] == 0
    assert "No day is sealed yet" in run(capsys, "audit", "verify")[1]
    assert json.loads(run(capsys, "audit", "seal", "--json")[1]) is None


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "portal", *arguments]


def test_a_job_s_page_drives_no_terminal(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "submit", "list", "--source", SOURCE, "--as", "a\x1b[31m\nb\x9b", "--name", "n\x1b]0;x")
    shown = run(capsys, "show", out.strip())[1]
    assert code == 0 and not set(shown) & {"\x1b", "\x9b"} and "by a�[31m�b�" in shown


@pytest.mark.parametrize("arguments", [("--help",), ("jobs",), ("jobs", "--json")])
def test_an_output_that_takes_no_umlaut_gets_the_rest(home: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]) -> None:
    run(capsys, "submit", "list", "--source", SOURCE, "--as", "zoë\udcff")
    done = subprocess.run(command(*arguments), cwd=CODE_ROOT, env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True)
    assert done.returncode == 0 and "surrogate" not in done.stderr and "way it does not know" not in done.stderr
    assert arguments[-1] != "--json" or json.loads(done.stdout)[0]["submitted_by"] == "zoë\udcff"


def test_a_closed_pipe_is_no_error_worth_a_traceback(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(3):
        submit(capsys)
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(command("jobs", "--json"), cwd=CODE_ROOT, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


def test_ctrl_c_while_waiting_leaves_the_job(config: Settings) -> None:
    waiting = subprocess.Popen(command("submit", "list", "--source", SOURCE, "--after", "1h", "--wait"), cwd=CODE_ROOT, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert waiting.stdout and waiting.stderr
    job_id = waiting.stdout.readline().strip()
    assert "No worker is running" in waiting.stderr.readline()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=20)
    assert waiting.returncode == 130
    assert f"The job goes on. To follow it: python -m portal logs -f {job_id}" in err
    assert "Traceback" not in err
    job = Spool(config).find(job_id)
    assert job is not None and not job.status.finished
