"""What work costs as the queue and the archive grow, in files read and folders listed: never a clock."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from portal.cli import main
from portal.settings import Settings
from portal.spool import Spool
from tests.queues import a_job


class Calls:
    """Files that were read, and folders that were listed, by path."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.read: Counter[Path] = Counter()
        self.listed: Counter[Path] = Counter()
        read, listdir = Path.read_bytes, os.listdir
        monkeypatch.setattr(Path, "read_bytes", lambda path: (self.read.update([path]), read(path))[1])
        monkeypatch.setattr(os, "listdir", lambda path: (self.listed.update([Path(path)]), listdir(path))[1])

    def jobs_in(self, folder: Path) -> int:
        """Job files of a folder, and of those below it, that were read."""
        return sum(count for path, count in self.read.items() if path.suffix == ".json" and path.is_relative_to(folder))


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def put(spool: Spool, count: int, **changes: object) -> list[str]:
    """Lay jobs into the queue without waiting for the disk; returns their ids in the order of claims."""
    jobs = sorted((a_job(**changes) for _ in range(count)), key=lambda job: job.id)
    for job in jobs:
        (spool.layout.queue / f"5-{job.id}.json").write_text(job.to_json())
    return [job.id for job in jobs]


def test_a_list_reads_no_more_jobs_than_it_shows(spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ids = put(spool, 50)
    calls = Calls(monkeypatch)
    assert main(["jobs", "--limit", "3"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:4]] == ids[:3]
    assert calls.jobs_in(spool.layout.queue) <= 4


def test_a_short_id_is_found_by_names(spool: Spool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    ids = put(spool, 50)
    calls = Calls(monkeypatch)
    assert main(["show", ids[30][-10:]]) == 0
    assert ids[30] in capsys.readouterr().out
    assert calls.jobs_in(spool.layout.queue) <= 2
