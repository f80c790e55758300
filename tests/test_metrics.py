"""The figures for Prometheus: right, well-formed, without anybody's names, monotonic, and no dearer as the archive grows."""

from __future__ import annotations

import http.client
import json
import math
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from ulid import ULID

from portal import clock, seal
from portal import settings as portal_settings
from portal.check import inspect
from portal.cli import main
from portal.jobs import Attempt, Job, Status
from portal.metrics import archive as metrics_archive
from portal.metrics import figures
from portal.metrics import totals as of_records
from portal.metrics.archive import ArchiveTotals
from portal.metrics.server import MetricsServer
from portal.metrics.totals import Totals
from portal.settings import CODE_ROOT, Settings
from portal.spool import Spool, claiming, workers
from portal.worker import Worker
from tests.archives import finished_job, put
from tests.queues import ENGINES, a_job, run, soon
from tests.test_cost import Calls

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def scrape(config: Settings) -> Samples:
    return parsed(figures.text(config).decode())


def parsed(text: str) -> Samples:
    """The samples of an exposition, checked as `promtool check metrics` would."""
    samples: Samples = {}
    names = set()
    for family in text_string_to_metric_families(text):
        assert family.name not in names, "one family, one block"
        names.add(family.name)
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family.name
        assert re.fullmatch(r"portal_[a-z][a-z_]*[a-z]", family.name)
        assert not re.search(r"(milli|_ms|minutes|hours|kilo|mega|percent)", family.name), "base units only"
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples and not math.isnan(sample.value)
            assert family.type != "counter" or (sample.name.endswith("_total") and sample.value >= 0)
            samples[key] = sample.value
        if family.type == "histogram":
            check_histogram(family)
    return samples


def check_histogram(family: Any) -> None:
    for engine in {sample.labels["engine"] for sample in family.samples}:
        mine = [sample for sample in family.samples if sample.labels["engine"] == engine]
        buckets = [(float(sample.labels["le"]), sample.value) for sample in mine if sample.name.endswith("_bucket")]
        assert buckets == sorted(buckets) and buckets[-1][0] == math.inf
        assert [count for _, count in buckets] == sorted(count for _, count in buckets)
        assert buckets[-1][1] == next(sample.value for sample in mine if sample.name.endswith("_count"))


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


# The queue


def test_an_empty_home_has_figures_too(config: Settings, spool: Spool) -> None:
    found = scrape(config)
    assert value(found, "portal_healthy") == 0 and value(found, "portal_problems") == 1
    assert value(found, "portal_queue_jobs", state="ready") == 0 and value(found, "portal_queue_oldest_seconds") == 0


def test_the_queue_is_counted_by_state(config: Settings, spool: Spool) -> None:
    for engine in ("migrate", "list", "list", "nobody_knows_this"):
        spool.submit(a_job(engine))
    for claim, _ in zip(claiming.claims(spool.layout), range(4), strict=False):
        claim.let_go()
    jobs = [spool.submit(a_job()) for _ in range(3)]
    spool.submit(a_job(not_before=soon(60)))
    spool.cancel(jobs[0].id, "ann")
    (spool.layout.corrupt / "x").write_text("{")
    found = scrape(config)
    states = {state: value(found, "portal_queue_jobs", state=state) for state in ("ready", "delayed", "running", "cancel_requested", "corrupt")}
    assert states == {"ready": 3, "delayed": 1, "running": 4, "cancel_requested": 1, "corrupt": 1}
    assert {engine: value(found, "portal_engine_running_jobs", engine=engine) for engine in ("list", "migrate", "unknown", "nobody_knows_this")} == {
        "list": 2, "migrate": 1, "unknown": 1, "nobody_knows_this": None,
    }  # fmt: skip


def test_pauses_workers_and_disks_are_told(config: Settings, spool: Spool) -> None:
    one, two, three = (workers.register(spool.layout, 3, name) for name in ("w1", "w2", "w3"))
    one.tell(1)
    spool.drain("w2", by="ann")
    three.lock.release()
    (spool.layout.workers / "w2.beat").write_text("1")
    spool.pause("list", by="ann")
    found = scrape(config)
    assert {state: value(found, "portal_workers", state=state) for state in ("working", "draining", "hanging", "stopped", "dead")} == {
        "working": 1, "draining": 1, "hanging": 1, "stopped": 0, "dead": 1,
    }  # fmt: skip
    assert (value(found, "portal_worker_slots"), value(found, "portal_worker_free_slots")) == (6, 2)
    assert (value(found, "portal_worker_heartbeat_age_seconds") or 0) > 1
    assert (value(found, "portal_queue_paused"), value(found, "portal_engine_paused", engine="list")) == (0, 1)
    assert value(found, "portal_engine_paused", engine="migrate") == 0
    assert all((value(found, "portal_disk_free_bytes", folder=folder) or 0) > 0 for folder in ("queue", "logs", "archive"))
    one.leave()
    two.leave()


