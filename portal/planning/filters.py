"""Which objects of a listing are meant. Patterns are compiled once; a page of a listing is judged column by column."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import translate
from functools import cached_property

from portal.planning.formats import ENDINGS, format_of
from portal.wire.ends import Listed

_SECONDS = len("2026-01-01T00:00:00")

Judge = Callable[[list[str], Listed], list[str]]
"""Gives, for each name of a page, why it is left out, or ''."""


@dataclass(frozen=True)
class Filters:
    """Formats, globs, regular expressions, sizes (bytes), dates and storage classes. An empty field lets everything pass.

    A glob without '/' is held against the last part of the name, one with '/' against the whole name below the source; `*` stands for any
    characters, '/' too, `?` for one, `[abc]` for one of them. A regular expression is searched in the name below the source. Case matters,
    but for storage classes.
    """

    formats: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    min_bytes: int | None = None
    max_bytes: int | None = None
    since: datetime | None = None
    until: datetime | None = None
    regex: Sequence[str] = ()
    classes: Sequence[str] = ()

    def refusals(self, names: list[str], found: Listed) -> list[str]:
        """Return why each object of a page is left out, '' when it is meant. `names` are the keys below the source."""
        reasons = [""] * len(names)
        for judge in self._judges:
            reasons = [reason or other for reason, other in zip(reasons, judge(names, found), strict=True)]
        return reasons

    def by_name(self) -> Filters:
        """Those of the filters that look at names and sizes alone."""
        return Filters(self.formats, self.include, self.exclude, self.min_bytes, self.max_bytes, regex=self.regex)

    def by_name_alone(self) -> Filters:
        """Those of the filters that need nothing but a name."""
        return Filters(self.formats, self.include, self.exclude, regex=self.regex)

    @cached_property
    def _judges(self) -> tuple[Judge, ...]:
        return tuple(self._made())

    def _made(self) -> Iterator[Judge]:
        if self.formats and "any" not in self.formats:
            yield _by_format(self.formats)
        if self.include:
            yield _by_include(self.include)
        if self.regex:
            yield _by_regex(self.regex)
        if self.exclude:
            yield _by_exclude(self.exclude)
        if self.min_bytes is not None or self.max_bytes is not None:
            yield _by_size(self.min_bytes, self.max_bytes)
        if self.since or self.until:
            yield _by_date(self.since, self.until)
        if self.classes:
            yield _by_class(self.classes)


def _by_format(formats: Sequence[str]) -> Judge:
    endings = tuple(ending for name in formats for ending in ENDINGS[name])
    wanted = ", ".join(formats)

    def judge(names: list[str], found: Listed) -> list[str]:
        return ["" if name.lower().endswith(endings) else f"its format is {format_of(name)}, wanted are {wanted}" for name in names]

    return judge


class _Globs:
    """Patterns as two regular expressions: one for the last part of a name, one for all of it."""

    def __init__(self, globs: Sequence[str]) -> None:
        self.globs = globs
        self._last = _joined([glob for glob in globs if "/" not in glob])
        self._whole = _joined([glob for glob in globs if "/" in glob])

    def fit(self, names: list[str]) -> list[bool]:
        last, whole = self._last, self._whole
        if whole is None and last is not None:
            return [last(name.rpartition("/")[2]) is not None for name in names]
        if last is None and whole is not None:
            return [whole(name) is not None for name in names]
        return [bool((whole and whole(name)) or (last and last(name.rpartition("/")[2]))) for name in names]


def _joined(globs: Sequence[str]) -> Callable[[str], re.Match[str] | None] | None:
    return re.compile("|".join(map(translate, globs))).match if globs else None


def _by_include(globs: Sequence[str]) -> Judge:
    fitting = _Globs(globs)
    return lambda names, found: ["" if fits else "no include pattern fits" for fits in fitting.fit(names)]


def _by_exclude(globs: Sequence[str]) -> Judge:
    fitting = _Globs(globs)
    each = [(glob, _Globs([glob])) for glob in globs]

    def which(name: str) -> str:
        glob = next(glob for glob, one in each if one.fit([name])[0])
        return f"the exclude pattern {glob} fits"

    return lambda names, found: [which(name) if fits else "" for name, fits in zip(names, fitting.fit(names), strict=True)]


def _by_regex(patterns: Sequence[str]) -> Judge:
    searches = [re.compile(pattern).search for pattern in patterns]

    def judge(names: list[str], found: Listed) -> list[str]:
        return ["" if any(search(name) for search in searches) else "no regular expression fits" for name in names]

    return judge


def _by_size(smallest: int | None, largest: int | None) -> Judge:
    low, high = smallest or 0, float("inf") if largest is None else largest
    small, large = f"it is smaller than {smallest} bytes", f"it is larger than {largest} bytes"
    return lambda names, found: ["" if low <= size <= high else small if size < low else large for size in found.sizes]


def _by_date(since: datetime | None, until: datetime | None) -> Judge:
    early = f"it was modified before {since.isoformat()}" if since else ""
    late = f"it was modified at or after {until.isoformat()}" if until else ""
    first, last = _to_seconds(since) or "", _to_seconds(until) or "~"

    def judge(names: list[str], found: Listed) -> list[str]:
        # In UTC, RFC 3339 moments are in the order of their text up to the seconds; what lies in the second of a bound is looked at closer.
        return [
            "" if not moment or first < (seconds := moment[:_SECONDS]) < last else
            early if seconds < first else late if seconds > last else _exactly(moment, since, until, early, late)
            for moment in found.modified
        ]  # fmt: skip

    return judge


def _to_seconds(moment: datetime | None) -> str | None:
    return moment.astimezone(UTC).isoformat()[:_SECONDS] if moment else None


def _exactly(text: str, since: datetime | None, until: datetime | None, early: str, late: str) -> str:
    moment = datetime.fromisoformat(text)
    if since and moment < since:
        return early
    return late if until and moment >= until else ""


def _by_class(classes: Sequence[str]) -> Judge:
    wanted = {name.lower() for name in classes}
    shown = ", ".join(classes)

    def judge(names: list[str], found: Listed) -> list[str]:
        return ["" if kind.lower() in wanted else f"its storage class is {kind or 'not told'}, wanted are {shown}" for kind in found.classes]

    return judge
