"""What can be said of a source and a target without reading them: from their listings, and from the checksums that their stores keep.

| level | what it means that the two are equal |
| --- | --- |
| read | bytes were read now: of both sides, or of one against the checksum that S3 computed of the other |
| stored | the checksums that both stores keep are the same |
| recorded | the target's metadata name this very version of the source as what it was copied or converted from |
| size | only the lengths are the same: never shown as verified |
| none | nothing could be compared |
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal, NamedTuple

from portal.wire.ends import Found

Level = Literal["read", "stored", "recorded", "size", "none"]
LEVELS: tuple[Level, ...] = ("read", "stored", "recorded", "size", "none")
Class = Literal["equal", "different", "only-source", "only-target", "error"]
SIGNS: Mapping[Class, str] = {"equal": "=", "different": "*", "only-source": "+", "only-target": "-", "error": "!"}
"""As `rclone check --combined` writes them: https://rclone.org/commands/rclone_check/"""
STRONGEST_FIRST = ("crc64nvme", "sha256", "sha1", "crc32c", "crc32", "md5")
_COMPOSITE = tuple(f"{name}-composite" for name in STRONGEST_FIRST)
_MD5 = re.compile(r"[0-9a-f]{32}")


class Pair(NamedTuple):
    """A source and the target that is or should be its copy, as their listings tell of them."""

    source_key: str
    target_key: str
    size_bytes: int
    etag: str
    md5: str
    """MD5 that the listing tells, '' for none."""
    target_size: int
    target_etag: str
    target_md5: str
    recorded: str
    """ETag of the source that the target's metadata name, '' when the listing does not tell."""
    converted: bool
    note: str = ""


class Compared(NamedTuple):
    """What came of one object."""

    kind: Class
    level: Level = "none"
    how: str = ""
    """What was compared: a checksum by its name, and where its values come from."""
    reason: str = ""

    @property
    def doubtful(self) -> bool:
        """An MD5 that differs may be what somebody claimed of other bytes: Azure compares a Content-MD5 with the bytes only of a whole upload."""
        return self.kind == "different" and self.how.startswith("md5")


class Kinds(NamedTuple):
    """Kinds of both ends, as Access.kind."""

    source: str
    target: str


def by_listing(pair: Pair, kinds: Kinds) -> Compared:
    """Compare what the listings tell; the strongest evidence there is."""
    if pair.converted:
        return by_record(pair)
    if pair.size_bytes != pair.target_size:
        return Compared("different", "size", "size", f"{pair.size_bytes} bytes at the source, {pair.target_size} at the target")
    if not pair.size_bytes:
        return Compared("equal", "read", "both are empty")
    if kinds == ("s3", "s3") and pair.etag and pair.etag == pair.target_etag:
        return Compared("equal", "stored", "etag of S3")
    source_md5, target_md5 = pair.md5 or _md5_of(pair.etag, kinds.source), pair.target_md5 or _md5_of(pair.target_etag, kinds.target)
    if source_md5 and source_md5 == target_md5:
        return Compared("equal", "stored", "md5: stored, stored")
    return by_record(pair) if pair.recorded else Compared("equal", "size", "size")


def by_record(pair: Pair) -> Compared:
    """Compare the source with what the target's metadata say it was made of."""
    if not pair.recorded:
        return Compared("error", "none", "", "the target's metadata do not say what it was converted from")
    made = "converted" if pair.converted else "copied"
    if pair.recorded == pair.etag:
        return Compared("equal", "recorded", "source_etag" + (" of a converted object" if pair.converted else ""))
    return Compared("different", "recorded", "source_etag", f"the target was {made} from another version of the source (ETag {pair.recorded})")


def _md5_of(etag: str, kind: str) -> str:
    """S3's ETag of an object in one part is its MD5, unless it is encrypted with a key of KMS or the customer: good for equality only."""
    return etag if kind == "s3" and _MD5.fullmatch(etag) else ""


def by_checksums(source: Found, target: Found, kinds: Kinds) -> Compared | None:
    """Compare the checksums that both stores keep; None when they keep none of one kind."""
    for name in STRONGEST_FIRST:
        one, other = source.checksums.get(name), target.checksums.get(name)
        if one and other:
            how = f"{name}: stored, stored"
            same = one == other
            return Compared("equal" if same else "different", "stored", how, "" if same else f"{name} {one} at the source, {other} at the target")
    for name in _COMPOSITE:
        # Parts of other sizes give other composite checksums of the same bytes: only equality tells something.
        if name in source.checksums and source.checksums[name] == target.checksums.get(name):
            return Compared("equal", "stored", f"{name}: stored, stored")
    source_md5 = source.checksums.get("md5") or _md5_of(source.etag, kinds.source)
    target_md5 = target.checksums.get("md5") or _md5_of(target.etag, kinds.target)
    return Compared("equal", "stored", "md5: stored, stored") if source_md5 and source_md5 == target_md5 else None


def computed_by_store(found: Found, kind: str) -> tuple[str, str]:
    """Return name and value of a checksum of the whole object that its store computed or checked itself; ('', '') when there is none.

    Azure's Content-MD5 is what an uploader claims, so it stands for no bytes."""
    if kind != "s3":
        return "", ""
    return next(((name, found.checksums[name]) for name in STRONGEST_FIRST if name in found.checksums), ("", ""))
