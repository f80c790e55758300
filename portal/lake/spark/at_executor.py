"""What runs on an executor before the portal's code is there. Spark ships these functions themselves, and not their names: standard library only."""

from __future__ import annotations

import contextlib
import importlib
import os
import pickle
import resource
import shutil
import sys
import tempfile
import zipfile
import zlib


def called(archive: str, stamp: str, order: bytes, argument: bytes) -> bytes:
    """Call a function of the portal's with what belongs to all its calls, an argument, and how often this was tried before.

    Args:
        archive: name of the file with the portal's code that Spark brought along, or the folder it is in on this machine
        stamp: what tells that code apart from every other version of it
        order: pickled: (module, function, what belongs to all calls), compressed
        argument: pickled and compressed

    Returns pickled and compressed: (True, what the function returned) or (False, what it raised, as text: class, message, hint, retryable).
    """
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # the memory holds credentials
    _bring(archive, stamp)
    module, function, common = pickle.loads(zlib.decompress(order))  # noqa: S301 - both ends are this program
    tried = importlib.import_module("pyspark").TaskContext.get().attemptNumber()
    call = getattr(importlib.import_module(module), function)
    answer = importlib.import_module("portal.lake.spark.answers").answered(call, common, pickle.loads(zlib.decompress(argument)), tried)  # noqa: S301
    return zlib.compress(pickle.dumps(answer, protocol=5), 1)


def _bring(archive: str, stamp: str) -> None:
    """Have the portal's code where Python finds it, and processes that are started from here do too."""
    folder = archive if os.path.isdir(archive) else _unpacked(archive, stamp)
    if sys.path[:1] == [folder]:
        return
    sys.path.insert(0, folder)
    for name in [name for name in sys.modules if name == "portal" or name.startswith("portal.")]:
        del sys.modules[name]  # another version, that this machine has


def _unpacked(archive: str, stamp: str) -> str:
    root = os.path.abspath(importlib.import_module("pyspark").SparkFiles.getRootDirectory())
    folder = os.path.join(root, f"portal-{stamp}")
    if not os.path.isdir(folder):
        fresh = tempfile.mkdtemp(prefix="portal-", dir=root)
        with zipfile.ZipFile(os.path.join(root, archive)) as file:
            file.extractall(fresh)
        with contextlib.suppress(OSError):  # another task was earlier
            os.rename(fresh, folder)
        shutil.rmtree(fresh, ignore_errors=True)
    return folder
