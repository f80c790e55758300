"""Where messages go that nobody can work with, whole and with the reason: another queue, or a folder."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from portal import clock
from portal.durable import make_folder, write_durably
from portal.errors import StoreError, visible
from portal.notices.sqs import NoticeQueue, Received
from portal.stores.local_files import translated

_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,100}")
_LONGEST_REASON = 1000


class DeadLetters(Protocol):
    @property
    def where(self) -> str:
        """For people."""
        ...

    def put(self, message: Received, why: str) -> None:
        """Keep a message, durably; the same one may be put twice. Raises what queues and stores do: the message must not be deleted then."""
        ...


@dataclass(frozen=True)
class DeadQueue:
    """The message goes on as it is; why, and where it comes from, are attributes of it."""

    queue: NoticeQueue
    source: str
    job_id: str

    @property
    def where(self) -> str:
        return f"the queue {self.queue.name}"

    def put(self, message: Received, why: str) -> None:
        told = {"portal-reason": visible(why)[:_LONGEST_REASON], "portal-queue": self.source, "portal-message": message.id, "portal-job": self.job_id}
        if refused := self.queue.send([message.body], told):
            raise StoreError(f"A dead letter could not be sent to {self.where}: {refused[0][1]}.")


@dataclass(frozen=True)
class DeadFolder:
    """A JSON file for each message, named by its id."""

    folder: Path
    source: str
    job_id: str

    @property
    def where(self) -> str:
        return f"file://{self.folder}/"

    def put(self, message: Received, why: str) -> None:
        name = message.id if _PLAIN.fullmatch(message.id) else hashlib.sha256(message.id.encode("utf-8", "replace")).hexdigest()
        told = {
            "schema": 1, "queue": self.source, "message_id": message.id, "sent_at": clock.iso(message.sent_ms), "received_times": message.times,
            "job": self.job_id, "put_at": clock.iso(clock.now_ms()), "reason": why, "body": message.body,
        }  # fmt: skip
        path = self.folder / f"{name}.json"
        with translated(str(path).lstrip("/")):
            make_folder(self.folder)
            write_durably(path, json.dumps(told, indent=1).encode() + b"\n")
