"""Triggers on the command line: made from flags and files, changed, paused, run, removed, listed with what became of their events."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from portal import clock
from portal.cli import main, trigger_making
from portal.errors import BadParameters, TriggerNotFound
from portal.settings import Settings
from portal.spool import Spool
from portal.triggers import book, history
from portal.triggers.history import Happened
from portal.triggers.state import Problem, State
from portal.triggers.trigger import Trigger
from tests.queues import a_job

NIGHTLY = ["add", "cron", "nightly", "--schedule", "30 6 * * mon-fri", "--time-zone", "Europe/Berlin", "--run", "list", "--source", "s3://sales/"]


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        code = main(["triggers", *arguments])
    except SystemExit as end:
        code = int(end.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def happened(spool: Spool, trigger: Trigger, *events: Happened) -> None:
    data = history.with_more(spool.layout, trigger.name, trigger.uid, events)
    (spool.layout.triggers / trigger.name / history.FILE).write_bytes(data)


def test_without_triggers_it_says_how_to_make_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys) == (0, "No triggers. `python -m portal triggers add --help` tells how to make one.\n", "")
    assert told(capsys) == told(capsys, "list") == []


def test_a_schedule_is_made_of_flags_and_tells_when_it_is_due(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *NIGHTLY, "--as", "ann")
    assert code == 0 and "No worker is running" in err
    assert out.startswith("Made: nightly waits for 30 6 * * mon-fri, Europe/Berlin and runs list from s3://sales/.\nNext: ")
    made = book.load(spool.layout, "nightly")
    assert (made.kind, made.engine, made.by, dict(made.params)) == ("cron", "list", "ann", {"source": "s3://sales/"})
    assert dict(made.on) == {"schedule": "30 6 * * mon-fri", "time_zone": "Europe/Berlin"}


def test_flags_of_the_trigger_are_found_before_and_behind_the_engine(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    before = ("--overlap", "allow", "--label", "team=data", "--limit", "a", "--limit", "b", "--schedule", "@daily")
    behind = ("--source", "s3://b/", "--include", "*.csv", "-x", "--priority", "2", "--timeout", "15m", "--then", '{"engine": "audit_export"}')
    made = told(capsys, "add", "cron", "n", *before, "--run=list", *behind)
    assert (made["overlap"], made["labels"], made["limits"], made["priority"], made["timeout_s"]) == ("allow", {"team": "data"}, ["a", "b"], 2, 900)
    assert made["params"] == {"source": "s3://b/", "include": ["*.csv", "-x"]} and [item["engine"] for item in made["then"]] == ["audit_export"]


def test_a_parameter_may_quote_the_event(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    quote = '{"$event": "/due_at", "format": "s3://sales/%Y/%m/%d/", "days": -1}'
    made = told(capsys, "add", "cron", "n", "--schedule", "@daily", "--run", "list", "--source", quote, "--include", '{"$event": "/name"}', "*.csv")
    assert made["params"] == {"source": json.loads(quote), "include": [{"$event": "/name"}, "*.csv"]}
    assert "list from s3://sales/%Y/%m/%d/" in run(capsys, "list")[1]


@pytest.mark.parametrize(("arguments", "code", "said"), [
    (["nonsense"], 2, "invalid choice"),
    (["add"], 2, "KIND (cron, folder, sqs) and NAME are required, or --file FILE"),
    (["add", "moon", "n"], 2, "There are no triggers of kind 'moon'"), (["add", "corn", "n"], 2, "Did you mean cron?"),
    (["add", "folder", "n", "--folder", "file:///x/", "--target", "s3://b/"], 2, "--target is a flag of the engine upload: put `--run upload`"),
    (["add", "folder", "n", "--no-create-bucket", "--folder", "file:///x/", "--run", "upload"], 2, "--no-create-bucket is a flag of the engine"),
    (["add", "cron", "n", "--schedule", "@daily", "--source=s3://b/"], 2, "--source is a flag of an engine: put `--run ENGINE` before it"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list", "--source", "s3://b/", "--run", "verify"], 2, "--run stands there twice"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "lsit", "--source", "s3://b/"], 2, "Did you mean list?"),
    (["add", "cron", "n", "--schedule", "@daily"], 2, "The engine is missing"),
    (["add", "cron", "n", "--schedule", "@daily", "--run"], 2, "--run has no engine"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "--source", "s3://b/"], 2, "--run has no engine"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "moon"], 2, "There is no engine 'moon'"),
    (["add", "cron", "n", "--run", "list", "--source", "s3://b/"], 2, "schedule is missing"),
    (["add", "cron", "n", "--schedule", "61 * * * *", "--run", "list", "--source", "s3://b/"], 2, "The schedule '61 * * * *' cannot be read"),
    (["add", "cron", "n", "--schedule", "@daily", "--time-zone", "Mars/Base", "--run", "list", "--source", "s3://b/"], 2, "no time zone 'Mars/Base'"),
    (["add", "cron", "N N", "--schedule", "@daily", "--run", "list", "--source", "s3://b/"], 2, "small letters"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list"], 2, "source is missing"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list", "--sorce", "s3://b/"], 2, "did you mean --source?"),
    (["add", "cron", "n", "--schedul", "@daily", "--run", "list", "--source", "s3://b/"], 2, "did you mean --schedule?"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list", "--source", '{"$event": "/due_at"'], 2, "is not JSON"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list", "--source", '{"$event": "/moon"}'], 2, "'/moon' is nothing that is known"),
    (["add", "cron", "n", "--schedule", "@daily", "--label", "x", "--run", "list", "--source", "s3://b/"], 2, "is no label"),
    (["add", "cron", "n", "--schedule", "@daily", "--run", "list", "--source", "s3://b/", "--source-connection", "moon"], 2, "no connection 'moon'"),
    (["add", "folder", "n", "--folder", "file:///nowhere/", "--run", "list"], 2, "/nowhere"),
    (["add", "folder", "n", "--folder", "s3://b/", "--run", "list"], 2, "only a folder of this machine"),
    (["add", "--file", "/no/such/file"], 2, "cannot be read"),
    (["show", "moon"], 1, "There is no trigger 'moon'"), (["show", "../x"], 1, "There is no trigger '../x'"),
    (["edit", "moon", "--priority", "1"], 1, "no trigger"),
    (["pause", "moon"], 1, "There is no trigger"), (["resume", "moon"], 1, "There is no trigger"), (["run", "moon"], 1, "There is no trigger"),
    (["remove", "moon"], 1, "There is no trigger"), (["history", "moon"], 1, "There is no trigger"), (["next", "moon"], 1, "There is no trigger"),
    (["edit"], 2, "NAME"), (["show"], 2, "NAME"),
])  # fmt: skip
def test_what_cannot_be_is_told_and_leaves_nothing(
    spool: Spool, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str
) -> None:
    found, out, err = run(capsys, *arguments)
    assert (found, out) == (code, "") and said in err and "Traceback" not in err
    assert book.names(spool.layout) == []


def test_a_name_that_is_taken_is_refused_and_the_first_one_stays(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    before = book.load(spool.layout, "nightly")
    code, _, err = run(capsys, "add", "cron", "nightly", "--schedule", "@hourly", "--run", "list", "--source", "s3://other/")
    assert code == 2 and "There is a trigger 'nightly' already" in err and book.load(spool.layout, "nightly") == before


def test_editing_changes_what_is_given_and_nothing_else(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    before = told(capsys, *NIGHTLY, "--formats", "csv", "--priority", "3")
    after = told(capsys, "edit", "nightly", "--schedule", "0 7 * * *", "--catch-up", "all", "--run", "list", "--source", "s3://other/")
    assert after["on"] == {"schedule": "0 7 * * *", "time_zone": "Europe/Berlin", "catch_up": "all"}
    assert after["params"] == {"source": "s3://other/", "formats": ["csv"]}
    assert (after["uid"], after["priority"], after["engine"]) == (before["uid"], 3, "list")
    after = told(capsys, "edit", "nightly", "--reset", "catch-up", "run.formats")
    assert after["on"] == {"schedule": "0 7 * * *", "time_zone": "Europe/Berlin"} and after["params"] == {"source": "s3://other/"}
    assert "catch-up has its default already" in run(capsys, "edit", "nightly", "--reset", "catch-up")[2]


def test_editing_without_a_change_says_so_and_saves_nothing(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY, "--as", "ann")
    before = book.load(spool.layout, "nightly")
    for flags in ([], ["--as", "bob"], ["--time-zone", "Europe/Berlin", "--run", "list", "--source", "s3://sales/"]):
        assert run(capsys, "edit", "nightly", *flags)[:2] == (0, "Nothing to change: nightly is so already. `python -m portal triggers edit nightly "
                                                             "--help` shows its flags.\n")  # fmt: skip
    assert told(capsys, "edit", "nightly")["uid"] == before.uid and book.load(spool.layout, "nightly") == before
    assert "--source is a flag of the engine list: put `--run list` before it" in run(capsys, "edit", "nightly", "--source", "s3://x/")[2]


def test_another_engine_begins_with_no_parameter_of_the_one_before(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY, "--formats", "csv")
    after = told(capsys, "edit", "nightly", "--run", "audit_export", "--target", "snowflake", "--since", "2026-11-21")
    assert after["engine"] == "audit_export" and "source" not in after["params"] and "formats" not in after["params"]


def test_a_paused_trigger_stays_paused_when_it_is_edited(spool: Spool, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, *NIGHTLY)
    run(capsys, "pause", "nightly", "--why", "a reason", "--as", "ann")
    assert told(capsys, "edit", "nightly", "--priority", "1")["paused"]["why"] == "a reason"
    file = tmp_path / "nightly.json"
    file.write_text(run(capsys, "show", "nightly", "--definition")[1])
    assert told(capsys, "edit", "nightly", "--file", str(file))["paused"]["by"] == "ann"


def test_a_file_that_describes_another_trigger_changes_none(spool: Spool, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    run(capsys, *NIGHTLY)
    file = tmp_path / "other.json"
    file.write_text(json.dumps({"name": "other", "kind": "cron", "on": {"schedule": "@daily"}, "engine": "list", "params": {"source": "s3://b/"}}))
    code, _, err = run(capsys, "edit", "nightly", "--file", str(file))
    assert code == 2 and "describes other, of kind cron; this is nightly" in err and book.names(spool.layout) == ["nightly"]


_TEXT = st.text(min_size=1, max_size=20)


@hypothesis_settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.fixed_dictionaries(
    {"on": st.fixed_dictionaries({"schedule": st.sampled_from(["@daily", "5 4 * * *"])}, optional={"catch_up": st.sampled_from(["none", "all"])})},
    optional={"priority": st.integers(0, 9), "overlap": st.sampled_from(["wait", "allow"]), "job_name": _TEXT,
              "labels": st.dictionaries(_TEXT, _TEXT, max_size=2),
              "limits": st.lists(_TEXT, max_size=2), "timeout_s": st.floats(1, 1e6), "max_attempts": st.integers(1, 9),
              "then": st.lists(st.just({"engine": "audit_export"}), max_size=1)},
))  # fmt: skip
def test_a_definition_that_is_shown_can_be_read_again(home: Path, order: dict[str, Any]) -> None:
    made = Trigger.from_json(json.dumps({"name": "n", "kind": "cron", "engine": "list", "params": {"source": "s3://b/"}, **order}))
    file = home / "definition.json"
    file.write_text(json.dumps(trigger_making.definition(made)))
    assert trigger_making.new(["--file", str(file)])[0] == made


def test_a_folder_without_an_engine_is_uploaded_by_itself() -> None:
    with pytest.raises(BadParameters, match=r"target|A parameter"):
        trigger_making.new(["folder", "shop", "--run", "list", "--folder", "x"])
    made, _ = trigger_making.new(["folder", "shop", "--folder", "file:///srv/box/Watch/", "--still-s", "2", "--no-recursive"])
    assert (made.engine, dict(made.on)) == ("upload", {"folder": "file:///srv/box/Watch/", "still_s": 2.0, "recursive": False})
    assert trigger_making.new(["sqs", "fetch", "--queue", "q"])[0].engine == "download"


def test_pausing_and_resuming_several(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    run(capsys, *NIGHTLY[:2], "weekly", *NIGHTLY[3:])
    assert run(capsys, "pause", "nightly", "weekly", "--why", "a move", "--as", "ann")[:2] == (0, "Paused: nightly.\nPaused: weekly.\n")
    held = book.load(spool.layout, "weekly").paused
    assert held is not None and (held.by, held.why) == ("ann", "a move")
    assert run(capsys, "list")[1].count("paused: a move") == 2 and "paused   " not in run(capsys, "next")[1]
    assert run(capsys, "next")[1] == "No schedule is due.\n"
    assert run(capsys, "next", "nightly")[1].endswith("nightly is paused: it makes no jobs until `python -m portal triggers resume nightly`.\n")
    assert [item["paused"] for item in told(capsys, "resume", "nightly", "weekly")] == [None, None]


def test_one_mistyped_name_pauses_none(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    assert run(capsys, "pause", "nightly", "moon")[0] == 1 and book.load(spool.layout, "nightly").paused is None


def test_running_now_leaves_a_request_for_the_service(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    code, out, err = run(capsys, "run", "nightly", "--as", "ann")
    assert code == 0 and out.startswith("Asked: nightly runs now.") and "No worker is running" in err
    assert book.is_asked(spool.layout, "nightly") and "asked        to run now" in run(capsys, "show", "nightly")[1]


def test_removing_leaves_nothing_of_it(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    assert run(capsys, "remove", "nightly")[:2] == (0, "Removed: nightly.\n")
    with pytest.raises(TriggerNotFound):
        book.load(spool.layout, "nightly")


def test_events_are_listed_with_their_jobs_and_reasons(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    assert run(capsys, "history", "nightly")[1] == "nightly has had no event yet.\n"
    now, trigger = clock.iso(clock.now_ms()), book.load(spool.layout, "nightly")
    happened(spool, trigger, Happened(event="a", due_at=now, at=now, outcome="submitted", job="01M7YZ6HXDWKZ0NY9XTY10402E"),
             Happened(event="b", due_at=now, at=now, outcome="skipped", reason="The job before\x1b[31m had not ended."))  # fmt: skip
    lines = run(capsys, "history", "nightly")[1].splitlines()
    assert lines[0].split() == ["DUE", "(UTC)", "HANDLED", "(UTC)", "OUTCOME", "JOB", "REASON"]
    assert "skipped" in lines[1] and "\x1b" not in lines[1] and "01M7YZ6HXDWKZ0NY9XTY10402E" in lines[2]
    assert [item["outcome"] for item in told(capsys, "history", "nightly", "--limit", "1")] == ["skipped"]
    assert "skipped" in run(capsys, "list")[1] and "latest events" in run(capsys, "show", "nightly")[1]


def test_a_problem_and_a_damaged_definition_are_told(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    trigger = book.load(spool.layout, "nightly")
    now = State(uid=trigger.uid, problem=Problem(text="The bucket is gone.\n  what to do: Make it.", since=clock.iso(0), times=3))
    (spool.layout.triggers / "nightly" / "state.json").write_text(now.to_json())
    (spool.layout.triggers / "torn").mkdir()
    (spool.layout.triggers / "torn" / "trigger.json").write_text("{")
    _, out, err = run(capsys, "list")
    assert "problem: The bucket is gone." in out and "torn: This is no trigger" in err
    assert "problem, 3 times since 1970-01-01 00:00:00 UTC\n  The bucket is gone.\n    what to do: Make it." in run(capsys, "show", "nightly")[1]
    assert told(capsys)[0]["standing"] == "problem"


def with_a_zone_that_is_gone(spool: Spool, name: str) -> None:
    """A definition that was saved where there was the time zone."""
    file = spool.layout.triggers / name / "trigger.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "on": {"schedule": "@daily", "time_zone": "Mars/Base"}}))


def test_a_trigger_whose_time_zone_is_gone_is_told_in_its_row_and_silences_no_other(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, *NIGHTLY)
    run(capsys, *NIGHTLY[:2], "lost", *NIGHTLY[3:])
    with_a_zone_that_is_gone(spool, "lost")
    code, out, _ = run(capsys)
    lost, nightly = out.splitlines()[1:]
    assert code == 0 and "problem: There is no time zone 'Mars/Base'." in lost and nightly.split()[-2:] != [] and " active " in nightly
    code, out, _ = run(capsys, "next", "--limit", "2")
    first, second, last = out.splitlines()[1:]
    assert code == 0 and "nightly" in first and "nightly" in second and "lost" in last and "There is no time zone 'Mars/Base'." in last
    assert [item.get("problem", "")[:21] for item in told(capsys, "next", "--limit", "1")] == ["", "There is no time zone"]
    code, out, _ = run(capsys, "show", "lost")
    assert code == 0 and "next         There is no time zone 'Mars/Base'." in out and told(capsys, "show", "lost")["next"] == []
    assert run(capsys, "edit", "lost", "--time-zone", "UTC")[0] == 0 and len(told(capsys, "next", "--limit", "9")) == 9


def test_what_the_service_saw_is_told_in_words(spool: Spool, capsys: pytest.CaptureFixture[str], home: Path) -> None:
    (home / "data" / "Watch").mkdir()
    run(capsys, "add", "folder", "shop", "--folder", f"file://{home}/data/Watch/", "--run", "upload", "--target", "s3://b/")
    left = [{"why": "it is a link", "count": 30, "first": ["a", "b"], "passing": False},
            {"why": "the job ended without them", "count": 1, "first": ["c of job X, in Q"], "jobs": ["X"], "passing": False}]  # fmt: skip
    now = State(told={"files": 1234, "waiting": 0, "left": left}, problem=Problem(text="Left.", since=clock.iso(0)))
    (spool.layout.triggers / "shop" / "state.json").write_text(now.to_json())
    lines = run(capsys, "show", "shop")[1].splitlines()
    seen = lines[lines.index("seen at the last look") + 1 :]
    assert seen[:4] == ["  Files in the folder  1,234", "  Waiting for a job    0", "  Left in the folder: 30: a, b, …,", "    because it is a link"]
    assert seen[4:] == ["  Left behind by 1 job: c of job X, in Q,", "    because the job ended without them"]
    assert "problem, since 1970-01-01 00:00:00 UTC" in lines


def test_what_is_due_next_is_listed_over_all_schedules_in_order(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    for name, minute in (("late", "40"), ("early", "20")):
        run(capsys, "add", "cron", name, "--schedule", f"{minute} * * * *", "--run", "list", "--source", "s3://b/")
    found = told(capsys, "next", "--limit", "5")
    assert [item["due_at"] for item in found] == sorted(item["due_at"] for item in found) and len(found) == 5
    assert {item["name"] for item in found} == {"late", "early"}


def test_jobs_of_one_trigger_are_listed(spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    mine = spool.submit(a_job("list", labels={"trigger": "nightly"}))
    spool.submit(a_job("list", labels={"trigger": "other"}))
    spool.submit(a_job("list"))
    main(["jobs", "--trigger", "nightly", "--json"])
    assert [item["id"] for item in json.loads(capsys.readouterr().out)] == [mine.id]


@pytest.mark.parametrize(
    "arguments", [[], ["add"], ["add", "cron"], ["add", "folder"], ["add", "sqs"], ["edit"], ["show"], ["pause"], ["run"], ["next"]]
)
def test_every_action_has_its_help(home: Path, capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    code, out, err = run(capsys, *arguments, "--help")
    assert (code, err) == (0, "") and out.startswith("usage: python -m portal triggers") and max(map(len, out.splitlines())) < 150
