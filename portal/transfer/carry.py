"""What is carried along with an object's bytes: headers, metadata, tags, time, and where it came from. docs/metadata.md is the long form.

Everything either finds a place at the target or is told as LeftOut, which goes into a file of the job (`portal.transfer.carry_file`).
Pure functions: nothing here asks a store. Limits: S3 2 KB of metadata (bytes of names and values), 10 tags; Azure 8 KB of metadata.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from portal.transfer import carry_names as names
from portal.transfer.carry_names import CHECKSUM_NAMES, HEADER_NAMES, MARK, NAMES, TAG, TAG_NAME, Own
from portal.wire.ends import About, Found, Pin

if TYPE_CHECKING:
    from portal.stores.base import ObjectInfo
    from portal.stores.url import StoreURL

ROOM_BYTES = {"s3": 2_000, "blob": 8_000, "dfs": 8_000}
"""Bytes of names and values, a little below what the stores allow (2 KB and 8 KB): how each counts is not said to the byte."""
S3_MAX_TAGS = 10
S3_TAG_NAME_MAX_CHARACTERS = 128
S3_TAG_VALUE_MAX_CHARACTERS = 256
S3_TAGS_MAX_BYTES = 4_000
"""Of percent-encoded tags: S3 takes no more than 8 KB of headers in all."""

_SAFE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
_ORDINARY = "STANDARD"
"""The storage class that S3 takes when none is named; not worth telling."""
_SHORT = 300
"""Characters of URL and version with which what is ours fits everywhere."""
_NO_NEWS = frozenset(["", "application/octet-stream", "binary/octet-stream"])
_TYPES = {
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain", ".log": "text/plain", ".md": "text/markdown", ".html": "text/html",
    ".htm": "text/html", ".xml": "application/xml", ".json": "application/json", ".ndjson": "application/x-ndjson", ".jsonl": "application/jsonl",
    ".yaml": "application/yaml", ".yml": "application/yaml", ".parquet": "application/vnd.apache.parquet", ".avro": "application/avro",
    ".gz": "application/gzip", ".zst": "application/zstd", ".zip": "application/zip", ".pdf": "application/pdf", ".png": "image/png",
    ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".svg": "image/svg+xml", ".mp4": "video/mp4", ".js": "text/javascript",
    ".css": "text/css", ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}  # fmt: skip
"""Content types of files, by the ends of their names (IANA); a table of our own, because that of the system is another on each machine."""


class LeftOut(NamedTuple):
    """Something of a source object that has no place at the target."""

    kind: str
    """header, metadata, tag, tags (all of them) or source (what is known of it)."""
    name: str
    value: str
    why: str


class Carrier:
    """What is the same for every object of a job; called for each. Safe for many threads."""

    def __init__(
        self, source_root: str, source_kind: str, target_kind: str, job_id: str, *, carry: bool = True, tags: bool = True, tier: str = ""
    ) -> None:
        """
        Arguments:
            source_root: the source's URL without a key, ending in '/' (`str(url.root)`)
            source_kind, target_kind: as Access.kind: s3, blob, dfs, file
            carry: False leaves out headers, own metadata and tags; content type, mark and source_… are always written
            tags: False leaves out tags
            tier: storage class or access tier of the targets, '' the store's default
        """
        self._root, self._from, self._to, self._job_id = source_root, source_kind, target_kind, job_id
        self._carry, self._tags, self._tier = carry, carry and tags, tier

    def wants_tags(self, found: Found) -> bool:
        """Tell whether the object's tags are worth a request (End.tags)."""
        return self._tags and found.tag_count > 0

    def mark(self, n: int) -> str:
        """Our own mark on the target of entry `n`."""
        return mark_of(self._job_id, n)

    def __call__(
        self, n: int, pin: Pin, found: Found, tags: Mapping[str, str] | None = None, *, tags_refused: str = ""
    ) -> tuple[About, Sequence[LeftOut]]:
        """Return what is written with the target, and what of it finds no place there.

        Arguments:
            n: the entry's number
            found: what the store said of the source when it was read
            tags: the source's tags, if they were read
            tags_refused: why they could not be read
        """
        about = found.about
        kind = about.content_type or (_type_of(pin.key) if self._from == "file" else "")
        if self._to == "file":
            return About(modified=about.modified), self._all_left_out(about, kind, pin.key, tags, tags_refused)
        version = found.version_id or pin.version_id
        metadata = provenance(
            self.mark(n), self._root, pin.key, found.etag or pin.etag, about.modified, version, about.storage_class, found.checksums
        )
        plain = len(metadata["source_url"]) + len(version) < _SHORT and names.is_plain(kind)
        if plain and not (self._carry and (about.headers or about.metadata or tags or tags_refused)):
            return About(kind, {}, metadata, {}, self._tier, about.modified), ()
        return self._with_own(names.own(about, self._from, tags) if self._carry else _ONLY_TYPE, kind, metadata, tags_refused, about.modified)

    def _with_own(self, own: Own, kind: str, ours: Mapping[str, str], tags_refused: str, modified: str) -> tuple[About, Sequence[LeftOut]]:
        place = _Place(self._to)
        for name, value in ours.items():
            place.ours(name, value)
        headers = {name: value for name, value in {**own.headers, "content-type": kind}.items() if not place.header(name, value)}
        for name, value in own.origin.items():
            place.ours(name, value)
        place.own_metadata(own.metadata)
        place.own_tags(own.tags if self._tags else {})
        if tags_refused and self._tags:
            place.left_out.append(LeftOut("tags", "*", "", tags_refused))
        content_type = headers.pop("content-type", "")
        return About(content_type, headers, place.done(), place.tags, self._tier, modified), place.left_out

    def _all_left_out(self, about: About, kind: str, key: str, tags: Mapping[str, str] | None, tags_refused: str) -> Sequence[LeftOut]:
        tells = kind not in _NO_NEWS and kind != _type_of(key)
        if not self._carry or not (tells or about.headers or about.metadata or tags or tags_refused):
            return ()
        own = names.own(about, self._from, tags)
        why = "a file has no place for it"
        headers = {name: value for name, value in own.headers.items() if name != "content-type" or tells}
        found = [LeftOut("header", name, value, why) for name, value in headers.items()]
        found += [LeftOut("source", name, value, why) for name, value in own.origin.items()]
        found += [LeftOut("metadata", name, value, why) for name, value in own.metadata.items()]
        if self._tags:
            found += [LeftOut("tag", name, value, why) for name, value in own.tags.items()]
            found += [LeftOut("tags", "*", "", tags_refused)] if tags_refused else []
        return found


