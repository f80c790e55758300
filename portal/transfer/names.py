"""Target names: how they are made, and what each store cannot hold. Nothing here asks a store.

Sources: https://learn.microsoft.com/rest/api/storageservices/naming-and-referencing-containers--blobs--and-metadata and
https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
"""

from __future__ import annotations

import re
import unicodedata

from portal.stores.partial import is_partial

ADLS_MAX_CHARACTERS = 1_024
ADLS_MAX_SEGMENTS = 61
"""63 with the account and the container, in an account with a hierarchical namespace."""
S3_MAX_BYTES = 1_024
FILE_NAME_MAX_BYTES = 255
_LIKE_A_SIGNATURE = re.compile(r"\?(?=[^?]*sv=\d{4}-\d{2}-\d{2})(?=[^?]*sig=)[^?]*$", re.DOTALL)


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


def target_key(name: str, target_prefix: str, *, flat_folder: str | None = None) -> str:
    """Return the target's key of an object: its name below the target, or in `flat_folder` only the last part of the name."""
    if flat_folder is None:
        return as_folder(target_prefix) + name
    return as_folder(target_prefix) + as_folder(flat_folder) + name.rpartition("/")[2]


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
    if _LIKE_A_SIGNATURE.search(key):
        return "the name ends like a shared access signature, which Azure's library would cut off"
    if "\\" in key:
        return "the name has a backslash"
    if any(unicodedata.category(character) == "Cc" or ord(character) & 0xFFFE == 0xFFFE for character in key):
        return "the name has a control character"
    return ""


def _file_refusal(key: str) -> str:
    if "\0" in key:
        return "the name has a NUL character"
    if any(len(part.encode()) > FILE_NAME_MAX_BYTES for part in key.split("/")):
        return f"a part of the name is longer than {FILE_NAME_MAX_BYTES} bytes"
    return ""
