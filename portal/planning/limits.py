"""How large an object each store can hold, and which names a file system takes for one."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path

from portal.planning.names import as_folder
from portal.stores.base import Store

S3_MAX_BYTES = 10_000 * (5 << 30)
"""10,000 parts of 5 GiB; https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html. A server that takes less refuses by itself."""
AZURE_MAX_BYTES = 50_000 * (4_000 << 20)
"""50,000 blocks of 4,000 MiB; https://learn.microsoft.com/azure/storage/blobs/scalability-targets"""


def largest(store: Store, prefix: str) -> float:
    """Return the size in bytes of the largest object that a target can hold."""
    if store.url.scheme == "s3":
        return S3_MAX_BYTES
    if store.url.scheme == "abfss":
        return AZURE_MAX_BYTES
    try:
        return float((1 << (os.pathconf(_there(prefix), "PC_FILESIZEBITS") - 1)) - 1)
    except (OSError, ValueError):
        return float("inf")


def folding(store: Store, prefix: str) -> Callable[[str], str] | None:
    """Return what gives names that are one to the target something in common; None where names are what they are.

    S3, Azure Storage and Linux's usual file systems tell names apart by their bytes. Files of macOS and Windows, and folders that are mounted
    from there, may not tell case apart; those of macOS take é in one character and in two for the same (Unicode normalization)."""
    if store.url.scheme != "file":
        return None
    if sys.platform == "darwin":
        return lambda name: unicodedata.normalize("NFC", name).casefold()
    return str.casefold if _folds_case(_there(prefix)) else None


def _there(prefix: str) -> Path:
    """The innermost folder of a path that there is."""
    path = Path("/", as_folder(prefix))
    while not path.is_dir() and path != path.parent:
        path = path.parent
    return path


def _folds_case(path: Path) -> bool:
    """Look at the folder itself, and at what is in it, by a name in the other case."""
    try:
        names = [path, *path.iterdir()][:50]
        other = next((one for one in names if one.name.swapcase() != one.name and one.name.swapcase().swapcase() == one.name), None)
        return other is not None and os.path.samefile(other, other.with_name(other.name.swapcase()))
    except OSError:
        return False
