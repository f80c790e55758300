"""Comparing a source with a target without copying: list both, put what belongs together side by side, compare, account for every object."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

from portal.comparing.belongings import Belongings, Converted, joined_name
from portal.comparing.evidence import Compared, Pair
from portal.comparing.join import Row, SortedRows, joined
from portal.comparing.report import Line, Report
from portal.errors import Cancelled
from portal.planning import names
from portal.planning.filters import Filters
from portal.planning.listing import Lister
from portal.planning.plan import BAD_NAME, START, Page
from portal.planning.planning import Rules
from portal.planning.sources import Source
from portal.wire.ends import Listed

_AHEAD = 2_000
"""Pairs that may be compared before an earlier one that takes longer: results are written in order."""


class Compares(Protocol):
    """Compares pairs; called by many threads. Raises Cancelled."""

    def at_once(self, pair: Pair) -> Compared | None:
        """Compare what the listings tell; None when the stores must be asked."""
        ...

    def by_asking(self, pair: Pair) -> Compared: ...


@dataclass(frozen=True)
class Comparison:
    """Everything a comparison needs to know."""

    rules: Rules
    """How sources would be named at the target; without filters, so that what they leave out has a name there too."""
    filters: Filters
    source: Source
    """Gives pages made by `rules`."""
    target: Lister
    comparer: Compares
    threads: int
    one_way: bool
    """What only the target has does not matter."""
    folder: Path
    tell: Callable[[int, int | None, str], None]
    """Told (objects, objects in all or None, note); raises Cancelled when the job shall stop."""
    converted: Converted = "none"

    def run(self, report: Report) -> int:
        """Compare everything into an open report; returns how many objects were listed at the source.

        Raises NotFound when there is no such container, Cancelled, BooksDoNotBalance."""
        with SortedRows(self.folder / ".sources") as sources, SortedRows(self.folder / ".targets") as targets:
            one_way = self._list_source(sources) or self.one_way
            self._list_target(targets)
            for done, line in enumerate(self._in_order(self._pairs(sources, targets, report, one_way)), 1):
                report.add(line)
                if done % 1_000 == 0 or line.compared.level in ("read", "stored"):
                    self.tell(done, sources.count, "comparing")
            report.refuse_imbalance(sources.count, targets.count)
            return sources.count

    def _list_source(self, rows: SortedRows) -> bool:
        """Returns whether the source is one object: all else in the target's folder is none of its business."""
        itself = False
        for page in self.source.pages(START, 0):
            itself = itself or self.rules.source_prefix in page.keys[:1]
            rows.add(self._source_rows(page))
            self.tell(rows.count, None, "listing the source")
        return itself and rows.count == 1

    def _source_rows(self, page: Page) -> Iterator[Row]:
        below = [names.below(key, self.rules.source_prefix) or key for key in page.keys]
        reasons = self._refusals(below, page.sizes, page.modified, page.classes)
        for entry, name, md5, left_out in zip(page.entries(), below, page.md5s, reasons, strict=True):
            excluded = bool(left_out) or entry.action == "exclude"
            target = joined_name(entry.target_key, self.converted) if entry.action != "fail" else ""
            yield (
                target, name, entry.key, entry.size_bytes, entry.etag, md5, excluded, entry.action == "convert",
                "" if entry.moves else entry.reason,
            )  # fmt: skip

    def _refusals(self, below: list[str], sizes: list[int], modified: list[str], classes: list[str]) -> list[str]:
        blank = [""] * len(below)
        return self.filters.refusals(below, Listed(below, sizes, blank, modified, classes, [False] * len(below), blank, blank))

    def _list_target(self, rows: SortedRows) -> None:
        for page in self.target.pages(self.rules.folder):
            rows.add(
                (joined_name(names.readable(key), self.converted), size, etag, source, md5, names.readable(key))
                for key, size, etag, source, md5, folder in zip(
                    page.keys, page.sizes, page.etags, page.sources, page.md5s, page.folders, strict=True
                )
                if not folder and not (key.endswith("/") and not size)
            )
            self.tell(rows.count, None, "listing the target")

    def _pairs(self, sources: Iterable[Row], targets: Iterable[Row], report: Report, one_way: bool) -> Iterator[tuple[Line, Pair | None]]:
        """Yield what becomes a line; with a pair when it still has to be compared."""
        before, belongings = "", Belongings()
        for source, target in joined(sources, targets):
            if target is not None and source is not None and target[0] != before:
                report.paired_targets, before = report.paired_targets + 1, target[0]
                if source[7]:
                    belongings.paired(before)
            if source is None:
                if target is not None and belongings.have(target[0]):
                    report.beside += 1
                elif (line := self._only_target(target, report, one_way)) is not None:
                    yield line, None
            elif source[6]:
                report.excluded += 1
            elif target is None:
                reason = source[8] or "there is no such target"
                missing = Compared("error" if source[8] and not source[8].startswith(BAD_NAME) else "only-source", "none", "", reason)
                yield Line(source[1], source[2], source[0] or None, source[3], None, source[4], None, missing), None
            else:
                yield _beside(source, target)

    def _only_target(self, target: Row | None, report: Report, one_way: bool) -> Line | None:
        if target is None:
            return None
        _, size, etag, _, _, key = target
        name = key[len(self.rules.folder) :]
        plain = names.decoded(name) if self.rules.bad_names == "rename" else name
        if one_way or self._by_name.refusals([plain], Listed([plain], [size], [""], [""], [""], [False], [""], [""]))[0]:
            report.ignored += 1
            return None
        return Line(name, None, key, None, size, None, etag, Compared("only-target", "none", "", "there is no such source"))

    @cached_property
    def _by_name(self) -> Filters:
        return replace(self.filters, min_bytes=None, max_bytes=None, since=None, until=None, classes=())

    def _in_order(self, pairs: Iterator[tuple[Line, Pair | None]]) -> Iterator[Line]:
        waiting: deque[tuple[Line, Future[Compared] | None]] = deque()
        pool = ThreadPoolExecutor(self.threads, thread_name_prefix="compare")
        patient = True
        try:
            for line, pair in pairs:
                told = line.compared if pair is None else self.comparer.at_once(pair)
                if told is not None:
                    waiting.append((line._replace(compared=told), None))
                elif pair is not None:
                    waiting.append((line, pool.submit(self.comparer.by_asking, pair)))
                while waiting and (len(waiting) >= _AHEAD or waiting[0][1] is None or waiting[0][1].done()):
                    yield _ended(*waiting.popleft())
            while waiting:
                yield _ended(*waiting.popleft())
        except (Cancelled, GeneratorExit):
            patient = False  # a service may be silent
            raise
        finally:
            pool.shutdown(wait=patient, cancel_futures=True)


def _ended(line: Line, compared: Future[Compared] | None) -> Line:
    return line if compared is None else line._replace(compared=compared.result())


def _beside(source: Row, target: Row) -> tuple[Line, Pair]:
    _, name, source_key, size, etag, md5, _, converted, _ = source
    _, target_size, target_etag, recorded, target_md5, key = target
    pair = Pair(source_key, key, size, etag, md5, target_size, target_etag, target_md5, recorded, converted)
    return Line(name, source_key, key, size, target_size, etag, target_etag, Compared("error")), pair
