"""Objects moved on a real cluster: the ledger of one machine, whatever is killed, and no secret where Spark leaves things."""

from __future__ import annotations

import gc
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from embedded.processes import ROOT
from portal import settings
from portal.context import JobContext
from portal.lake.spark import distributing
from portal.lake.spark.session import spark_session
from portal.ledger.journal import JOURNAL_FILE
from portal.planning import plan
from portal.processes import descendants
from tests.proxy import Proxy, Rule, asks, faults
from tests.servers import ADLS_KEY
from tests.spark_cluster import SMALL_JAVA, Cluster, cluster, command, small
from tests.transferring import Clouds, Ran, get, keys, put

pytestmark = [
    pytest.mark.timeout(300),
    pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning"),  # pyspark leaves them to the collector
]
_TIMES = ("started_at", "finished_at", "duration_s", "target_etag", "target_url", "target_key", "attempts")
_WITHIN_S = 60


@pytest.fixture(scope="module")
def grid(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Cluster, Any]]:
    """A cluster and a session on it, which the engines here use; its pages and its event log are on."""
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "events").mkdir()
    shown = {"spark.ui.enabled": "true", "spark.ui.port": "0", "spark.eventLog.enabled": "true", "spark.eventLog.dir": (folder / "events").as_uri()}
    shown["spark.executor.extraJavaOptions"] = f"{SMALL_JAVA} -Djava.io.tmpdir={folder}/local"  # a killed one leaves what it unpacked
    with pytest.MonkeyPatch.context() as patch, cluster(folder) as found:
        for name, value in found.variables().items():
            patch.setenv(name, value)
        with spark_session(settings.load(folder), app="tests", conf=shown, iceberg=False) as session:
            yield found, session
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


def fill(clouds: Clouds, count: int = 48, size: int = 600) -> dict[str, bytes]:
    found = {f"in/{n:03}.csv": os.urandom(size + n) for n in range(count)}
    for key, data in found.items():
        put(clouds.s3, key, data)
    return found


def moved(clouds: Clouds, job: JobContext | None = None, **params: Any) -> Ran:
    return clouds.migrate(job, **{"source": f"{clouds.bucket}/in/", "mode": "stream", "formats": ("any",), "run_on": "spark", **params})


def arrived(clouds: Clouds, expected: dict[str, bytes], ran: Ran, folder: str = "") -> None:
    """Every object is there once, whole, and in the ledger once."""
    assert ran.code == 0, ran.result["error"]
    assert keys(clouds.adls, folder) == sorted(key.replace("in/", folder, 1) for key in expected)
    for key, data in expected.items():
        assert get(clouds.adls, key.replace("in/", folder, 1)) == data
    assert Counter(row["source_key"] for row in ran.table) == Counter(list(expected))
    assert {row["outcome"] for row in ran.table} <= {"copied", "skipped"}


def eventually(what: Callable[[], Any], within_s: float = _WITHIN_S) -> Any:
    until = time.monotonic() + within_s
    while not (found := what()):
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.05)
    return found


def movers(*roots: int) -> set[int]:
    """Processes that move objects, below others."""
    return {pid for pid in descendants(*roots) if b"portal.movers.process" in command(pid)}


def busy(found: Cluster) -> list[int]:
    """Executors that move objects at this moment."""
    return [pid for pid in found.executors() if movers(pid)]


def once(what: Callable[[], object]) -> Callable[[], object]:
    """Call it the first time only, and have others wait until that is done."""
    lock, done = threading.Lock(), threading.Event()

    def call() -> None:
        with lock:
            if not done.is_set():
                what()
                done.set()

    return call