def mark_of(job_id: str, n: int) -> str:
    """Return the mark on what a job writes for entry `n` of its plan: nobody else writes it."""
    return f"{job_id}.{n}"


def provenance(
    mark: str, root: str, key: str, etag: str, modified: str, version: str | None = "", storage_class: str = "",
    checksums: Mapping[str, str] | None = None,
) -> dict[str, str]:  # fmt: skip
    """Return the metadata that are ours: mark and `source_…`. A converted object carries nothing else.

    Arguments:
        root: the source's URL without a key, ending in '/'
        modified: RFC 3339, '' unknown
        checksums: what the source's store keeps, hexadecimal by name
    """
    metadata = {MARK: mark, "source_etag": etag, "source_modified": modified}
    if version:
        metadata["source_version"] = version
    if storage_class and storage_class != _ORDINARY:
        metadata["source_storage_class"] = storage_class
    if checksums:
        strongest = next((name for name in CHECKSUM_NAMES if name in checksums), "")
        if strongest:
            metadata[CHECKSUM_NAMES[strongest]] = checksums[strongest]
    fits = key.isascii() and key.isprintable() and "%" not in key
    metadata["source_url"] = root + (key if fits else quote(key, safe=_SAFE, errors="backslashreplace"))
    if not etag or not modified:
        return {name: value for name, value in metadata.items() if value}
    return metadata


def is_marked_as(metadata: Mapping[str, str], marks: Sequence[str], root: str, key: str) -> bool:
    """Tell whether an object's metadata has one of these marks and no other source than this one (a long URL may not have found room).

    Arguments:
        root, key: of the source, as for `provenance`
    """
    if metadata.get(MARK, "") not in marks or not metadata.get(MARK):
        return False
    wanted = provenance("", root, key, "", "")["source_url"]
    return metadata.get("source_url", wanted) == wanted


def _type_of(key: str) -> str:
    """What a name says of the content; '' when it says nothing."""
    return _TYPES.get(key[key.rfind(".") :].lower(), "")


_ONLY_TYPE = Own({}, {}, {}, {}, False)


