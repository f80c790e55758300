"""`python -m tests.dying_download STEP FOLDER`: a download with FOLDER/params.json that dies after a step."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from engines import download
from portal import settings
from portal.context import JobContext
from portal.engine import execute
from portal.notices.sqs import NoticeQueue
from portal.redact import Redactor
from portal.transfer.downloading.record import Record
from portal.transfer.downloading.target import TargetFile

PLACES: dict[str, tuple[Any, str]] = {
    "filled": (TargetFile, "settle"), "published": (TargetFile, "publish"), "recorded": (Record, "sync"), "deleted": (NoticeQueue, "delete"),
}  # fmt: skip


def crash_after(step: str, folder: str) -> None:
    """Run a download in this process, and die at a step."""
    owner, name = PLACES[step]
    whole = getattr(owner, name)

    def dying(*given: Any, **named: Any) -> None:
        whole(*given, **named)
        os._exit(9)

    setattr(owner, name, dying)
    params = json.loads((Path(folder) / "params.json").read_text())
    execute(download.Params, download.run, params, JobContext("crash", Path(folder), settings.load()), Redactor())


if __name__ == "__main__":
    crash_after(*sys.argv[1:])
