"""What is being put together on the page of the lakehouse: tables, steps and their parameters. Kept in the session until it is started."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from portal.lake import chain_jobs
from portal.lake.chain import Step
from portal.lake.chain_view import View
from portal.spool import Spool
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

    usual: Mapping[Step, Mapping[str, Any]] = field(default_factory=dict)
    """Parameters to begin with."""

    def draft(self, step: Step) -> Draft:
        values = dict(self.usual.get(step, {}))
        return self.drafts.setdefault(step, Draft(secrets.token_hex(8), engine=step.value, values=values, named_only=True))

    def basket(self, catalog: str) -> dict[str, None]:
        return self.picked.setdefault(catalog, {})


def current(spool: Spool) -> Choice:
    """Return what this session is putting together; a new one begins with the parameters of the latest chain."""
    kept = st.session_state.get(_KEY)
    if isinstance(kept, Choice):
        return kept
    latest = next(iter(chain_jobs.chains(spool, most=1).chains), None)
    choice = Choice(secrets.token_hex(8), usual=_parameters(latest) if latest else {})
    st.session_state[_KEY] = choice
    return choice


def _parameters(view: View) -> dict[Step, Mapping[str, Any]]:
    return {step.step: {name: value for name, value in step.latest.params.items() if name != "tables"} for step in view.steps if step.latest}


def start() -> None:
    """Begin anew; what was chosen before is forgotten."""
    st.session_state.pop(_KEY, None)
