"""Target names: how they are made, what each store cannot hold, and how such a name is written so that it can be read back.

Nothing here asks a store. A name that the target cannot hold is encoded (bad_names=rename) part by part, between its '/':

| what | becomes |
| --- | --- |
| a character that the store refuses (control, backslash) | `%` and two hexadecimal digits for each byte of its UTF-8 |
| the last dot of a part that ends in one; of a part '.' or '..' every dot | `%2E` |
| an empty part ('a//b', a leading or trailing '/') | `%` |
| '?' in a name that ends like a shared access signature | `%3F` |
| '/' beyond the number of parts that fit | `%2F` |
| '%' before two such digits, and a part that is '%' | `%25` |

`decoded` gives the name back, and no two names become one. Only a name that is too long is cut and cannot be read back: it ends in `~`, 16
hexadecimal digits of its SHA-256 and its ending. Both names stand in `names.csv` of the job; the target's metadata has the source's (`source_url`).

Sources: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import hashlib
import re
from operator import methodcaller

from portal.stores.partial import is_partial

ADLS_MAX_CHARACTERS = 1_024
ADLS_MAX_SEGMENTS = 61
"""63 with the account and the container, in an account with a hierarchical namespace."""
S3_MAX_BYTES = 1_024
FILE_NAME_MAX_BYTES = 255
_LIKE_A_SIGNATURE = re.compile(r"\?(?=[^?]*sv=\d{4}-\d{2}-\d{2})(?=[^?]*sig=)[^?]*$", re.DOTALL)
_CONTROL = "\x00-\x1f\x7f-\x9f" + "".join(chr(plane << 16 | low) for plane in range(17) for low in (0xFFFE, 0xFFFF))
_HAS_CONTROL = re.compile(f"[{_CONTROL}]")
_SUSPICIOUS = ("//", "/\n", "\n/", "./", ".\n", "\\", "?", ".portal-")
_ENCODED = re.compile(r"%(?=[0-9A-F]{2})")
_REFUSED = {"abfss": re.compile(rf"[{_CONTROL}\\/]"), "file": re.compile("\0"), "s3": re.compile(r"(?!)")}
_ESCAPES = re.compile(r"(?:%[0-9A-F]{2})+")
_ENDING = re.compile(r"(?:\.[A-Za-z0-9]{1,8}){1,2}$")
_HASH_CHARACTERS = 16


def below(key: str, prefix: str) -> str | None:
    """Return an object's name below the source, or None when it is not meant.

    `prefix` is the key of the source URL: '' is everything; 'dir/' and 'dir' what is below that folder (not 'dir2/x'); 'dir/x.csv' the one
    object of that name, whose name is then its last part.
    """
    if prefix and key == prefix:
        return key.rpartition("/")[2] or None
    folder = as_folder(prefix)
    return key.removeprefix(folder) if key.startswith(folder) and key != folder else None


def as_folder(prefix: str) -> str:
    """Return a prefix as '' or ending in '/'."""
    return prefix if not prefix or prefix.endswith("/") else f"{prefix}/"


def readable(key: str) -> str:
    """Return a key as valid Unicode: what is none (bytes of a file's name that are not UTF-8) is written as \\udcNN."""
    return key.encode("utf-8", "backslashreplace").decode()


def target_folder(target_prefix: str, flat_folder: str | None = None) -> str:
    """Return the folder that names are put below, '' or ending in '/'."""
    return as_folder(target_prefix) + as_folder(flat_folder or "")


def target_key(name: str, target_prefix: str, *, flat_folder: str | None = None) -> str:
    """Return the target's key of an object: its name below the target, or in `flat_folder` only the last part of the name."""
    return target_folder(target_prefix, flat_folder) + (name if flat_folder is None else name.rpartition("/")[2])


def harmless(keys: list[str], *, but: str = "\\") -> bool:
    """Whether every store holds all these names, and none has the text `but`: a quick look at a page of them. False says nothing."""
    together = "\n".join(["", *keys, ""])
    if not together.isascii() or not "".join(keys).isprintable() or any(sign in together for sign in (*_SUSPICIOUS, but)):
        return False
    return max(map(len, keys)) <= FILE_NAME_MAX_BYTES and max(map(methodcaller("count", "/"), keys)) < ADLS_MAX_SEGMENTS


def refusal(scheme: str, key: str) -> str:
    """Return why a store cannot hold a name, or ''. `scheme` is that of its URL."""
    if not key:
        return "the name is empty"
    try:
        encoded = key.encode()
    except UnicodeEncodeError:
        return "the name is not valid Unicode"
    if is_partial(key):
        return "the name is kept for files that are being written"
    if scheme == "s3":
        return f"the name is longer than {S3_MAX_BYTES} bytes" if len(encoded) > S3_MAX_BYTES else ""
    return _path_refusal(key) or (_adls_refusal(key) if scheme == "abfss" else _file_refusal(key))


def _path_refusal(key: str) -> str:
    if key.startswith("/") or key.endswith("/") or "//" in key:
        return "a part of the name between two '/' is empty"
    if any(part in (".", "..") for part in key.split("/")):
        return "a part of the name is '.' or '..'"
    return ""


def _adls_refusal(key: str) -> str:
    parts = key.split("/")
    if len(key) > ADLS_MAX_CHARACTERS:
        return f"the name is longer than {ADLS_MAX_CHARACTERS} characters"
    if len(parts) > ADLS_MAX_SEGMENTS:
        return f"the name has more than {ADLS_MAX_SEGMENTS} parts"
    if any(part.endswith(".") for part in parts):
        return "a part of the name ends in a dot"
    if "?" in key and _LIKE_A_SIGNATURE.search(key):
        return "the name ends like a shared access signature, which Azure's library would cut off"
    if "\\" in key:
        return "the name has a backslash"
    return "the name has a control character" if _HAS_CONTROL.search(key) else ""


def _file_refusal(key: str) -> str:
    if "\0" in key:
        return "the name has a NUL character"
    if any(len(part.encode()) > FILE_NAME_MAX_BYTES for part in key.split("/")):
        return f"a part of the name is longer than {FILE_NAME_MAX_BYTES} bytes"
    return ""


def encoded(scheme: str, name: str, folder: str = "") -> str:
    """Return a name as the store can hold it below `folder` ('' or ending in '/'); a name that it holds is returned as it is, unless it looks
    like an encoded one. Not valid Unicode is left as it is: the source could not be read by another name."""
    parts = name.split("/")
    if scheme == "abfss" and len(parts) > (room := ADLS_MAX_SEGMENTS - folder.count("/")):
        parts[room - 1 :] = ["/".join(parts[room - 1 :])]
    found = "/".join(_part_encoded(scheme, part) for part in parts)
    if scheme == "abfss" and _LIKE_A_SIGNATURE.search(found):
        found = found.replace("?", "%3F")
    return _shortened(scheme, name, found, folder)


def _part_encoded(scheme: str, part: str) -> str:
    if part == "%":
        return "%25"
    if scheme != "s3" and not part:
        return "%"
    if scheme != "s3" and part in (".", ".."):
        return part.replace(".", "%2E")
    found = _REFUSED[scheme].sub(lambda match: _escaped(match[0]), _ENCODED.sub("%25", part))
    if scheme == "abfss" and found.endswith("."):
        found = f"{found[:-1]}%2E"
    return f"%2E{found[1:]}" if is_partial(found) else found


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())


