"""What was proven of a copy, and how its bytes went, in words and shapes. Only what was compared byte by byte looks proven."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, NamedTuple

import streamlit as st

from portal.ui import wording

Colour = Literal["orange", "blue", "green", "gray", "red"]


class Look(NamedTuple):
    """How a level is shown: its word, a Material symbol and a letter for tables, a colour, and what it means."""

    word: str
    icon: str
    letter: str
    colour: Colour
    meaning: str


LEVELS: Mapping[str, Look] = {
    "read-back": Look("Verified: read back", "verified", "✔", "green", "The target was read again after it was written, and is equal."),
    "end-to-end": Look(
        "Verified: end to end", "verified", "✔", "green", "The checksum that the source stores fits the bytes, and the target compared each block."
    ),
    "converted": Look(
        "Verified: converted", "verified", "✔", "green", "Source checksum, read-back of the Parquet file, and the rows balance, each apart."
    ),
    "streamed": Look(
        "Streamed: compared on the way", "compare_arrows", "≈", "blue",
        "The target compared each block with what passed; the source stores no checksum to hold it against.",
    ),
    "size": Look(
        "Length only: not verified", "warning", "▲", "orange", "Only the lengths are equal: other bytes of that length would not have been noticed."
    ),
    "read": Look("Verified: read now", "verified", "✔", "green", "The bytes of both were compared now, and are equal."),
    "stored": Look("Verified: stored checksums", "verified", "✔", "green", "The checksums that both stores keep are equal."),
    "recorded": Look(
        "Recorded: copy of this version", "history", "≈", "blue", "The target says that it was made of this very version of the source."
    ),
    "none": Look("No proof", "remove", "–", "gray", "Nothing was written."),
}  # fmt: skip

MODES: Mapping[str, Look] = {
    "server": Look("Server-side", "cloud_sync", "☁", "gray", "The target fetched it from the source: no byte passed this machine."),
    "stream": Look("Streamed", "swap_horiz", "⇄", "gray", "It passed this machine."),
    "convert": Look("Converted", "transform", "⇄", "gray", "It was rewritten as Parquet on this machine."),
    "local": Look("Local", "folder", "▤", "gray", "It was copied within this machine."),
}

OUTCOMES: Mapping[str, str] = {
    "copied": "● copied", "converted": "● converted", "skipped": "○ skipped", "excluded": "○ excluded", "failed": "✕ failed", "deleted": "⊖ deleted",
    "equal": "● equal", "different": "✕ different", "only-source": "✕ only at the source", "only-target": "✕ only at the target",
    "error": "✕ not compared",
}  # fmt: skip


def level(name: str) -> Look:
    """Return how a level of proof is shown; one that is not known is not verified."""
    return LEVELS.get(name) or Look(name or "Not told", "help", "?", "gray", "This version does not know the level.")


def mode(name: str) -> Look:
    return MODES.get(name) or Look(name or "Not told", "help", "?", "gray", "Ledgers of earlier versions do not tell.")


def cards(looks: list[tuple[Look, int, int | None]], what: str = "object") -> None:
    """Show levels or ways side by side, each with its number of objects and (unless None) bytes."""
    with st.container(horizontal=True, gap="small"):
        for look, objects, size in looks:
            with st.container(border=True, width=250, gap="xsmall"):
                st.badge(look.word, icon=f":material/{look.icon}:", color=look.colour, help=look.meaning)
                told = f"**{objects:,}** {what if objects == 1 else what + 's'}" + ("" if size is None else f" · {wording.size(size)}")
                st.markdown(told)
