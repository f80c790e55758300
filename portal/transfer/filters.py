"""Which objects of a listing are meant."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from portal.stores.base import ObjectInfo
from portal.transfer.formats import format_of


@dataclass(frozen=True)
class Filters:
    """Formats, globs, sizes (bytes) and dates. An empty field lets everything pass.

    A glob without '/' is held against the last part of the name, one with '/' against the whole name below the source; `*` stands for any
    characters, '/' too, `?` for one, `[abc]` for one of them. Case matters.
    """

    formats: Sequence[str] = ()
    include: Sequence[str] = ()
    exclude: Sequence[str] = ()
    min_bytes: int | None = None
    max_bytes: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def refusal(self, info: ObjectInfo, name: str) -> str:
        """Return why an object is left out, or '' when it is meant. `name` is its key below the source."""
        if self.formats and "any" not in self.formats and (found := format_of(name)) not in self.formats:
            return f"its format is {found}, wanted are {', '.join(self.formats)}"
        if self.include and not any(_matches(name, glob) for glob in self.include):
            return "no include pattern fits"
        if glob := next((glob for glob in self.exclude if _matches(name, glob)), ""):
            return f"the exclude pattern {glob} fits"
        return self._size_refusal(info) or self._date_refusal(info)

    def _size_refusal(self, info: ObjectInfo) -> str:
        if self.min_bytes is not None and info.size_bytes < self.min_bytes:
            return f"it is smaller than {self.min_bytes} bytes"
        if self.max_bytes is not None and info.size_bytes > self.max_bytes:
            return f"it is larger than {self.max_bytes} bytes"
        return ""

    def _date_refusal(self, info: ObjectInfo) -> str:
        if info.modified is None:
            return ""
        if self.since and info.modified < self.since:
            return f"it was modified before {self.since.isoformat()}"
        if self.until and info.modified >= self.until:
            return f"it was modified at or after {self.until.isoformat()}"
        return ""


def _matches(name: str, glob: str) -> bool:
    return fnmatchcase(name if "/" in glob else name.rpartition("/")[2], glob)