def test_a_cluster_writes_the_ledger_of_one_machine(
    clouds: Clouds, grid: tuple[Cluster, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributing, "_FEWEST_OBJECTS", 5)
    expected = fill(clouds, 24)
    put(clouds.s3, "in/large.bin", os.urandom(9 << 20), metadata={"owner": "sales"})
    expected["in/large.bin"] = get(clouds.s3, "in/large.bin")
    put(clouds.s3, "in/left.tmp", b"not this")
    options = {"exclude": ("*.tmp",), "verify": "crc"}
    there = moved(clouds, target=f"{clouds.lake}/there/", **options)
    here = moved(clouds, target=f"{clouds.lake}/here/", run_on="local", **options)
    assert there.counts == here.counts == {"listed": 26, "copied": 25, "excluded": 1}
    assert there.result["bytes"] == here.result["bytes"]
    rows = [{key: {n: v for n, v in row.items() if n not in _TIMES} for key, row in ran.rows.items()} for ran in (here, there)]
    assert rows[0] == rows[1]
    for key, data in expected.items():
        assert get(clouds.adls, key.replace("in/", "there/", 1)) == data
    assert clouds.adls.stat("there/large.bin").metadata["owner"] == "sales"
    again = moved(clouds, target=f"{clouds.lake}/there/", overwrite="skip", **options)
    assert again.counts == {"listed": 26, "skipped": 25, "excluded": 1}


def test_what_killed_executors_and_workers_had_in_hand_is_moved_by_others(
    wires: tuple[Clouds, Proxy, Proxy], grid: tuple[Cluster, Any], hasty: None
) -> None:
    clouds, _, adls = wires
    found, _ = grid
    expected = fill(clouds)
    killed: list[str] = []

    def kill_executor() -> None:
        pid = eventually(lambda: busy(found))[0]
        os.kill(pid, signal.SIGKILL)
        killed.append("executor")

    def kill_worker() -> None:
        worker = next(worker for worker in found.workers if not worker.ended and any(movers(pid) for pid in descendants(worker.process.pid)))
        found.kill(worker)
        killed.append("worker")

    puts = asks("PUT", r"/\d{3}\.csv")
    adls.rules = [
        Rule(faults.before(once(kill_executor)), puts, times=1, skip=5), Rule(faults.before(once(kill_worker)), puts, times=1, skip=25),
    ]  # fmt: skip
    ran = moved(clouds)
    arrived(clouds, expected, ran)
    assert killed == ["executor", "worker"]
    written = Counter(name for one in adls.seen if one.status == 201 and (name := one.target.partition("?")[0]).endswith(".csv"))
    assert len(written) == len(expected) and sum(written.values()) <= len(expected) + 2 * 16  # two shares were in hand, no more went twice


def test_a_cancel_reaches_the_tasks_and_the_next_attempt_does_what_is_left(
    wires: tuple[Clouds, Proxy, Proxy], grid: tuple[Cluster, Any], hasty: None
) -> None:
    clouds, s3, _ = wires
    found, _ = grid
    expected = fill(clouds, 32)
    job = clouds.context()
    s3.rules = [Rule(faults.latency(30), asks("GET", r"/in/\d"), times=-1, skip=8)]
    reached: list[float] = []

    def cancel() -> None:
        eventually(lambda: busy(found))
        eventually(lambda: len(keys(clouds.adls)) == 8)
        job.cancel()
        since = time.monotonic()
        eventually(lambda: not busy(found))
        reached.append(time.monotonic() - since)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    first = moved(clouds, job)
    canceller.join()
    assert first.error["type"] == "Cancelled" and reached[0] < 15  # its requests take 30 s: nobody waited for them
    assert len(keys(clouds.adls)) >= 8
    s3.rules = []
    arrived(clouds, expected, moved(clouds, JobContext(job.job_id, job.folder, clouds.config, attempt=2)))


def test_a_killed_driver_leaves_nothing_behind_and_its_job_is_gone_on_with(
    wires: tuple[Clouds, Proxy, Proxy], grid: tuple[Cluster, Any], tmp_path: Path
) -> None:
    clouds, s3, adls = wires
    expected = fill(clouds)
    work = tmp_path / "work"
    command_line = [
        "--source", f"{clouds.bucket}/in/", "--target", f"{clouds.lake}/", "--mode", "stream", "--formats", "any", "--run-on", "spark",
        "--work-dir", str(work), "--quiet",
    ]  # fmt: skip
    environment = {**os.environ, **small(SPARK_MASTER="local[2]"), "PORTAL_HOME": str(clouds.home)}
    driver = subprocess.Popen(
        [sys.executable, "-m", "engines.migrate", *command_line], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, start_new_session=True
    )  # fmt: skip
    started: dict[int, bytes] = {}

    def kill() -> None:
        eventually(lambda: b'"end"' in (work / JOURNAL_FILE).read_bytes())
        started.update({pid: line for pid in descendants(driver.pid) if (line := command(pid))})
        driver.kill()

    adls.rules = [Rule(faults.before(once(kill)), asks("PUT", r"/\d{3}\.csv"), times=1, skip=33)]
    assert driver.wait(_WITHIN_S * 2) == -signal.SIGKILL
    for kind in (b"java", b"pyspark.daemon", b"portal.movers.process"):
        assert any(kind in line for line in started.values())
    eventually(lambda: not [pid for pid, line in started.items() if command(pid) == line], 15)
    adls.rules = []
    before = s3.count("GET", r"/in/\d")
    job = JobContext(plan.job_of(work / plan.PLAN_FILE), work, clouds.config, attempt=2)
    arrived(clouds, expected, moved(clouds, job))
    assert s3.count("GET", r"/in/\d") - before < len(expected)  # what had ended is left alone


def test_no_secret_rests_where_spark_leaves_things(clouds: Clouds, grid: tuple[Cluster, Any]) -> None:
    found, session = grid
    arrived(clouds, fill(clouds, 6), moved(clouds))
    patterns = (re.escape("testing-secret"), re.escape(ADLS_KEY), r"sig=[\w%+/-]{20,}", found.secret)
    secrets = [re.compile(pattern.encode()) for pattern in patterns]
    told = json.dumps(session.sparkContext.getConf().getAll()).encode().replace(found.secret.encode(), b"", 1)  # the driver itself must know it
    page, application = session.sparkContext.uiWebUrl, session.sparkContext.applicationId
    for name in ("environment", "jobs", "stages?details=true", "allexecutors", "storage/rdd"):
        with urllib.request.urlopen(f"{page}/api/v1/applications/{application}/{name}") as answer:
            told += answer.read()
    lines = [command(pid) for pid in descendants(os.getpid())]
    told += b"".join(line for line in lines if b"spark" in line or b"portal.movers" in line)
    texts = {"the pages, the configuration and the command lines": told}
    own = {found.folder / "spark.conf", found.folder / "secret"}
    for path in found.folder.rglob("*"):
        if path.is_file() and path not in own:
            texts[str(path)] = path.read_bytes()
    assert any("events" in name and b"SparkListenerJobStart" in text for name, text in texts.items())
    assert any(name.endswith("stderr") for name in texts)
    assert not [(name, secret.pattern) for name, text in texts.items() for secret in secrets if secret.search(text)]
    executors = found.executors()
    assert executors
    for pid in executors:
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        assert not [secret.pattern for secret in secrets[:3] if secret.search(environment)]
