"""What is being put together on the page of the lakehouse: tables, steps and their parameters. Kept in the session until it is started."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from portal.lake.chain import Step
from portal.ui.drafts import Draft

_KEY = "_lakehouse"
MOST_TABLES = 5_000
"""More than that belongs into a pattern, not into a list of names inside a job file."""


@dataclass
class Choice:
    """`id` makes starting it twice the same chain, and keeps its widgets apart from those of the next one."""

    id: str
    picked: dict[str, dict[str, None]] = field(default_factory=dict)
    """Names of chosen tables by the name of their catalog's connection: another database does not empty the basket of this one."""
    drafts: dict[Step, Draft] = field(default_factory=dict)
    """Credentials cannot be typed in: a step that is restarted later would miss them."""
    given: dict[Step, dict[str, Any]] = field(default_factory=dict)
    """What the forms of the steps hold, as it was last shown."""

    def draft(self, step: Step) -> Draft:
        return self.drafts.setdefault(step, Draft(secrets.token_hex(8), engine=step.value, named_only=True))

    def basket(self, catalog: str) -> dict[str, None]:
        return self.picked.setdefault(catalog, {})


def current() -> Choice:
    """Return what this session is putting together."""
    kept = st.session_state.get(_KEY)
    return kept if isinstance(kept, Choice) else start()


def start() -> Choice:
    """Begin anew; what was chosen before is forgotten."""
    choice = Choice(secrets.token_hex(8))
    st.session_state[_KEY] = choice
    return choice
