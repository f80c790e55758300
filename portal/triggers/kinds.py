"""The watch of each kind of trigger."""

from __future__ import annotations

from collections.abc import Callable

from portal.triggers.cron import CronWatch
from portal.triggers.folder.watch import FolderWatch
from portal.triggers.slower import SlowerLooker
from portal.triggers.sqs import SqsWatch
from portal.triggers.watching import Context, Looker, Watch

WATCHES: dict[str, type[Watch]] = {"cron": CronWatch, "folder": FolderWatch, "sqs": SqsWatch}

ALWAYS: dict[str, Callable[[Context], Looker]] = {".slower": SlowerLooker}
"""What the service looks at besides, by a name that no trigger can have: it begins with '.'."""

THREADS = {"cron": 4, "folder": 16, "sqs": 8, "always": 2}
"""How many triggers of a kind are looked at at a time: a folder that hangs, or a service that does not answer, keeps one of them busy."""
