"""The systemd units are what systemd accepts, and every path, command and flag in them exists."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from portal.cli import COMMANDS

ROOT = Path(__file__).resolve().parent.parent
UNITS = sorted((ROOT / "deploy" / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
CODE = "/opt/portal"


def values(unit: Path, name: str) -> list[str]:
    return [line.partition("=")[2] for line in unit.read_text("utf-8").splitlines() if line.startswith(f"{name}=")]


def command(unit: Path) -> list[str]:
    (line,) = values(unit, "ExecStart")
    program, *words = line.split()
    return [program.replace(CODE, str(ROOT)), *(word.replace("%H-%i", "host-1") for word in words)]


@pytest.mark.parametrize("unit", SERVICES, ids=lambda unit: unit.name)
def test_every_path_command_and_flag_exists(unit: Path) -> None:
    assert values(unit, "WorkingDirectory") == [CODE] and values(unit, "User") == ["portal"]
    (page,) = values(unit, "Documentation")
    assert Path(page.removeprefix("file:").replace(CODE, str(ROOT))).is_file()
    program, *words = command(unit)
    assert Path(program).is_file()
    if words[:2] == ["-m", "portal"]:
        assert words[2] in COMMANDS
        shown = _help([program, *words[:3], "--help"])
        flags = [word for word in words[3:] if word.startswith("-")]
    else:
        target = "worker.py" if words[0] == "worker.py" else words[1]
        assert (ROOT / target).is_file()
        shown = _help([program, "worker.py", "--help"] if target == "worker.py" else [program, "run", "--help"])
        flags = [word for word in words if word.startswith("-")]
    assert [flag for flag in flags if flag not in shown] == []


def _help(words: list[str]) -> str:
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True, timeout=60).stdout


def test_a_worker_that_is_stopped_leaves_its_engines_alone() -> None:
    unit = ROOT / "deploy" / "systemd" / "portal-worker@.service"
    assert (values(unit, "KillMode"), values(unit, "OOMPolicy"), values(unit, "Restart")) == (["process"], ["continue"], ["on-failure"])
    assert not values(unit, "PrivateTmp") and not values(unit, "RuntimeDirectory"), "systemd removes them under the engines that go on"


@pytest.mark.parametrize("timer", [path for path in UNITS if path.suffix == ".timer"], ids=lambda unit: unit.name)
def test_every_timer_has_its_service(timer: Path) -> None:
    assert timer.with_suffix(".service") in SERVICES


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed here")
def test_systemd_accepts_every_unit(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text("utf-8").replace(CODE, str(ROOT))
        (tmp_path / unit.name.replace("@.", "@1.")).write_text(text)
    names = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", *names], capture_output=True, text=True, check=False, timeout=60
    )
    ours = [line for line in done.stderr.splitlines() if "portal-" in line]
    assert (done.returncode, ours) == (0, [])
