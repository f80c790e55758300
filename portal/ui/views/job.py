"""One job: how far it is, what it says, what it was given and what came of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import streamlit as st

from portal.jobs import ID_PATTERN, PRIORITIES, Job, Status
from portal.notifying import slow
from portal.progress import Progress
from portal.spool import Reason, Spool, finishing
from portal.triggers.trigger import NAME_LABEL
from portal.ui import access, actions, boxes, health, job_facts, job_result, job_rows, ledger_table, log_tail, pauses, state, status_line, wording
from portal.ui.accounts import Role
from portal.ui.components.log_view import log_view
from portal.ui.wording import plain

POLL_S = 2
_TABS = ["Log", "Result", "Objects", "Parameters", "Attempts", "Files"]


def show() -> None:
    job_id = str(st.query_params.get("id", "")).strip().upper()
    spool = state.spool()
    job = spool.find(job_id) if ID_PATTERN.fullmatch(job_id) else None
    state.link("jobs", "All jobs", ":material/arrow_back:")
    if job is None:
        st.title("Job not found")
        boxes.empty(
            "search_off", "There is no job with this id", "Check the link; finished jobs are kept for ever, so it may belong to another portal."
        )
        return
    _head(spool, job)
    _relatives(spool, job)
    _progress(spool, job)
    _error(job)
    _tabs(spool, job)


def _head(spool: Spool, job: Job) -> None:
    cancelling = not job.status.finished and spool.cancel_requested(job.id)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(plain(job.name), width="content")
        status_line.badge(job.status, cancelling=cancelling)
        if job.labels.get("dry_run"):
            st.badge("Dry run", color="violet", icon=":material/science:")
        st.space("stretch")
        _buttons(job, cancelling)
    start = wording.started_at(job)
    facts = [
        f"`{job.id}`",
        plain(job.engine),
        f"by {plain(job.submitted_by)}",
        f"submitted {plain(wording.moment(job.submitted_at, seconds=True))} UTC",
    ]
    if start and job.status is not Status.QUEUED:
        facts.append(f"{'took' if job.finished_at else 'running for'} {plain(wording.duration(wording.elapsed_s(start, job.finished_at)))}")
    st.caption(" · ".join(facts))


def _buttons(job: Job, cancelling: bool) -> None:
    may_act = access.may(state.config(), Role.OPERATOR)
    if not job.status.finished:
        if job.status is Status.QUEUED:
            _priority(job, may_act and not cancelling)
        if st.button("Cancel job", icon=":material/stop_circle:", disabled=not may_act or cancelling):
            _act(job, "cancel")
        return
    if job.status is not Status.SUCCEEDED and st.button(
        _retry_label(job), icon=":material/replay:", disabled=not may_act, help="Do again what did not succeed, and nothing else"
    ):
        _act(job, "retry")
    if st.button("Edit and rerun", icon=":material/edit:", disabled=not may_act, help="A new job with these parameters, to be changed first"):
        state.go("new", **{"from": job.id})


def _retry_label(job: Job) -> str:
    failed = ((job.result or {}).get("counts") or {}).get("failed")
    return f"Retry only the {failed:,} that failed" if failed else "Retry"


def _priority(job: Job, may_act: bool) -> None:
    chosen = st.selectbox(
        "Priority", PRIORITIES, index=job.priority, format_func=lambda value: f"Priority {wording.priority(value)}", width=165,
        label_visibility="collapsed", disabled=not may_act, key=f"priority-{job.id}-{job.priority}", help="0 starts first, 9 last",
    )  # fmt: skip
    if chosen != job.priority:
        with boxes.told():
            actions.priority(job.id, chosen)
            st.rerun()


def _act(job: Job, verb: str) -> None:
    with boxes.told():
        if verb == "cancel":
            actions.cancel(job.id)
            st.rerun()
        again = actions.retry(job.id)
        state.go("job", id=again.id)


def _relatives(spool: Spool, job: Job) -> None:
    with st.container(horizontal=True, gap="small"):
        if name := job.labels.get(NAME_LABEL):
            state.link("triggers", f"Trigger {plain(name)}", ":material/bolt:", name=name)
        for word, other_id in (("Retry of", job.retry_of), ("Follows", job.parent if job.parent != job.retry_of else None)):
            if other_id:
                other = spool.find(other_id)
                _jump(f"{word} {other.engine if other else 'job'} {job_rows.short(other_id)}", ":material/north_west:", other_id)
        for child in children(spool, job):
            label = f"{child.engine} {job_rows.short(child.id)} · {wording.STATUS_WORDS[child.status]}"
            _jump(label, ":material/subdirectory_arrow_right:", child.id)


def _jump(label: str, icon: str, job_id: str) -> None:
    """A way to another job. Not a page link: that does not change the address when it leads to the page it stands on."""
    if st.button(plain(label), icon=icon, key=f"jump-{job_id}", type="tertiary"):
        state.go("job", id=job_id)


def children(spool: Spool, job: Job) -> Iterator[Job]:
    """The follow-ups that the job's end started, or that it took long."""
    for job_id in (*slow.child_ids(job), *finishing.child_ids(job)):
        child = spool.find(job_id)
        if child:
            yield child


