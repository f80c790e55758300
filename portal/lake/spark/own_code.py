"""The portal's own code on its way to the executors: one archive, of just this version, brought there once for each session."""

from __future__ import annotations

import hashlib
import importlib
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from portal.settings import CODE_ROOT

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LEFT_OUT = ("ui", "cli", "__pycache__")
_EPOCH = (1980, 1, 1, 0, 0, 0)


class Code(NamedTuple):
    """Where an executor finds the code."""

    archive: str
    """Name of a file that Spark brought, or a folder on this machine."""
    stamp: str


_brought: dict[str, Code] = {}


def bring(session: SparkSession) -> Code:
    """Have Spark give the code to every executor, those that come later too; nothing is sent twice."""
    context = session.sparkContext
    application = str(context.applicationId)
    if application not in _brought:
        if str(context.master).startswith("local"):
            _brought[application] = Code(str(CODE_ROOT), "")
        else:
            _brought[application] = _sent(context)
    return _brought[application]


def _sent(context: object) -> Code:
    folder = Path(tempfile.mkdtemp(prefix="code-", dir=importlib.import_module("pyspark").SparkFiles.getRootDirectory()))
    made = packed(folder / "portal.zip")
    named = made.rename(folder / f"portal-{stamp_of(made)}.zip")
    context.addFile(str(named))  # type: ignore[attr-defined]
    return Code(named.name, stamp_of(named))


def stamp_of(archive: Path) -> str:
    return hashlib.sha256(archive.read_bytes()).hexdigest()[:16]


def packed(path: Path) -> Path:
    """Write the archive: the same bytes for the same code. Nothing of the state, of the settings or of `.env` is in it."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in _files():
            info = zipfile.ZipInfo(file.relative_to(CODE_ROOT).as_posix(), _EPOCH)
            info.external_attr = 0o644 << 16
            archive.writestr(info, file.read_bytes(), zipfile.ZIP_DEFLATED, 1)
    return path


def _files() -> Iterator[Path]:
    for path in sorted((CODE_ROOT / "portal").rglob("*")):
        parts = path.relative_to(CODE_ROOT / "portal").parts
        if path.is_file() and not set(parts) & set(_LEFT_OUT) and not any(part.startswith(".") for part in parts):
            yield path
