"""Handing a document to a child over a descriptor: never argv, never the environment, never a file with a name. Standard library only."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any


def document(data: Any) -> int:
    """Return a descriptor from which a child that inherits it reads `data` as JSON. The caller closes its copy."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("order", os.MFD_CLOEXEC)
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    left = memoryview(json.dumps(data).encode())
    while left:
        left = left[os.write(descriptor, left) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
