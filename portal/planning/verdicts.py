"""What is to happen to a target that exists already: by what listings tell, and by what stored checksums tell."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple

from portal.planning.plan import Verdict
from portal.planning.policies import Overwrite
from portal.planning.there import Row
from portal.transfer.carry_names import CHECKSUM_NAMES, MARK
from portal.wire.ends import Found

LOOK = 255
"""Verdict of an entry until its target, and perhaps its source, has been looked at by a request of its own."""
_SECONDS = len("2026-01-01T00:00:00")
_MD5_CHARACTERS = 32


class Of(NamedTuple):
    """What the plan says of a source."""

    size_bytes: int
    etag: str
    modified: str
    md5: str
    converts: bool = False


def judge(policy: Overwrite, source: Of, row: Row, *, dated: bool = False, tells: bool = False) -> int:
    """Return the verdict on a target that exists, LOOK when it takes a look at it.

    Args:
        dated: the target keeps the source's time as its own (files do)
        tells: the target's listing tells metadata, so that nothing in it means that nothing was recorded
    """
    if policy in ("fail", "skip"):
        return Verdict.EXISTS
    if policy == "replace":
        return Verdict.REPLACE
    if source.converts:
        return _of_converted(policy, source, row)
    if source.size_bytes != row.size_bytes:
        return Verdict.REPLACE
    if policy == "newer":
        return Verdict.REPLACE if is_later(source.modified, row.modified) else Verdict.NOT_OLDER
    return LOOK if policy == "checksum" else _of_version(source, row, dated, tells)


def _of_version(source: Of, row: Row, dated: bool, tells: bool) -> int:
    if row.source:
        return Verdict.SAME if row.source == source.etag else Verdict.REPLACE
    if dated:
        same = bool(source.modified) and source.modified[:_SECONDS] == row.modified[:_SECONDS]
        return Verdict.SAME if same else Verdict.REPLACE
    md5 = source.md5 or _md5_of(source.etag)
    if md5 and md5 == (row.md5 or _md5_of(row.etag)):
        return Verdict.SAME_CONTENT
    return Verdict.REPLACE if tells else LOOK


def _of_converted(policy: Overwrite, source: Of, row: Row) -> int:
    """The target has other bytes than the source in any case."""
    if policy == "newer":
        return Verdict.REPLACE if is_later(source.modified, row.modified) else Verdict.NOT_OLDER
    return Verdict.SAME if row.source and row.source == source.etag else Verdict.REPLACE


def is_later(one: str, other: str) -> bool:
    """Whether a moment (RFC 3339, UTC) is later than another; what nobody knows counts as later."""
    if not one or not other:
        return True
    if one[:_SECONDS] != other[:_SECONDS]:
        return one[:_SECONDS] > other[:_SECONDS]
    return datetime.fromisoformat(one) > datetime.fromisoformat(other)


def _md5_of(etag: str) -> str:
    """The ETag of an object that S3 got in one request is its MD5, as a rule; where it is none, it equals no other object's by chance."""
    return etag if len(etag) == _MD5_CHARACTERS and etag.isalnum() else ""


def same_content(source: Found, target: Found) -> bool:
    """Whether stored checksums show that two objects have the same bytes: those that both store, else the source's that our copy recorded."""
    if source.size_bytes != target.size_bytes:
        return False
    stored = {name: value for name, value in source.checksums.items() if value}
    if shared := [name for name in stored if name in target.checksums]:
        return all(stored[name] == target.checksums[name] for name in shared)
    recorded: Mapping[str, str] = target.about.metadata if MARK in target.about.metadata else {}
    told = [name for name in stored if CHECKSUM_NAMES.get(name, "") in recorded]
    return bool(told) and all(stored[name] == recorded[CHECKSUM_NAMES[name]] for name in told)
