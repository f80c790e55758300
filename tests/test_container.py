"""The container as far as it can be proved without an engine: Dockerfile linted and followed, compose file read, and the same entry points
run by another, unprivileged user in a folder that holds exactly what the image would."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
import yaml

from portal import clock, health, processes, settings
from portal.settings import Settings
from portal.spool.layout import Layout
from portal.spool.locks import holder
from tests.container_image import ROOT, context, ignored, lets_through, stages, unpack

COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
USER = 10001
HOME = "/var/lib/portal"
KNOWN = {
    "image", "build", "restart", "init", "read_only", "tmpfs", "cap_drop", "security_opt", "logging", "volumes", "hostname", "container_name",
    "command", "stop_signal", "stop_grace_period", "ports", "healthcheck", "profiles",
}  # fmt: skip
"""Of the Compose Specification's service keys, those that this file needs; another one is a slip until it is added here."""


# ── Dockerfile ──


def test_hadolint_finds_nothing() -> None:
    command = [Path(sys.executable).with_name("hadolint"), "--failure-threshold", "style", "Dockerfile"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("name", ["portal", "lake", "box"])
def test_an_image_runs_as_nobody_in_particular_and_says_how_it_is(name: str) -> None:
    stage = stages()[name]
    assert stage.all("USER")[-1] == f"{USER}:{USER}"
    assert "USER root" not in (ROOT / "Dockerfile").read_text("utf-8")
    assert json.loads(stage.all("HEALTHCHECK")[-1].partition(" CMD ")[2]) == ["python", "-m", "portal", "health"]
    assert f"PORTAL_HOME={HOME}" in stage.all("ENV")[-1] and f"HOME={HOME}" in stage.all("ENV")[-1]


def test_the_plain_image_is_what_is_built_without_a_target_and_is_a_worker() -> None:
    *_, last = stages().values()
    assert last.name == "portal"
    assert last.all("CMD")[-1] == '["python", "worker.py"]' and last.all("STOPSIGNAL")[-1] == "SIGQUIT"


def test_the_lake_image_is_the_plain_one_with_more_libraries() -> None:
    plain, lake = stages()["portal"], stages()["lake"]
    assert lake.files == plain.files and lake.all("CMD") == plain.all("CMD") and lake.all("STOPSIGNAL") == plain.all("STOPSIGNAL")
    assert any("requirements-lake.txt" in line for line in stages()["libraries-lake"].all("RUN"))


def test_every_library_comes_by_its_hash_and_the_kernel_must_have_been_built() -> None:
    runs = [rest for stage in stages().values() for rest in stage.all("RUN")]
    installs = [line for line in runs if "pip install" in line]
    assert installs and all("--require-hashes" in line for line in installs)
    assert any("portal.native.build" in line and "test -n" in line for line in runs)


def test_no_secret_can_stay_in_a_layer() -> None:
    text = (ROOT / "Dockerfile").read_text("utf-8")
    assert re.findall(r"^ARG (\w+)", text, re.MULTILINE) == ["PYTHON_IMAGE"], "a build argument stays in the image's history"
    assert not re.search(r"PASSWORD|SECRET|TOKEN|ACCESS_KEY", text, re.IGNORECASE)
    assert "ADD " not in text


def test_the_stages_leave_compiler_caches_and_tests_behind() -> None:
    for name in ("portal", "lake", "box"):
        files = [str(path) for path in stages()[name].files]
        assert not [path for path in files if path.startswith(("/opt/portal/tests", "/opt/portal/bench", "/opt/portal/.git", "/opt/portal/docs"))]
        assert not [path for path in files if path.endswith(".pyc")]
        assert any(path.startswith("/opt/portal/embedded/") for path in files) == (name == "box")


def test_the_image_holds_all_code_that_runs() -> None:
    command = ["git", "ls-files", "app.py", "worker.py", "engines", "portal", "static"]
    tracked = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    held = {path.relative_to("/opt/portal").as_posix() for path in stages()["portal"].files}
    needed = {name for name in tracked.stdout.split() if (ROOT / name).is_file()} | {".streamlit/config.toml"}
    assert needed - held == set()


# ── .dockerignore ──


@pytest.mark.parametrize(
    "path",
    [".env", ".keys/seal.key", "connections.toml", "users.toml", ".streamlit/secrets.toml", ".git/config", "queue/5-x.json", "logs/x.log",
     "archive/x", ".portal/.env", "portal/.env", "portal/x/.keys/k", "embedded/.env", ".venv/bin/python", "tests/test_x.py", "aws.json",
     "portal/native/built/kernel-0.so", "portal/__pycache__/x.pyc", "engines/list.pyc"],
)  # fmt: skip
def test_secrets_state_and_leftovers_do_not_reach_the_build(path: str) -> None:
    assert not lets_through(path, ignored())


@pytest.mark.parametrize(
    "path", ["app.py", "portal/ui/gate.py", "portal/ui/components/x.css", "engines/list.py", ".streamlit/config.toml", "embedded/box.py"]
)
def test_what_the_image_needs_reaches_the_build(path: str) -> None:
    assert lets_through(path, ignored())


def test_the_context_is_small() -> None:
    assert sum(path.stat().st_size for path in context().values()) < 8 << 20
    assert PurePosixPath("/.env") not in context()


# ── compose.yaml ──


def test_services_say_only_what_compose_knows() -> None:
    assert {"worker", "launcher", "box"} == set(SERVICES)
    for name, service in SERVICES.items():
        assert set(service) - KNOWN == set(), name
        assert service["build"]["target"].replace("${TARGET:-portal}", "portal") in stages()
    named = {re.sub(r"\$\{\w+:-(\w+)\}", r"\1", volume).partition(":")[0] for service in SERVICES.values() for volume in service["volumes"]}
    assert named == set(COMPOSE["volumes"])


def test_queue_logs_and_archive_share_one_file_system_and_both_services_the_home() -> None:
    worker, launcher = SERVICES["worker"], SERVICES["launcher"]
    assert worker["volumes"] == launcher["volumes"] and worker["image"] == launcher["image"] and worker["build"] == launcher["build"]
    for service in SERVICES.values():
        targets = {volume.rpartition(":")[2] for volume in service["volumes"]}
        assert HOME in targets and not targets & {f"{HOME}/{folder}" for folder in ("queue", "logs", "archive", ".keys")}


def test_a_worker_has_time_to_end_its_jobs_and_is_the_only_one() -> None:
    worker = SERVICES["worker"]
    assert worker["stop_signal"] == "SIGQUIT" and worker["command"] == ["python", "worker.py"] and worker["init"] is True
    patience_s = Settings.model_fields["kill_after_s"].default + 10 + 2
    assert int(worker["stop_grace_period"].removesuffix("s")) > 2 * patience_s
    assert worker["container_name"] == "${COMPOSE_PROJECT_NAME}-worker"


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_can_do_little_and_is_reached_from_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True and service["cap_drop"] == ["ALL"] and service["security_opt"] == ["no-new-privileges:true"]
    assert all(re.match(r"(\$\{PUBLISH:-)?127\.0\.0\.1:", port) for port in service.get("ports", ()))
    assert "environment" not in service and "env_file" not in service, "what stands there is shown by `docker inspect`"


# ── the entry points, as the image would run them ──

APART = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")


@cache
def stranger() -> tuple[str, ...]:
    """What starts a command as the image's user, who can write nowhere but in its home. Nothing where this user is not root. Libraries below a
    home that is closed to others can be read by a capability."""
    become = ("setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--no-new-privs")
    ways = (become, (*become, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"))
    trial = "import dotenv, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    return next((way for way in ways if works(*way, sys.executable, "-c", trial)), ())


def works(*command: str) -> bool:
    return shutil.which(command[0]) is not None and subprocess.run(command, cwd="/", capture_output=True).returncode == 0


class Container:
    """A folder with what the image would hold, a home, and its entry points."""

    def __init__(self, root: Path, image: str = "portal") -> None:
        self.root = root
        self.code = unpack(stages()[image], root)
        self.home = root / HOME.lstrip("/")
        (self.home / "data").mkdir(parents=True)
        if stranger():
            for place in (self.home, self.home / "data"):
                os.chown(place, USER, USER)
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(self.home), "PORTAL_HOME": str(self.home), "PYTHONUNBUFFERED": "1",
            "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        self.running: list[subprocess.Popen[bytes]] = []

    def run(self, *words: str, text: str = "") -> subprocess.CompletedProcess[str]:
        """Run a command of the image to its end."""
        return subprocess.run(self._command(words), cwd=self.code, env=self.env, input=text, capture_output=True, text=True, timeout=60)

    def start(self, *words: str, within: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """Start a command of the image, `within` what gives it a PID namespace of its own."""
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.running.append(subprocess.Popen([*within, *self._command(words)], cwd=self.code, env=self.env, **quiet))
        return self.running[-1]

    @staticmethod
    def _command(words: tuple[str, ...]) -> list[str]:
        """The libraries are not copied: Python and its commands are those that run the tests."""
        first = sys.executable if words[0] == "python" else str(Path(sys.executable).with_name(words[0]))
        return [*stranger(), first, *words[1:]]

    def health(self) -> int:
        return self.run(*json.loads(stages()["portal"].all("HEALTHCHECK")[-1].partition(" CMD ")[2])).returncode

    def close(self) -> None:
        for child in self.running:
            if child.poll() is None:
                child.send_signal(signal.SIGQUIT)
        for child in self.running:
            child.wait(30)


def kill_namespace(outside: subprocess.Popen[bytes]) -> None:
    """Kill the first process of a PID namespace, and so all of it: --kill-child reaches nobody who became another user since."""
    for first in Path(f"/proc/{outside.pid}/task/{outside.pid}/children").read_text().split():
        os.kill(int(first), signal.SIGKILL)
    outside.wait(30)


@pytest.fixture
def container(request: pytest.FixtureRequest) -> Iterator[Container]:
    root = Path(tempfile.mkdtemp(prefix="portal-image-"))
    made = Container(root, getattr(request, "param", "portal"))
    yield made
    made.close()
    shutil.rmtree(root)


def soon(what: Any, timeout_s: float = 40) -> None:
    until = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < until
        time.sleep(0.2)


def begun(container: Container) -> str:
    """Submit a job that never ends, and return its id once it runs."""
    target = f"file://{container.home}/data/big.csv"
    asked = container.run("python", "-m", "portal", "submit", "generate", "--target", target, "--rows", "2000000000", "--json")
    assert asked.returncode == 0, asked.stderr
    job_id = str(json.loads(asked.stdout)["id"])
    soon(lambda: (container.home / "logs" / job_id / "progress.json").exists())
    return job_id


def written(folder: Path) -> set[str]:
    return {path.as_posix() for path in folder.rglob("*")}


def test_the_worker_serves_a_queue_and_tells_how_it_is(container: Container) -> None:
    before = written(container.code)
    assert container.health() == 1, "no worker has been there yet"
    worker = container.start(*SERVICES["worker"]["command"])
    soon(lambda: container.health() == 0)
    target = f"file://{container.home}/data/a.csv"
    done = container.run("python", "-m", "portal", "submit", "generate", "--target", target, "--rows", "100", "--wait", "--json")
    assert done.returncode == 0, done.stderr
    assert len((container.home / "data/a.csv").read_text().splitlines()) == 101
    worker.send_signal(getattr(signal, SERVICES["worker"]["stop_signal"]))
    assert worker.wait(30) == 0
    assert container.health() == 1
    assert written(container.code) == before, "nothing may be written beside the code: it is read-only in the container"
    if stranger():
        assert {path.stat().st_uid for path in container.home.rglob("*")} == {USER}


def test_the_stop_signal_ends_a_running_job_in_time_and_leaves_it_to_be_run_again(container: Container) -> None:
    worker = container.start(*SERVICES["worker"]["command"])
    job_id = begun(container)
    worker.send_signal(getattr(signal, SERVICES["worker"]["stop_signal"]))
    began = time.monotonic()
    assert worker.wait(60) == 0
    assert time.monotonic() - began < int(SERVICES["worker"]["stop_grace_period"].removesuffix("s"))
    shown = json.loads(container.run("python", "-m", "portal", "show", job_id, "--json").stdout)
    assert shown["status"] == "queued"
    assert not processes.marked(job_id, container.home)


def test_the_launcher_starts_with_an_account_only_and_its_health_is_asked_over_http(container: Container) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    words = [port if word == "8501" else word for word in SERVICES["launcher"]["command"]]
    refused = container.run(*words)
    assert refused.returncode == 2 and "no sign-in is configured" in refused.stderr
    added = container.run("python", "-m", "portal.ui.users", "add", "NAME", "--role", "admin", "--password-stdin", text="a-long-Passw0rd\n")
    assert added.returncode == 0, added.stderr
    check = [word.replace("8501", port) for word in SERVICES["launcher"]["healthcheck"]["test"][1:]]
    assert container.run(*check).returncode == 1
    launcher = container.start(*words)
    soon(lambda: container.run(*check).returncode == 0)
    launcher.send_signal(getattr(signal, SERVICES["launcher"]["stop_signal"]))
    launcher.wait(int(SERVICES["launcher"]["stop_grace_period"].removesuffix("s")))
    assert container.run(*check).returncode == 1


@pytest.mark.parametrize("container", ["box"], indirect=True)
def test_the_box_starts_from_its_image_and_ends_by_its_stop_signal(container: Container) -> None:
    """Its servers; launcher and worker beside them are those of the other image."""
    assert container.run(*json.loads(stages()["box"].all("CMD")[-1]), "--help").returncode == 0
    box = container.start("python", "-m", "embedded.box", "--home", str(container.home), "--empty")
    soon(lambda: (container.home / ".env").exists())
    assert "AWS_ENDPOINT_URL=http://127.0.0.1:" in (container.home / ".env").read_text()
    box.send_signal(getattr(signal, SERVICES["box"]["stop_signal"]))
    assert box.wait(30) == 0


# ── two containers: two PID namespaces ──


def test_a_runner_in_another_container_is_neither_living_nor_dead_here() -> None:
    here = processes.identity()
    assert processes.is_alive(here) and not processes.is_elsewhere(here)
    assert processes.is_elsewhere({**here, "namespace": "pid:[1]"})
    assert not processes.is_elsewhere({**here, "namespace": "pid:[1]", "boot": "another"}), "of an earlier boot nothing lives"
    assert not processes.is_elsewhere({name: value for name, value in here.items() if name != "namespace"}), "as earlier versions wrote it"


@pytest.mark.skipif(not works(*APART, "true"), reason="no PID namespace can be made here")
def test_the_launchers_container_finds_nothing_wrong_with_a_job_whose_runner_it_cannot_see(
    container: Container, monkeypatch: pytest.MonkeyPatch
) -> None:
    worker = container.start(*SERVICES["worker"]["command"], within=APART)
    config = settings.load(container.home)
    job_id = begun(container)
    now_ms = clock.now_ms() + 3_600_000  # an hour in which the job neither says nor does anything
    monkeypatch.setattr(clock, "now_ms", lambda: now_ms)
    assert processes.is_elsewhere(holder(Layout(config).lock(job_id)))
    assert [found.kind for found in health.look(config).problems] == []
    with monkeypatch.context() as before:
        before.setattr(processes, "is_elsewhere", lambda known: False)
        assert [found.kind for found in health.look(config).problems] == ["unsettled"]
    kill_namespace(worker)
