"""One trigger: how it is, when it is due, what came of its events, and what it is told to do."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import streamlit as st

from portal import catalog, clock
from portal.errors import BadParameters, PortalError
from portal.jobs import Job
from portal.spool import Spool
from portal.triggers import book, cron, events, history, noticed, standing, submitting, telling
from portal.triggers import state as states
from portal.triggers.history import Happened
from portal.triggers.state import State
from portal.triggers.trigger import Trigger
from portal.ui import access, boxes, health, job_rows, state, trigger_actions, trigger_words, wording
from portal.ui.accounts import Role
from portal.ui.components.job_table import job_table
from portal.ui.views import jobs as jobs_page
from portal.ui.wording import plain

POLL_S = 3
_JOBS, _DUE, _SLOW, _LINKED = 8, 8, 5, 3
_LONGEST = 300


def show(trigger: Trigger) -> None:
    """Show a trigger; what changes by itself is looked at every few seconds."""
    spool = state.spool()
    _head(spool, trigger)
    _live(spool, trigger)
    st.subheader("What it is told")
    _definition(trigger)


def _head(spool: Spool, trigger: Trigger) -> None:
    how = telling.standing(trigger, states.state(spool.layout, trigger.name))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.title(plain(trigger.name), width="content")
        colour, icon = trigger_words.LOOK[how]
        st.badge(trigger_words.STANDINGS[how], color=colour, icon=f":material/{icon}:")
        st.space("stretch")
        _buttons(spool, trigger)
    facts = (trigger_words.KINDS[trigger.kind], telling.waits(trigger), f"runs {telling.does(trigger)}",
             f"changed {wording.moment(trigger.at)} UTC by {trigger.by}")  # fmt: skip
    st.caption(" · ".join(map(plain, facts)))


def _buttons(spool: Spool, trigger: Trigger) -> None:
    may_act = access.may(state.config(), Role.OPERATOR)
    asked = book.is_asked(spool.layout, trigger.name)
    if st.button("Run now", icon=":material/play_arrow:", disabled=not may_act or asked, help="Once, whatever it waits for; a paused one, too"):
        _act(trigger_actions.run_now, trigger.name)
    if trigger.paused:
        if st.button("Resume", icon=":material/play_circle:", disabled=not may_act, help="Times that passed meanwhile are not made up for"):
            _act(trigger_actions.resume, trigger.name)
    elif st.button("Pause…", icon=":material/pause_circle:", disabled=not may_act, help="It makes no jobs until it is resumed"):
        ask_why(trigger.name)
    if st.button("Edit", icon=":material/edit:", disabled=not may_act):
        state.go("triggers", edit=trigger.name)
    if st.button("Remove…", icon=":material/delete:", disabled=not may_act):
        ask_removal(trigger.name)


def _act(action: Any, name: str) -> None:
    with boxes.told():
        action(name)
        st.rerun()


@st.dialog("Pause the trigger", icon=":material/pause_circle:")
def ask_why(name: str) -> None:
    """Ask why a trigger is to make no more jobs, and pause it."""
    with st.form("pause-trigger", border=False):
        why = st.text_input("Why", max_chars=_LONGEST, placeholder="Everybody sees this: the shop sends nothing this week")
        st.caption(f"{plain(name)} makes no jobs until somebody resumes it. Its jobs that are there run to their end.")
        wanted = st.form_submit_button("Pause", type="primary", width="stretch")
    if wanted:
        with boxes.told():
            trigger_actions.pause(name, why.strip())
            st.rerun()


@st.dialog("Remove the trigger?", icon=":material/warning:")
def ask_removal(name: str) -> None:
    """Ask whether a trigger is to go, and remove it."""
    st.write(f"**{plain(name)}** and its history go. Its jobs and their records stay, and files that it has taken become a job still.")
    if st.button(f"Remove {plain(name)}", type="primary", width="stretch", icon=":material/delete_forever:"):
        with boxes.told():
            trigger_actions.remove(name)
            state.go("triggers")


def _live(spool: Spool, shown: Trigger) -> None:
    before = telling.standing(shown, states.state(spool.layout, shown.name)), book.is_asked(spool.layout, shown.name)

    @st.fragment(run_every=POLL_S)
    def body() -> None:
        with boxes.told():
            try:
                trigger = book.load(spool.layout, shown.name)
            except PortalError:
                st.rerun()
            now = states.state(spool.layout, trigger.name)
            _warnings(spool, trigger, now)
            left, right = st.columns([1, 1.9], gap="large")
            with left:
                _coming(spool, trigger, now)
            with right:
                past = history.events(spool.layout, trigger.name)
                _history(past)
            _jobs(spool, trigger, now, past)
            if (telling.standing(trigger, now), book.is_asked(spool.layout, trigger.name)) != before or trigger.at != shown.at:
                st.rerun()

    body()


def _warnings(spool: Spool, trigger: Trigger, now: State) -> None:
    if trigger.paused:
        why = f": {trigger.paused.why}" if trigger.paused.why else ""
        told = plain(f"By {trigger.paused.by} since {wording.moment(trigger.paused.at)} UTC{why}")
        st.warning(told, title="Paused: it makes no jobs", icon=":material/pause_circle:")
    else:
        warn(spool)
    if now.problem:
        first, _, rest = now.problem.text.partition("\n")
        often = f" {now.problem.times:,} times since" if now.problem.times > 1 else " Since"
        st.error(f"{plain(rest)}{'  ' + chr(10) if rest else ''}{often} {plain(wording.moment(now.problem.since))} UTC.", title=plain(first),
                 icon=":material/error:")  # fmt: skip


def warn(spool: Spool) -> None:
    """Say when nothing serves the triggers."""
    if not any(worker.alive for worker in spool.workers()):
        st.warning(f"{health.NO_WORKER}. Workers serve the triggers; until then nothing happens here.", icon=":material/warning:")
        return
    served = standing.service(spool.layout)
    if served.hangs(clock.now_ms()):
        st.error(f"What serves the triggers has done nothing since {plain(wording.moment(served.beat_at))} UTC: look at the worker's log.",
                 icon=":material/error:")  # fmt: skip
    if served.slow:
        slow = ", ".join(f"{name} ({wording.duration(seconds)})" for name, seconds in list(served.slow.items())[:_SLOW])
        st.warning(plain(f"A look takes long, and goes on: {slow}. Its disk, or the service behind it, may hang."), icon=":material/hourglass:")


def _coming(spool: Spool, trigger: Trigger, now: State) -> None:
    st.subheader("Next" if trigger.kind == "cron" else "Now")
    if book.is_asked(spool.layout, trigger.name):
        st.info("Asked to run now.", icon=":material/play_arrow:")
    if trigger.kind == "cron":
        _due(trigger)
        return
    looked = f"Looked at {wording.moment(now.looked_at)} UTC" if now.looked_at else "Not looked at yet"
    st.caption(plain(f"{looked}, {wording.count_of(len(submitting.not_ended(spool, now.jobs)), 'job')} under way."))
    if rows := [{"What": title, "": value} for title, value in noticed.figures(trigger.kind, now.told)]:
        st.dataframe(rows, hide_index=True, row_height=28, alt="What the service saw")
    for item in noticed.remains(now.told):
        st.markdown(f"**{plain(item.title)}**  \n{plain(item.names)}  \n:gray[because {plain(item.why)}]")
        for job_id in item.jobs[:_LINKED]:
            state.link("job", f"Job {job_rows.short(job_id)}", ":material/open_in_new:", id=job_id)


def _due(trigger: Trigger) -> None:
    """When a schedule is due, or why it is not."""
    if trigger.paused:
        st.caption("Nothing, while it is paused.")
        return
    try:
        times = cron.next_times(trigger, _DUE, datetime.now(UTC))
    except PortalError as problem:
        boxes.error(problem)
        return
    rows = [{"Due": trigger_words.local(when), "UTC": f"{when.astimezone(UTC):%H:%M}", "": trigger_words.ahead(when)} for when in times]
    st.dataframe(rows, hide_index=True, row_height=28, alt="Next due times")


def _cell(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}" if type(value) is int else json.dumps(value, ensure_ascii=False)


def _history(past: list[Happened]) -> None:
    st.subheader("Events")
    if not past:
        st.caption("It has had no event yet.")
        return
    rows = [
        {
            "Due (UTC)": wording.moment(item.due_at), "Handled (UTC)": wording.moment(item.at, seconds=True),
            "Outcome": trigger_words.OUTCOMES[item.outcome], "Job": job_rows.short(item.job) if item.job else "", "Reason": item.reason,
        }
        for item in past
    ]  # fmt: skip
    st.dataframe(rows, hide_index=True, row_height=28, height=266 if len(rows) > 8 else "auto", alt="Events of the trigger")


def _jobs(spool: Spool, trigger: Trigger, now: State, past: list[Happened]) -> None:
    ids = dict.fromkeys([*now.jobs, *(item.job for item in past if item.job)])
    found: list[Job] = [job for job_id in list(ids)[:_JOBS] if (job := spool.find(job_id))]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader("Jobs", width="content")
        st.space("stretch")
        state.link("jobs", "All its jobs", ":material/list_alt:", trigger=trigger.name)
    if found:
        rows = job_rows.rows(spool, sorted(found, key=lambda job: job.id, reverse=True), may_act=access.may(state.config(), Role.OPERATOR))
        jobs_page.handle(job_table(rows, key=f"jobs-{trigger.name}"))
    else:
        st.caption("It has made no job yet.")


def _definition(trigger: Trigger) -> None:
    left, right = st.columns(2, gap="large")
    with left:
        titles = {item.name: item.title for item in telling.spec(trigger.kind).fields}
        rows = [{"Waits for": titles.get(name, name), "Value": _cell(value)} for name, value in trigger.on.items()]
        st.dataframe(rows, hide_index=True, row_height=28, alt="What it waits for")
        st.caption(plain(" · ".join(_job_facts(trigger))))
    with right:
        st.dataframe(_parameters(trigger), hide_index=True, row_height=28, alt="Parameters of its jobs")
    with st.expander("As JSON", icon=":material/data_object:"):
        st.code(json.dumps(json.loads(trigger.to_json()), ensure_ascii=False, indent=1), language="json", height=320)
        st.caption("`python -m portal triggers show " + plain(shlex.quote(trigger.name)) + " --definition` prints what `triggers add --file` takes.")


def _job_facts(trigger: Trigger) -> Iterator[str]:
    before = "While the job before has not ended"
    if trigger.kind == "sqs":
        yield "One job at a time"
    elif trigger.overlap == "allow":
        yield f"{before}, the next one runs beside it"
    elif trigger.kind == "folder":
        yield f"{before}, files wait in the folder"
    else:
        yield f"{before}, the next one {'is left out' if trigger.overlap == 'skip' else 'waits'}"
    yield f"priority {wording.priority(trigger.priority)}"
    if trigger.timeout_s:
        yield f"time limit {wording.duration(trigger.timeout_s)}"
    wishes, others = telling.then(trigger)
    if others:
        yield "then " + ", ".join(str(item["engine"]) for item in others)
    yield from (f"tells {wish}" for wish in wishes)
    if trigger.labels:
        yield "labels " + ", ".join(f"{name}={value}" for name, value in trigger.labels.items())


def _parameters(trigger: Trigger) -> list[dict[str, str]]:
    try:
        titles = {item.name: item.title for item in catalog.engine(trigger.engine).fields}
    except BadParameters:
        titles = {}
    rows = [{"Parameter": "Engine", "Value": trigger.engine}]
    rows += [{"Parameter": titles.get(name, name), "Value": "from the trigger" } for name in telling.GIVEN.get(trigger.kind, ())
             if name in titles and name not in trigger.params]  # fmt: skip
    return rows + [{"Parameter": titles.get(name, name), "Value": _value(value)} for name, value in trigger.params.items()]


def _value(value: Any) -> str:
    return f"of the event: {telling.quote(value)}" if events.is_quote(value) else _cell(value)