def decoded(name: str) -> str:
    """Return the name that `encoded` was given; not of one that was cut (it has `~` and 16 hexadecimal digits at its end)."""
    parts = "/".join("" if part == "%" else part for part in name.split("/"))
    return _ESCAPES.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode("utf-8", "surrogateescape"), parts)


def _shortened(scheme: str, name: str, found: str, folder: str) -> str:
    """Cut what is too long, each time with a hash of all that stood there."""
    if scheme == "file":
        return "/".join(_cut(part, part, FILE_NAME_MAX_BYTES) for part in found.split("/"))
    room = ADLS_MAX_CHARACTERS - len(folder) if scheme == "abfss" else S3_MAX_BYTES - len(folder.encode("utf-8", "surrogatepass"))
    return _cut(found, name, room, characters=scheme == "abfss")


def _cut(text: str, name: str, room: int, *, characters: bool = False) -> str:
    size = len(text) if characters else len(text.encode("utf-8", "surrogatepass"))
    if size <= room:
        return text
    ending = _ENDING.search(text)
    tail = f"~{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASH_CHARACTERS]}{ending[0] if ending else ''}"
    left = max(0, room - len(tail))
    head = text[:left] if characters else text.encode("utf-8", "surrogatepass")[:left].decode("utf-8", "ignore")
    return head.rstrip("/.%\\") + tail


def set_apart(scheme: str, key: str, source: str) -> str:
    """Return a name of its own for a source whose target name another has: `~` and 16 hexadecimal digits of the source key's SHA-256 before
    its ending. '' when the store cannot hold it."""
    folder, slash, last = key.rpartition("/")
    ending = _ENDING.search(last)
    stem = last[: ending.start()] if ending else last
    tail = f"~{hashlib.sha256(source.encode('utf-8', 'surrogatepass')).hexdigest()[:_HASH_CHARACTERS]}{ending[0] if ending else ''}"
    room = FILE_NAME_MAX_BYTES - len(tail)
    found = f"{folder}{slash}{stem.encode()[:room].decode('utf-8', 'ignore')}{tail}"
    return "" if refusal(scheme, found) else found
