"""How metadata is written where the store's rules are narrower than the source's, and how it is read again: reversible, and the same each time.

Names. S3 takes any HTTP token as a name, Azure only what C# takes for an identifier. A name that the target cannot have, or that is one of ours,
is written with every other character as '_', and with '_' appended until it is free; `source_names` then says which is which
(`my_key=my-key&tag_env=tag:Env`, percent-encoded). Names that fit are never changed, whatever the others are called.

Values. S3 gives what is not printable ASCII as RFC 2047 words and takes it as such; Azure takes printable ASCII only, so there it is written as
RFC 8187 has it: `UTF-8''` and then percent-encoded UTF-8. Printable ASCII is written as it is.

Sources: https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html and
https://learn.microsoft.com/rest/api/storageservices/setting-and-retrieving-properties-and-metadata-for-blob-resources
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Container, Mapping
from typing import NamedTuple
from urllib.parse import quote, unquote

from portal.wire.ends import About

MARK = "portal_copy"
"""Metadata name of our own mark: `<job id>.<n>`."""
NAMES = "source_names"
TAG = "tag_"
"""Azure: what names of tags begin with. Accounts with a hierarchical namespace have no blob index tags."""
TAG_NAME = "tag:"
"""What a tag's name begins with in `source_names`; no metadata name can have a ':'."""
CHECKSUMS = ("crc64nvme", "sha256", "sha1", "crc32c", "crc32", "md5", "sha256-composite", "sha1-composite", "crc32c-composite", "crc32-composite")
"""Stored checksums, that which is told of a source first."""
CHECKSUM_NAMES = {name: f"source_{name.replace('-', '_')}" for name in CHECKSUMS}
HEADERS = ("content-type", "content-encoding", "content-language", "content-disposition", "cache-control", "expires")
HEADER_NAMES = {name: f"source_{name.replace('-', '_')}" for name in HEADERS}
"""Metadata names of headers that the target has no place for."""
_HEADER_OF = {own: name for name, own in HEADER_NAMES.items()}
PROVENANCE = ("source_url", "source_etag", "source_modified", "source_version", "source_storage_class", *CHECKSUM_NAMES.values())
_ORIGIN_OF = {name: name.replace("source_", "origin_", 1) for name in PROVENANCE}
RESERVED = frozenset([MARK, NAMES, *PROVENANCE, *_ORIGIN_OF.values(), *_HEADER_OF])
"""Names that are ours: a source's own metadata of such a name is written under another one."""

_NOT_IN_IDENTIFIERS = re.compile(r"[^a-z0-9_]")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9a-z]+")
_WORD = re.compile(r"=\?([^?\s*]+)(?:\*[^?\s]*)?\?([bBqQ])\?([^?\s]*)\?=")
_BETWEEN_WORDS = re.compile(r"(\?=)[ \t]+(?==\?)")
_EXTENDED = "UTF-8''"
_WORD_BYTES = 45
"""Of UTF-8 in one RFC 2047 word, which must not be longer than 75 characters."""


class Own(NamedTuple):
    """What belongs to an object, without what we wrote about it."""

    headers: Mapping[str, str]
    """content-type too."""
    metadata: Mapping[str, str]
    """Names in lower case, values as text."""
    tags: Mapping[str, str]
    origin: Mapping[str, str]
    """`origin_…` metadata: where a copy of ours was copied from first."""
    ours: bool
    """It carries our mark."""


