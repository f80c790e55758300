"""What a job will do, told before it is submitted: in plain words, as JSON, and as the command that does the same."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from typing import Any

import streamlit as st

from portal import catalog
from portal.errors import PortalError
from portal.jobs import Followup, Job, When
from portal.notifying import wish
from portal.ui import actions, boxes, drafts, listing, mirror, notify_option, state
from portal.ui.actions import Order
from portal.ui.wording import count_of, plain

_MOST_ON_A_LINE = 50
_WHEN = {
    When.SUCCEEDED: "succeeded", When.PARTIAL: "succeeded in part", When.FAILED: "failed", When.REJECTED: "been rejected",
    When.CANCELLED: "been cancelled", When.ARRIVED: "succeeded, in part at least", When.ALWAYS: "ended", When.SLOWER: "run longer than usual",
}  # fmt: skip


@st.dialog("Submit this job?", width="large", icon=":material/rocket_launch:")
def dialog(order: Order) -> None:
    """Show the job and submit it on a click; however often it is clicked, it is one job."""
    try:
        job = actions.prepared(mirror.assumed(order))
    except PortalError as problem:
        boxes.error(problem)
        return
    for line in summary(job, order.typed or {}):
        st.markdown(line)
    with st.expander("As JSON", icon=":material/data_object:"):
        st.code(as_json(job), language="json", height=320)
    with st.expander("As a command", icon=":material/terminal:"):
        st.code(command(job), language="bash", wrap_lines=True)
        if order.typed:
            st.caption("Credentials are not part of a command: name a connection of connections.toml there instead.")
    confirmed = mirror.confirmed(order, f"{order.key}.confirm")
    label, icon = mirror.submit_label(order), ":material/delete_forever:" if mirror.deletes(order) else ":material/rocket_launch:"
    if st.button(label, type="primary", width="stretch", icon=icon, disabled=confirmed is None, key=f"{order.key}.submit") and confirmed:
        with boxes.told():
            done = actions.submit(confirmed)
            drafts.start()
            listing.forget()
            state.go("job", id=done.id)


def summary(job: Job, typed: Mapping[str, Any]) -> list[str]:
    """Return what will happen as lines of Markdown; everything from outside is made plain."""
    spec = catalog.engine(job.engine)
    params = dict(job.params)
    source, target, keys = (params.pop(name, None) for name in ("source", "target", "keys"))
    what = f" **{count_of(len(keys), 'chosen object')}**" if keys else " **everything**" if source else ""
    where = (f" from **{plain(source)}**" if source else "") + (f" to **{plain(target)}**" if target else "")
    lines = [f"**{job.engine.replace('_', ' ').capitalize()}**{what}{where}. {plain(spec.summary)}"]
    titles = {item.name: item.title for item in spec.fields}
    params.pop(mirror.CONFIRM, None)
    changed = [f"{plain(titles.get(name, name))}: **{plain(_shown(value))}**" for name, value in params.items()]
    lines.append("- " + "\n- ".join(changed) if changed else "All other parameters have their defaults.")
    if job.labels.get("dry_run"):
        lines.append("It is a **dry run**: the plan is made, nothing is changed.")
    if typed:
        lines.append(":material/lock: The credentials typed in go with this job, sealed; they are gone when it has ended.")
    wishes, others = wish.parted(job.then)
    lines += [f":material/subdirectory_arrow_right: When it has {_WHEN[item.when]}: **{plain(item.engine)}**" for item in others]
    return [*lines, *map(notify_option.line, wishes)]


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value[:8])) + (f" and {len(value) - 8:,} more" if len(value) > 8 else "")
    return ("yes" if value else "no") if isinstance(value, bool) else str(value)


def as_json(job: Job) -> str:
    """The job as a file for `python -m portal submit --file`; without secrets."""
    order: dict[str, Any] = {"engine": job.engine, "params": dict(job.params)}
    order |= {
        name: value
        for name, value in (("name", job.labels.get("name")), ("priority", job.priority if job.priority != 5 else None))
        if value is not None
    }
    wishes, others = wish.parted(job.then)
    order |= {"then": [_followup(item) for item in others]} if others else {}
    order |= {"notify": list(map(str, wishes))} if wishes else {}
    return json.dumps(order, ensure_ascii=False, indent=1)


def _followup(item: Followup) -> dict[str, Any]:
    made: dict[str, Any] = {"engine": item.engine, "params": dict(item.params)}
    made |= {"when": item.when.value} if item.when.value != "succeeded" else {}
    plainest = Followup(item.engine)
    numbers = {name: getattr(item, name) for name in ("priority", "timeout_s", "max_attempts") if getattr(item, name) != getattr(plainest, name)}
    made |= numbers
    return made | ({"then": [_followup(child) for child in item.then]} if item.then else {})


def command(job: Job) -> str:
    """The shell command that submits the same job; long lists of keys stay in the JSON."""
    if any(isinstance(value, list | tuple) and len(value) > _MOST_ON_A_LINE for value in job.params.values()):
        return "# Save the JSON above as job.json:\npython -m portal submit --file job.json"
    words = ["python", "-m", "portal", "submit", job.engine]
    for item in catalog.engine(job.engine).fields:
        if item.name in job.params:
            words += _flag(item.flag, job.params[item.name])
    if name := job.labels.get("name"):
        words += ["--name", name]
    words += ["--priority", str(job.priority)] if job.priority != 5 else []
    words += ["--dry-run"] if job.labels.get("dry_run") else []
    wishes, others = wish.parted(job.then)
    for followup in others:
        words += ["--then", json.dumps(_followup(followup), ensure_ascii=False)]
    for one in wishes:
        words += ["--notify", str(one)]
    return " ".join(shlex.quote(word) for word in words)


def _flag(flag: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [flag if value else flag.replace("--", "--no-", 1)]
    if isinstance(value, list | tuple):
        return [flag, *map(str, value)]
    return [flag, json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else str(value)]
