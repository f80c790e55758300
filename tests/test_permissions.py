"""Who may read what the portal writes: its user and group, whatever the shell that started it allows."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from portal.settings import CODE_ROOT


def test_nothing_of_a_job_is_for_other_users(home: Path) -> None:
    before = set(home.rglob("*"))
    (home / "data" / "a.csv").write_text("id\n1\n")
    for command in (["-m", "portal", "submit", "list", "--source", f"file://{home}/data/"], ["worker.py", "--drain", "--quiet"]):
        subprocess.run([sys.executable, *command], cwd=CODE_ROOT, umask=0, check=True, timeout=60, capture_output=True)
    made = set(home.rglob("*")) - before - {home / "data" / "a.csv"}
    assert {"inventory.parquet", "progress.json", "result-1.json"} <= {path.name for path in made}
    assert not [path for path in made if path.stat().st_mode & 0o007 and ".keys" not in path.parts]
    assert (home / ".keys").stat().st_mode & 0o077 == 0
