"""The names of what a person can choose, light enough for every engine's parameters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Overwrite = Literal["fail", "skip", "newer", "different", "checksum", "replace"]
"""What happens when a target exists already."""
Verify = Literal["none", "crc", "md5"]
BadNames = Literal["fail", "skip", "rename"]
Twins = Literal["fail", "skip", "rename"]
FailOrSkip = Literal["fail", "skip"]


@dataclass(frozen=True)
class Policies:
    """What is done about what the preflight finds."""

    overwrite: Overwrite = "fail"
    twins: Twins = "fail"
    archived: FailOrSkip = "fail"
    mirror: bool = False
    """Look for what only the target has."""
    delete_extra: bool = False
    max_deletes: int = 0