def test_the_oldest_is_the_one_that_has_been_ready_longest(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    now = clock.now_ms()
    moved = {}
    for age_s, ready_s in ((500, 10), (400, 300), (200, 200), (100, 100)):
        monkeypatch.setattr(clock, "now_ms", lambda age_s=age_s: now - age_s * 1000)
        moment = clock.now_ms()
        job = a_job(id=job_id_of(moment), priority=age_s // 100)
        spool.submit(job)
        moved[f"{job.priority}-{job.id}.json"] = now - ready_s * 1000
    monkeypatch.setattr(clock, "now_ms", lambda: now)
    looked: list[str] = []
    monkeypatch.setattr(figures, "_moved_ms", lambda path, _: (looked.append(path.name), moved[path.name])[1])
    assert figures.oldest_s(spool.layout) == 300, "submitted first is not ready first"
    assert len(looked) == 2, "whatever was submitted after that cannot have been ready before"


def job_id_of(moment_ms: int) -> str:
    return str(ULID.from_timestamp(moment_ms / 1000))


# Finished jobs


def test_finished_jobs_are_counted_as_they_ended(config: Settings, spool: Spool) -> None:
    worker = Worker(config, slots=2, engines=ENGINES)
    run(worker, a_job(), a_job(params={"fail_in": [1], "error": {"message": "no", "retryable": False}}), a_job("nobody_knows_this"))
    worker.leave()
    found = scrape(config)
    assert value(found, "portal_jobs_total", engine="act", outcome="succeeded") == 1
    assert value(found, "portal_jobs_total", engine="act", outcome="failed") == 1
    assert value(found, "portal_jobs_total", engine="unknown", outcome="rejected") == 1
    assert value(found, "portal_job_attempts_total", engine="act", outcome="succeeded") == 1
    assert value(found, "portal_job_duration_seconds_count", engine="act") == 2
    assert (value(found, "portal_job_cpu_seconds_total", engine="act") or 0) > 0
    assert not any("nobody_knows_this" in part for _, labels in found for pair in labels for part in pair)


def test_what_one_record_adds() -> None:
    attempts = (
        Attempt(1, "w", "h", "2026-11-20T10:00:02.000Z", outcome="failed", cpu_s=0.5),
        Attempt(2, "w", "h", "2026-11-20T10:00:30.000Z", outcome="succeeded"),
    )
    job = finished_job("2026-11-20T10:01:00.000Z", attempts=attempts, not_before="2026-11-20T10:00:01.000Z")
    assert of_records.of(job.to_json().encode(), []) == {
        "jobs|migrate|succeeded": 1, "attempts|migrate|failed": 1, "attempts|migrate|succeeded": 1, "cpu_s|migrate|": 0.5, "bytes|migrate|": 1234,
        "duration|migrate|7": 1, "duration_s|migrate|": 58.0, "wait|migrate|2": 1, "wait_s|migrate|": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("changes", "engine"), [
    ({}, "migrate"), ({"engine": "evil|label"}, "unknown"), ({"engine": "gone"}, "gone"), ({"engine": "gone", "attempts": ()}, "unknown"),
    ({"engine": "list", "attempts": ()}, "list"), ({"result": {"bytes": -5}}, "migrate"), ({"result": {"bytes": True}}, "migrate"),
    ({"result": {"bytes": "many"}}, "migrate"), ({"result": None}, "migrate"), ({"finished_at": None}, "migrate"),
    ({"attempts": (Attempt(1, "w", "h", "yesterday", outcome="fine", cpu_s=math.inf),)}, "migrate"),
])  # fmt: skip
def test_no_record_breaks_the_totals(changes: dict[str, Any], engine: str) -> None:
    record = json.dumps(finished_job(**changes).asdict()).encode()
    found = of_records.of(record, ["list", "migrate"])
    assert {of_records.parted(name)[1] for name in found} == {engine if b"Infinity" not in record else "unknown"}
    assert all(number >= 0 and math.isfinite(number) for number in found.values())


@given(st.binary(max_size=200))
@hypothesis_settings(max_examples=50, deadline=None)
def test_whatever_lies_in_the_archive_is_counted(record: bytes) -> None:
    assert of_records.of(record, []) == {"jobs|unknown|unreadable": 1}


# The archive: exact, monotonic, cheap


def totals(spool: Spool) -> ArchiveTotals:
    return ArchiveTotals(spool.layout, lambda: ["migrate"])


def jobs(found: Totals) -> float:
    return sum(number for name, number in found.items() if name.startswith("jobs|"))


def fill(spool: Spool, day: datetime, count: int) -> list[Path]:
    return [put(spool.layout.archive, finished_job(f"{day:%Y-%m-%dT%H:%M:%S}.000Z")) for _ in range(count)]


def settle(spool: Spool) -> None:
    """Let the folders of the archive look as if they had been left alone for some time."""
    for folder in spool.layout.archive.glob("????/??/??"):
        os.utime(folder, (1_700_000_000, 1_700_000_000 + len(os.listdir(folder))))


def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    calls = Calls(monkeypatch)
    counted = [0]

    def since() -> int:
        now = sum(count for path, count in calls.read.items() if len(path.stem) == 26)
        fresh, counted[0] = now - counted[0], now
        return fresh

    return since


def test_each_record_is_read_once_whatever_is_asked_later(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    since = reads(monkeypatch)
    for back in range(40):
        fill(spool, NOON - timedelta(days=back), 3)
    settle(spool)
    first = totals(spool)
    assert jobs(first.look(NOON)) == 120 and since() == 120
    assert jobs(first.look(NOON)) == 120 and since() == 0
    assert jobs(totals(spool).look(NOON)) == 120 and since() == 3, "another process reads today's only"
    assert sorted(path.name for path in (spool.layout.archive / ".metrics").iterdir()) == [
        *(f"2026-11-{day}.json" for day in range(14, 21)), "totals.json",
    ]  # fmt: skip
    fill(spool, NOON, 2)
    settle(spool)
    assert jobs(first.look(NOON)) == 122 and since() == 2, "only what came since"


def test_a_look_costs_the_same_in_an_archive_of_ten_years(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    for back in range(0, 3650, 50):
        fill(spool, NOON - timedelta(days=back), 1)
    settle(spool)
    assert jobs(totals(spool).look(NOON)) == 73
    files: Counter[str] = Counter()
    read = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: (files.update([path.name]), read(path))[1])
    assert jobs(totals(spool).look(NOON)) == 73
    assert sum(files.values()) <= 4


def test_a_record_within_the_same_tick_of_the_clock_is_counted(spool: Spool) -> None:
    (first,) = fill(spool, NOON, 1)
    exporter, changed_ns = totals(spool), first.parent.stat().st_mtime_ns
    assert jobs(exporter.look(NOON)) == 1
    fill(spool, NOON, 1)
    os.utime(first.parent, ns=(changed_ns, changed_ns))
    assert jobs(exporter.look(NOON)) == 2


def test_many_records_of_today_are_kept_for_the_next_process(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_archive, "_SAVE_AFTER", 10)
    since = reads(monkeypatch)
    fill(spool, NOON, 25)
    assert jobs(totals(spool).look(NOON)) == 25 and since() == 25
    fill(spool, NOON, 2)
    assert jobs(totals(spool).look(NOON)) == 27 and since() == 2


def test_counters_go_on_over_days_and_restarts(spool: Spool) -> None:
    exporter, expected = totals(spool), 0
    for day in range(30):
        now = NOON + timedelta(days=day)
        for hour in (0, 6):
            fill(spool, now + timedelta(hours=hour), 1)
            expected += 1
            settle(spool)
            restarted = totals(spool)
            assert [jobs(item.look(now + timedelta(hours=hour))) for item in (exporter, restarted)] == [expected, expected]


def test_a_record_that_comes_late_is_counted(spool: Spool) -> None:
    fill(spool, NOON - timedelta(days=2), 3)
    settle(spool)
    exporter = totals(spool)
    assert jobs(exporter.look(NOON)) == 3
    fill(spool, NOON - timedelta(days=2), 1)
    settle(spool)
    assert [jobs(item.look(NOON)) for item in (exporter, totals(spool))] == [4, 4]


@pytest.mark.parametrize("back", [0, 1, 3, 20])
def test_nothing_is_uncounted_when_records_are_removed(spool: Spool, back: int) -> None:
    paths = fill(spool, NOON - timedelta(days=back), 4)
    settle(spool)
    exporter = totals(spool)
    assert jobs(exporter.look(NOON)) == 4
    for path in paths[1:]:
        path.unlink()
    settle(spool)
    assert jobs(exporter.look(NOON)) == 4
    assert back == 0 or jobs(totals(spool).look(NOON)) == 4
    paths[0].unlink()
    paths[0].parent.rmdir()
    assert jobs(exporter.look(NOON)) == 4
    assert back == 0 or jobs(totals(spool).look(NOON)) == 4
    assert jobs(exporter.look(NOON + timedelta(days=30))) == 4


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": 0}', '{"version": 1}', '{"version": 1, "until": "x", "totals": []}', "\0" * 20])
def test_what_was_kept_may_be_lost_or_torn(spool: Spool, content: str) -> None:
    for back in (0, 2, 20):
        fill(spool, NOON - timedelta(days=back), 2)
    settle(spool)
    assert jobs(totals(spool).look(NOON)) == 6
    for path in (spool.layout.archive / ".metrics").iterdir():
        path.write_text(content)
    assert jobs(totals(spool).look(NOON)) == 6


def test_dying_between_the_totals_and_the_days_counts_nothing_twice(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(spool, NOON, 2)
    settle(spool)
    assert jobs(totals(spool).look(NOON + timedelta(days=2))) == 2
    kept = list((spool.layout.archive / ".metrics").glob("2026*.json"))
    with monkeypatch.context() as patched:
        patched.setattr(Path, "unlink", lambda *_, **__: None)
        assert jobs(totals(spool).look(NOON + timedelta(days=20))) == 2
    assert kept and all(path.exists() for path in kept)
    assert jobs(totals(spool).look(NOON + timedelta(days=20))) == 2


def test_who_may_not_write_gets_figures_all_the_same(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(metrics_archive, "publish", refused)
    for back in (0, 2, 20):
        fill(spool, NOON - timedelta(days=back), 2)
    assert jobs(totals(spool).look(NOON)) == 6


def test_nobody_else_stumbles_over_what_is_kept(config: Settings, spool: Spool) -> None:
    fill(spool, NOON - timedelta(days=20), 2)
    before = [(item.kind, item.path) for item in inspect(config)]
    assert jobs(totals(spool).look(NOON)) == 2
    assert list((spool.layout.archive / ".metrics").iterdir())
    assert [(item.kind, item.path) for item in inspect(config)] == before
    assert len(seal.seal_closed_days(config)) == 1 and seal.verify(config) == []
    assert len(spool.archive_folders()) == 1


# Printing, writing, serving


def test_the_command_prints_what_parses(config: Settings, spool: Spool, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics"]) == 0
    assert value(parsed(capsys.readouterr().out), "portal_build_info", version=figures.version()) == 1


def test_no_user_job_or_secret_is_in_the_figures(config: Settings, spool: Spool) -> None:
    marks = ("ann-the-user", "secret-bucket", "team-label", "secret-reason")
    job = spool.submit(a_job(submitted_by=marks[0], params={"source": marks[1]}, labels={"team": marks[2]}, limits=(marks[2],)))
    put(spool.layout.archive, finished_job(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000Z", submitted_by=marks[0], error=marks[3]))
    spool.pause(by=marks[0], why=marks[3])
    spool.cancel(job.id, marks[0])
    text = figures.text(config).decode()
    assert not [mark for mark in (*marks, job.id) if mark in text]
    labels = {name for _, found in parsed(text) for name, _ in found}
    assert labels <= {"engine", "outcome", "state", "folder", "version", "le"}


def test_the_text_file_is_whole_and_readable_for_the_node_exporter(config: Settings, spool: Spool, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "portal.prom"
    path.write_text("old")
    assert main(["metrics", "--textfile", str(path)]) == 0
    assert parsed(path.read_text()) and path.stat().st_mode & 0o777 == 0o644
    assert [item.name for item in tmp_path.iterdir() if item.name != "home"] == ["portal.prom"]
    assert main(["metrics", "--textfile", str(tmp_path / "portal.txt")]) == 2
    assert main(["metrics", "--textfile", str(tmp_path / "none" / "portal.prom")]) == 1
    assert "its folder must be there" in capsys.readouterr().err.lower()


@pytest.mark.parametrize("address", ["", "here", ":9108", "1.2.3.4:", "70000", "127.0.0.1:-1", "²"])
def test_a_wrong_address_is_refused(config: Settings, address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--listen", address]) == 2
    assert "is not an address to listen on" in capsys.readouterr().err


@contextmanager
def served(config: Settings) -> Iterator[MetricsServer]:
    server = MetricsServer(config, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(server: MetricsServer, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_address[1], timeout=20)
    try:
        connection.request(method, path)
        answer = connection.getresponse()
        return answer.status, dict(answer.headers), answer.read()
    finally:
        connection.close()


def test_it_serves_figures_and_health(config: Settings, spool: Spool) -> None:
    with served(config) as server:
        status, headers, body = ask(server, "/metrics?x=1")
        assert status == 200 and headers["Content-Type"].startswith("text/plain; version=") and parsed(body.decode())
        assert "Python" not in headers["Server"]
        status, _, body = ask(server, "/healthz")
        assert (status, json.loads(body)["problems"][0]["kind"]) == (503, "no-worker")
        registered = workers.register(spool.layout, 1)
        assert ask(server, "/healthz")[0] == 200 and json.loads(ask(server, "/healthz")[2])["well"] is True
        assert ask(server, "/metrics", "HEAD")[2] == b"" and ask(server, "/")[0] == 404 and ask(server, "/../etc/passwd")[0] == 404
        assert ask(server, "/metrics", "POST")[0] == 501
        registered.leave()


def test_clients_that_dawdle_keep_nobody_out_for_long(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("portal.metrics.server._CUT_OFF_S", 0.5)
    with served(config) as server:
        dawdling = [socket.create_connection(server.server_address[:2]) for _ in range(8)]  # type: ignore[arg-type]
        for client in dawdling:
            client.sendall(b"GET /met")
            client.settimeout(10)
        assert all(client.recv(100) == b"" for client in dawdling), "each is cut off"
        for client in dawdling:
            client.close()
        assert ask(server, "/healthz")[0] == 503


def test_more_than_a_few_at_once_are_turned_away(config: Settings, spool: Spool) -> None:
    with served(config) as server:
        waiting = [socket.create_connection(server.server_address[:2]) for _ in range(8)]  # type: ignore[arg-type]
        late = socket.create_connection(server.server_address[:2])  # type: ignore[arg-type]
        assert late.recv(100) == b""
        for client in (*waiting, late):
            client.close()


def test_it_listens_on_this_machine_and_ends_on_sigterm(config: Settings, spool: Spool) -> None:
    command = [sys.executable, "-m", "portal", "metrics", "--listen", "0"]
    process = subprocess.Popen(command, cwd=CODE_ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr
    url = process.stderr.readline()
    found = re.search(r"serving http://127\.0\.0\.1:(\d+)/metrics", url)
    assert found, url
    connection = http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=20)
    connection.request("GET", "/metrics")
    assert parsed(connection.getresponse().read().decode())
    connection.close()
    taken = subprocess.run([*command[:-1], found[1]], cwd=CODE_ROOT, capture_output=True, text=True)
    assert taken.returncode == 1 and f"127.0.0.1:{found[1]} cannot be listened on" in taken.stderr
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=20)
    assert (process.returncode, said) == (0, "")


def test_who_may_not_read_the_archive_is_told(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def refused(*_: object) -> Totals:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(ArchiveTotals, "look", refused)
    assert main(["metrics"]) == 1
    assert "add it to its group" in capsys.readouterr().err
    with served(config) as server:
        status, _, body = ask(server, "/metrics")
        assert status == 500 and b"portal metrics` tells why" in body


def test_a_look_that_fails_is_answered(config: Settings, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("portal.health.look", broken)
    with served(config) as server:
        assert ask(server, "/healthz")[0] == 500


def test_settings_do_not_matter_to_what_is_counted(home: Path, spool: Spool) -> None:
    fill(spool, datetime.now(UTC) - timedelta(days=1), 1)
    assert value(scrape(portal_settings.load(home)), "portal_jobs_total", engine="migrate", outcome="succeeded") == 1


def test_a_job_that_never_ran_has_neither_wait_nor_duration() -> None:
    moment = "2026-11-20T10:00:00.000Z"
    job = Job(job_id_of(1_700_000_000_000), "migrate", {}, moment, status=Status.CANCELLED, finished_at=moment)
    assert of_records.of(job.to_json().encode(), ["migrate"]) == {"jobs|migrate|cancelled": 1, "bytes|migrate|": 0}
