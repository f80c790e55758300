"""Overview: is it running, what is going on, what went wrong."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import streamlit as st

from portal import audit
from portal.jobs import Status
from portal.metrics.figures import oldest_s
from portal.spool import Spool
from portal.ui import access, boxes, health, job_rows, job_search, pauses, serving, state, trigger_rows, trigger_words, wording
from portal.ui.accounts import Role
from portal.ui.components.job_table import job_table
from portal.ui.job_search import Filters
from portal.ui.views import trigger
from portal.ui.views.jobs import handle
from portal.ui.wording import plain

POLL_S, IDLE_S = 2, 15
_RECENT_DAYS = 7
_FAILURES = 8
_TRIGGERS = 5
_BAD = (Status.FAILED, Status.PARTIAL, Status.REJECTED)


def show() -> None:
    config, spool = state.config(), state.spool()
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title("Overview", width="content")
        st.space("stretch")
        pauses.button()
        if access.may(config, Role.OPERATOR) and st.button("New job", type="primary", icon=":material/add:"):
            state.go("new")
    active = health.look(config, spool).active
    _live(spool, active, POLL_S if active else IDLE_S)
    _corrupt(spool)


def _live(spool: Spool, was_active: bool, every_s: int) -> None:
    @st.fragment(run_every=every_s)
    def body() -> None:
        now = health.look(state.config(), spool)
        with boxes.told():
            pauses.banner(now.pauses)
            health.warn(now)
            _metrics(now)
            _tables(spool, now)
        # Last: a rerun before the tables have been asked would throw away a click that came with this run.
        if now.active != was_active:
            st.rerun()

    body()


def _metrics(now: health.Health) -> None:
    figures = _week(_archive_mark())
    with st.container(horizontal=True):
        st.metric("Running", now.counts.get("running", 0), border=True)
        delayed = now.counts.get("delayed", 0)
        st.metric("Waiting", now.counts.get("queued", 0) + delayed, border=True, help=f"{delayed:,} of them for a later time" if delayed else None)
        bad = sum(figures["by_status"].get(status.value, 0) for status in _BAD)
        st.metric(f"Not succeeded · {_RECENT_DAYS} days", f"{bad:,}", border=True, help="Failed, partial or rejected")
        st.metric(f"Jobs · {_RECENT_DAYS} days", f"{figures['jobs']:,}", border=True)
        st.metric(f"Moved · {_RECENT_DAYS} days", wording.size(figures["bytes"]), border=True)
        if oldest := oldest_s(state.spool().layout) if now.counts.get("queued") else 0:
            st.metric("Oldest waiting", wording.duration(oldest), border=True, help="How long the job has been ready that waits longest")
        _triggers()
        slots = sum(worker.slots for worker in now.alive)
        st.metric("Workers", len(now.alive), border=True, help=f"{slots} slots" if slots else "Start one: python worker.py")


def _triggers() -> None:
    known = trigger_rows.look(state.spool().layout).known
    if known:
        paused, wrong = (sum(item.standing == how for item in known) for how in ("paused", "problem"))
        told = [f"{paused:,} paused"] * bool(paused) + [f"{wrong:,} with a problem"] * bool(wrong)
        st.metric("Triggers", f"{len(known):,}", border=True, help=", ".join(told) or "All of them are active")


def _archive_mark() -> int:
    """Changes when a job is archived today; cheap to ask."""
    today = datetime.now(UTC).date()
    folder = state.config().archive_dir / f"{today:%Y/%m/%d}"
    return folder.stat().st_mtime_ns if folder.exists() else today.toordinal()


@st.cache_data(show_spinner=False, max_entries=4, ttl=600)
def _week(mark: int) -> dict[str, Any]:
    today = datetime.now(UTC).date()
    return audit.summary(audit.rows(state.config(), today - timedelta(days=_RECENT_DAYS - 1), today))


def _tables(spool: Spool, now: health.Health) -> None:
    may_act = access.may(state.config(), Role.OPERATOR)
    living = job_search.alive(spool, Filters(), 20)
    st.subheader("Running and waiting")
    if living:
        handle(job_table(job_rows.rows(spool, living, may_act=may_act), key="overview-alive"))
    else:
        st.caption("Nothing runs and nothing waits.")
    serving.show(spool, now.workers, [job for job in living if job.status is Status.QUEUED])
    st.subheader("Needs a look")
    _troubled_triggers(spool, now)
    failed = job_search.finished(spool, Filters(statuses=tuple(status.value for status in _BAD), days=_RECENT_DAYS), 0, _FAILURES, budget_s=0.5)
    if failed.jobs:
        handle(job_table(job_rows.rows(spool, failed.jobs, may_act=may_act), key="overview-failed"))
    else:
        st.caption(f"No job failed in the last {_RECENT_DAYS} days.")


def _troubled_triggers(spool: Spool, now: health.Health) -> None:
    look = trigger_rows.look(spool.layout)
    if look.active and now.alive:  # without a worker the page says so already
        trigger.warn(spool)
    wrong = [(item.trigger.name, trigger_rows.note(item)) for item in look.known if item.standing == "problem"]
    wrong += [(name, why.partition("\n")[0]) for name, why in look.damaged.items()]
    for name, why in wrong[:_TRIGGERS]:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.badge("Problem", color="red", icon=":material/error:")
            state.link("triggers", plain(name), ":material/bolt:", name=name)
            st.caption(plain(why), width="content")
    if len(wrong) > _TRIGGERS:
        more = f"{len(wrong) - _TRIGGERS:,} more triggers have a problem"
        state.link("triggers", more, ":material/bolt:", state=trigger_words.STANDINGS["problem"])


def _corrupt(spool: Spool) -> None:
    found = spool.corrupt()
    if not found:
        return
    st.subheader("Job files nobody can read")
    st.caption("They are kept in `queue/corrupt/`. Correct them there and submit them again, or remove them.")
    rows = [
        {"File": item.name, "Reason": item.reason, "Size": wording.size(item.size_bytes), "Seen": wording.moment(str(item.seen_at))}
        for item in found[:100]
    ]
    st.dataframe(rows, hide_index=True, row_height=30, alt="Corrupt job files")