class _Place:
    """What fits into the target's metadata and tags, taken in the order of its calls."""

    def __init__(self, kind: str) -> None:
        self._kind, self._left = kind, ROOM_BYTES[kind]
        self._metadata: dict[str, str] = {}
        self._map: list[str] = []
        self.tags: dict[str, str] = {}
        self.left_out: list[LeftOut] = []

    def done(self) -> dict[str, str]:
        return {**self._metadata, NAMES: "&".join(self._map)} if self._map else self._metadata

    def ours(self, name: str, value: str) -> None:
        self._put(LeftOut("source", name, value, ""), name, "")

    def header(self, name: str, value: str) -> bool:
        """Take a header that the target has no place for as metadata; returns whether it was taken."""
        if names.is_plain(value) and (name != "expires" or self._kind == "s3"):
            return False
        self._put(LeftOut("header", name, value, ""), HEADER_NAMES[name], "")
        return True

    def own_metadata(self, metadata: Mapping[str, str]) -> None:
        """First the names that fit, which are never changed; then the others, in the order of the alphabet, so that each copy names them alike."""
        fitting = [name for name in metadata if names.fits(name, self._kind)]
        taken = set(fitting)
        for name in [*fitting, *sorted(metadata.keys() - taken)]:
            written = name if name in taken else names.written_name(name, self._kind, taken)
            taken.add(written)
            ambiguous = self._kind != "s3" and written.startswith(TAG)
            self._put(LeftOut("metadata", name, metadata[name], ""), written, name if ambiguous or written != name else "")

    def own_tags(self, tags: Mapping[str, str]) -> None:
        if self._kind == "s3":
            self._s3_tags(tags)
            return
        for name in sorted(tags, key=lambda name: (not names.fits(TAG + name, self._kind), name)):
            plain = TAG + name
            written = plain if names.fits(plain, self._kind) else names.written_name(plain, self._kind, ())
            while written in self._metadata:
                written += "_"
            self._put(LeftOut("tag", name, tags[name], ""), written, "" if written == plain else TAG_NAME + name)

    def _s3_tags(self, tags: Mapping[str, str]) -> None:
        room = S3_TAGS_MAX_BYTES
        for name, value in tags.items():
            size = len(quote(name, safe="")) + len(quote(value, safe="")) + 2
            why = _tag_refusal(name, value) or ("S3 takes no more than 10 tags" if len(self.tags) == S3_MAX_TAGS else "")
            if why or size > room:
                self.left_out.append(LeftOut("tag", name, value, why or "the tags are too long for one request to S3"))
            else:
                room -= size
                self.tags[name] = value

    def _put(self, what: LeftOut, written: str, original: str) -> None:
        text = names.encoded(what.value, self._kind)
        entry = names.entry(written, original) if original else ""
        size = len(written) + len(text) + (len(entry) + (1 if self._map else len(NAMES)) if entry else 0)
        if size > self._left:
            self.left_out.append(what._replace(why=f"no room: the target takes {ROOM_BYTES[self._kind]} bytes of metadata"))
            return
        self._left -= size
        self._metadata[written] = text
        if entry:
            self._map.append(entry)


def _tag_refusal(name: str, value: str) -> str:
    if name.lower().startswith("aws:"):
        return "names that begin with aws: are Amazon's own"
    if not name or len(name) > S3_TAG_NAME_MAX_CHARACTERS or len(value) > S3_TAG_VALUE_MAX_CHARACTERS:
        return f"S3 takes {S3_TAG_NAME_MAX_CHARACTERS} characters for a tag's name and {S3_TAG_VALUE_MAX_CHARACTERS} for its value"
    return ""


def note(left_out: Sequence[LeftOut]) -> str:
    """What the ledger says of an object for which something was left out; '' when nothing was."""
    if not left_out:
        return ""
    refused = next((item.why for item in left_out if item.kind == "tags"), "")
    told = [item.name for item in left_out if item.kind != "tags"]
    shown = ", ".join(told[:5]) + (f" and {len(told) - 5} more" if len(told) > 5 else "")
    parts = [f"not at the target but in carried.ndjson: {shown}"] if told else []
    return "; ".join([*parts, *([f"its tags were not carried: {refused}"] if refused else [])])


def carried(info: ObjectInfo, source: StoreURL, target_scheme: str) -> tuple[dict[str, str], list[str]]:
    """Return a target's metadata and the names of what found no place, for copies over the SDKs."""
    carrier = Carrier(str(source.root), source.scheme, {"abfss": "dfs"}.get(target_scheme, target_scheme), "copy")
    about = About(info.content_type, {}, info.metadata, {}, info.storage_class, info.modified.isoformat() if info.modified else "")
    found = Found(info.size_bytes, info.etag, info.version_id or "", about, info.checksums)
    done, left_out = carrier(0, Pin(info.key, info.size_bytes, info.etag), found)
    return dict(done.metadata), [item.name for item in left_out]