def _progress(spool: Spool, job: Job) -> None:
    if job.status.finished:
        return
    shown_as, had_cancel = job.status, spool.cancel_requested(job.id)

    @st.fragment(run_every=POLL_S)
    def body() -> None:
        now = spool.find(job.id)
        if now is None or now.status is not shown_as or spool.cancel_requested(job.id) != had_cancel:
            st.rerun()
        look = health.look(state.config(), spool)
        pauses.banner(look.pauses, job.engine)
        if now.status is Status.QUEUED:
            health.warn(look)
            _why(spool.why(now))
        else:
            _bar(spool.progress(job.id))

    body()


def _why(reason: Reason | None) -> None:
    """Why the job waits; a pause has its own banner."""
    if reason and reason.kind not in ("paused", "engine-paused"):
        st.info(plain(job_rows.unquoted(reason)), title="Waiting", icon=":material/schedule:")


def _bar(progress: Progress | None) -> None:
    if progress is None:
        st.progress(0.0, text="Starting…")
        return
    parts = [job_rows.done(_ANY, progress)]
    if progress.fraction is not None:
        parts.insert(0, f"{progress.fraction:.0%}")
    if progress.done_bytes:
        parts.append(wording.size(progress.done_bytes))
    if (rate := job_rows.rate(progress)) != wording.NONE:
        parts.append(rate)
    if progress.eta_s is not None:
        parts.append(f"ETA {wording.duration(progress.eta_s)}")
    if progress.note:
        parts.append(progress.note)
    st.progress(progress.fraction or 0.0, text=plain(" · ".join(parts)))


_ANY = Job("", "", {}, "")


def _error(job: Job) -> None:
    if job.error:
        first, _, rest = job.error.partition("\n")
        shown = st.error if job.status in (Status.FAILED, Status.REJECTED) else st.warning
        shown(plain(rest) or "No job was lost: retry it when the cause is gone.", title=plain(first), icon=":material/error:")


def _tabs(spool: Spool, job: Job) -> None:
    tells = job.status.finished and job.result and (not job.error or job.labels.get("dry_run"))
    tabs = st.tabs(_TABS, key="tab", bind="query-params", default="Result" if tells else "Log")
    bodies: list[Callable[[], None]] = [
        lambda: _log(spool, job), lambda: job_result.show(spool, job), lambda: ledger_table.show(spool, job), lambda: job_facts.parameters(job),
        lambda: job_facts.attempts(job), lambda: job_facts.files(spool, job),
    ]  # fmt: skip
    for tab, body in zip(tabs, bodies, strict=True):
        if tab.open:
            with tab, boxes.told():
                body()


def _log(spool: Spool, job: Job) -> None:
    live = not job.status.finished

    @st.fragment(run_every=POLL_S if live else None)
    def body() -> None:
        level = st.segmented_control(
            "Level", list(log_tail.LEVELS), default="All", required=True, key="level", bind="query-params", label_visibility="collapsed"
        )
        tail = log_tail.read(spool.log_path(job.id), level or "All")
        empty = "No line of this level in the end of the log." if tail.size_bytes else "The engine has not written anything yet."
        log_view(tail.lines, live=live, about=tail.about, empty=empty, key=f"log-{job.id}")

    body()
