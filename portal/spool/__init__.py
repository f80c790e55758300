"""The queue: the only code that creates, moves or removes a job file."""

from __future__ import annotations

from portal.spool.corrupt import CorruptFile
from portal.spool.layout import Waiting
from portal.spool.limits import LimitUse
from portal.spool.pausing import Pause
from portal.spool.reasons import Reason
from portal.spool.spool import Spool
from portal.spool.workers import WorkerInfo

__all__ = ["CorruptFile", "LimitUse", "Pause", "Reason", "Spool", "Waiting", "WorkerInfo"]