def own(about: About, kind: str, tags: Mapping[str, str] | None = None) -> Own:
    """Take apart what a store (`kind` as in Access) said of an object: the reverse of what a copy of ours wrote."""
    headers = {**about.headers, "content-type": about.content_type} if about.content_type else dict(about.headers)
    if MARK not in about.metadata:
        return Own(headers, {name: _decoded(value, kind, False) for name, value in about.metadata.items()}, dict(tags or {}), {}, False)
    names = _parsed(about.metadata.get(NAMES, ""))
    metadata: dict[str, str] = {}
    ours: dict[str, str] = {}
    found_tags = dict(tags or {})
    for name, value in about.metadata.items():
        text = _decoded(value, kind, True)
        original = names.get(name, "")
        if original.startswith(TAG_NAME):
            found_tags[original[len(TAG_NAME) :]] = text
        elif original:
            metadata[original] = text
        elif name in RESERVED:
            ours[name] = text
        elif name.startswith(TAG) and kind != "s3":
            found_tags[name[len(TAG) :]] = text
        else:
            metadata[name] = text
    headers |= {_HEADER_OF[name]: text for name, text in ours.items() if name in _HEADER_OF}
    return Own(headers, metadata, found_tags, _origin(ours), True)


def _origin(ours: Mapping[str, str]) -> dict[str, str]:
    """Keep where the first copy came from; what lies between is told by the ledgers of those copies."""
    before = {name: value for name, value in ours.items() if name.startswith("origin_")}
    return before or {_ORIGIN_OF[name]: value for name, value in ours.items() if name in _ORIGIN_OF}


def written_name(name: str, kind: str, taken: Container[str]) -> str:
    """Return the name that the target has for a metadata name: itself where it can be, else a free one made of it."""
    plain = name if kind == "s3" and _TOKEN.fullmatch(name) else _identifier(name)
    while plain in RESERVED or plain in taken:
        plain += "_"
    return plain


def fits(name: str, kind: str) -> bool:
    """Tell whether the target can have a metadata name as it is."""
    return name not in RESERVED and (_TOKEN.fullmatch(name) is not None if kind == "s3" else _identifier(name) == name)


def _identifier(name: str) -> str:
    plain = _NOT_IN_IDENTIFIERS.sub("_", name.lower())
    return f"_{plain}" if not plain or plain[0].isdigit() else plain


def entry(name: str, original: str) -> str:
    """What `source_names` says of one name."""
    return f"{name}={quote(original, safe=':', errors='surrogatepass')}"


def _parsed(text: str) -> dict[str, str]:
    pairs = (item.partition("=") for item in text.split("&") if item)
    return {name: unquote(original, errors="surrogatepass") for name, _, original in pairs}


def is_plain(value: str) -> bool:
    """Tell whether a value is one that every header takes and gives back as it is."""
    return value.isascii() and value.isprintable() and value == value.strip(" ")


def encoded(value: str, kind: str) -> str:
    """Return a value as the target's metadata takes it."""
    if kind == "s3":
        return value if is_plain(value) and "=?" not in value else _words(value)
    return value if value and is_plain(value) and not value.startswith(_EXTENDED) else _EXTENDED + quote(value, safe="", errors="surrogatepass")


def _words(value: str) -> str:
    words: list[str] = []
    piece = b""
    for character in value:
        more = character.encode("utf-8", "surrogatepass")
        if len(piece) + len(more) > _WORD_BYTES:
            words.append(_word(piece))
            piece = b""
        piece += more
    return " ".join([*words, _word(piece)])


def _word(piece: bytes) -> str:
    return f"=?UTF-8?B?{base64.b64encode(piece).decode()}?="


def _decoded(value: str, kind: str, ours: bool) -> str:
    if kind == "s3":
        return _WORD.sub(_word_text, _BETWEEN_WORDS.sub(r"\1", value)) if "=?" in value else value
    return unquote(value[len(_EXTENDED) :], errors="surrogatepass") if ours and value.startswith(_EXTENDED) else value


def _word_text(word: re.Match[str]) -> str:
    """The text of one RFC 2047 word; the word itself when it is none."""
    charset, kind, text = word.groups()
    try:
        data = base64.b64decode(text, validate=True) if kind in "bB" else binascii.a2b_qp(text, header=True)
        return data.decode(charset, "surrogatepass" if charset.lower() == "utf-8" else "strict")
    except (ValueError, LookupError):
        return word.group()
