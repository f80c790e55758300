"""The job that is being put together: kept in the session until it is submitted or given up."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from portal.jobs import Followup, Job

_KEY = "_draft"


@dataclass
class Draft:
    """One form being filled in. `id` makes submitting it twice the same job, and keeps its widgets apart from those of the next form."""

    id: str
    engine: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    """Parameters to begin with."""
    baskets: dict[str, dict[str, int]] = field(default_factory=dict)
    """Chosen keys with their sizes in bytes, by container URL: another container does not empty the basket of this one."""
    typed: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Credentials typed in, by connection name: only here in memory, until they are sealed into the job."""
    then: tuple[Followup, ...] = ()
    name: str = ""
    parent: str | None = None
    retry_of: str | None = None
    named_only: bool = False
    """Credentials cannot be typed in: what is made of it outlives the one job they would be sealed into."""
    needs: tuple[str, ...] = ()
    """Connections that were typed in for the job this one is made from."""


def current() -> Draft:
    """Return the draft of this session, a new one when there is none."""
    draft = st.session_state.get(_KEY)
    return draft if isinstance(draft, Draft) else start()


def start(**values: Any) -> Draft:
    """Begin another draft; the one before is forgotten, credentials included."""
    draft = Draft(secrets.token_hex(8), **values)
    st.session_state[_KEY] = draft
    return draft


def from_job(job: Job, typed_names: str) -> Draft:
    """Begin with what an earlier job was given."""
    params: Mapping[str, Any] = job.params
    return start(
        engine=job.engine, values=dict(params), then=job.then, name=job.labels.get("name", ""), parent=job.id,
        needs=tuple(name for name in typed_names.split(",") if name),
    )  # fmt: skip
