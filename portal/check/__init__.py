"""Inspect all state of a home folder, and repair what is safe.

Nothing here is needed for the portal to work: a worker does the repairs that it needs as it goes. It is for a person who wants to know whether
everything is in order, after a power cut, after a restore, after somebody moved files; and for monitoring.
"""

from __future__ import annotations

from portal.check.finding import Finding
from portal.check.inspecting import inspect
from portal.check.look import Depth
from portal.check.repairing import repair

__all__ = ["Depth", "Finding", "inspect", "repair"]
