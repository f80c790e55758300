"""Tables that killed runs made under names of their own and nobody went on with."""

from __future__ import annotations

from collections.abc import Iterator

from portal.lake.ingesting.landing import discard
from portal.lake.ingesting.table import Ingestion
from portal.lake.ingesting.target import KEPT, SOURCE, Target
from portal.lake.spark.failures import told
from portal.lake.table_name import STAGING

_OLD_MS = 24 * 3600 * 1000
"""A run that wrote nothing for so long is taken for dead."""


class Leftovers:
    """Of all tables of one run, which looks once at each namespace: to list one costs as much as there are tables in it."""

    def __init__(self, now_ms: int) -> None:
        self._now_ms = now_ms
        self._seen: dict[tuple[str, ...], list[str]] = {}

    def clear(self, ingestion: Ingestion) -> Iterator[str]:
        """Drop what other runs of this table left behind a day ago or earlier; yield a warning for what stays. Makes the namespace if need be."""
        target, own = ingestion.target, ingestion.options.run
        with told(f"Looking at {target.name}"):
            for name in self._staged(target):
                staging = target.named(name)
                if name.startswith(f"{target.name.table}{STAGING}") and not name.endswith(f"{STAGING}{own}") and staging.exists():
                    yield from _one(staging, ingestion, self._now_ms)

    def _staged(self, target: Target) -> list[str]:
        namespace = target.name.namespace
        if namespace not in self._seen:
            target.create_namespace()
            self._seen[namespace] = [name for name in target.tables() if STAGING in name]
        return self._seen[namespace]


def _one(staging: Target, ingestion: Ingestion, now_ms: int) -> Iterator[str]:
    properties = staging.properties()
    if properties.get(SOURCE) != str(ingestion.table.name):
        return
    changed_ms = int(staging.table().operations().current().lastUpdatedMillis())
    if properties.get(KEPT):
        yield f"{staging.name} was kept by an earlier run because its rows were not the source's: drop it when you have looked at it."
    elif now_ms - changed_ms < _OLD_MS:
        yield f"{staging.name} is of a run that is not over, or was killed less than a day ago: it goes on when that job is retried."
    else:
        discard(staging, ingestion.target, renames=ingestion.options.renames)
