"""Which queues are compared. Each lies in a module of its own, so that its processes import nothing of the others."""

from __future__ import annotations

from importlib import import_module

from bench.queue.contender import Contender

_PLACES = {
    "portal": "ours.Portal", "filehuey": "with_huey.FileHuey", "sqlitehuey": "with_huey.SqliteHuey",
    "persistfile": "with_persist_queue.PersistFile", "persistack": "with_persist_queue.PersistAck",
    "litequeue": "with_litequeue.LiteQueue", "litequeuefull": "with_litequeue.LiteQueueFull", "rq": "with_rq.Rq",
}  # fmt: skip

NAMES = tuple(_PLACES)


def load(name: str) -> type[Contender]:
    """Import a contender by its name."""
    module, _, kind = _PLACES[name].partition(".")
    found: type[Contender] = getattr(import_module(f"bench.queue.{module}"), kind)
    return found
