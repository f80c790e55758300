"""Samples of a text from its head, middle and tail."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Sample:
    """A piece of a source's text."""

    data: bytes
    """Valid UTF-8, no character cut."""
    offset: int
    """Of the first byte in the text."""
    first: bool
    """It begins where the text begins."""
    last: bool
    """It ends where the text ends."""
