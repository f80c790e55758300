"""Runs uploads that die at a point that is named, each in a process forked from this one, which has imported everything: `python -m
tests.upload_crashes`, with a case as JSON on each line of standard input; answers each with the exit status."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from engines import upload
from portal import settings
from portal.connections import S3Connection
from portal.context import JobContext
from portal.engine import execute
from portal.ledger import journal
from portal.notices import sqs
from portal.redact import Redactor
from portal.stores import s3_client
from portal.transfer import migration
from portal.transfer.uploading import after, announcing, putting_away, there

DIED = 77
POINTS = {
    "the journal": (journal.Journal, "end"), "the queue": (sqs.NoticeQueue, "send"), "what was told": (announcing.Sent, "note"),
    "the rename": (putting_away, "rename_fresh"), "what was moved": (after._AwayFile, "add"), "the ledger": (migration.ledger, "write"),
}  # fmt: skip
"""What may be the last thing that a process does, or does not do any more."""


def _dying(real: Callable[..., Any], when: str, nth: int) -> Callable[..., Any]:
    numbers = itertools.count(1)  # several threads call

    def called(*arguments: Any, **more: Any) -> Any:
        dies = next(numbers) == nth
        if dies and when == "before":
            os._exit(DIED)
        try:
            return real(*arguments, **more)
        finally:  # also after what went wrong: a name was another file's
            if dies:
                os._exit(DIED)

    return called


def _run(case: dict[str, Any]) -> int:
    if case["point"]:
        place, name = POINTS[case["point"]]
        setattr(place, name, _dying(getattr(place, name), case["when"], case["nth"]))
    job = JobContext(case["job"], Path(case["folder"]), settings.load(Path(case["home"])), attempt=case["attempt"])
    return execute(upload.Params, upload.run, case["params"], job, Redactor())


def main() -> None:
    for name in ("boto3", "portal.stores.s3", "portal.wire.s3_end", "portal.transfer.sides"):
        importlib.import_module(name)
    assert there
    unreached = S3Connection(endpoint_url="http://127.0.0.1:1", access_key_id="none", secret_access_key=SecretStr("none"))
    for service in ("s3", "sqs"):  # what the SDK knows of them is read once, not in each process
        made, named = s3_client.session(unreached)
        made.client(service, endpoint_url=unreached.endpoint_url, **named).close()
    for line in sys.stdin:
        child = os.fork()
        if not child:
            code = 70
            try:
                code = _run(json.loads(line))
            finally:
                os._exit(code)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


if __name__ == "__main__":
    main()
