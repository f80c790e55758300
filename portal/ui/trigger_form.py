"""The form of a trigger: what it waits for, what it runs, and how the two meet."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import available_timezones

import streamlit as st

from portal import catalog
from portal.catalog import EngineSpec, FieldSpec
from portal.errors import BadParameters, PortalError
from portal.notifying import wish
from portal.triggers import cron, events, telling
from portal.triggers.trigger import ON, USUAL_ENGINE, Trigger
from portal.ui import boxes, credentials, engine_form, forms, notify_option, state, trigger_actions, trigger_quotes, trigger_words, wording
from portal.ui.drafts import Draft
from portal.ui.wording import plain

_KEY = "_trigger_draft"
_NEEDS: forms.Needs = {"still_s": {"ready": ("marker",)}, "max_catch_up": {"catch_up": ("none", "last")}}
_OVERLAPS = {"skip": "leave it out, and say so", "wait": "let it wait for the job before", "allow": "run beside it"}
_FOLDER_OVERLAPS = {"skip": "files wait where they are", "wait": "files wait where they are", "allow": "the next batch runs beside it"}
_SHOWN_NEXT = 5


def show(old: Trigger | None) -> None:
    """Show the form of a new trigger, or of one that is changed."""
    draft = _draft(old)
    kind = _kind(old, draft)
    left, right = st.columns([1, 1.25], gap="large")
    with left, st.container(border=True):
        st.subheader("What it waits for")
        name = st.text_input(
            "Name *", old.name if old else "", key=f"{draft.id}.name", max_chars=63, disabled=old is not None, persist_state="session",
            placeholder="nightly-sales", help="Small letters, digits and '-'. Jobs carry it; it does not change.",
        )  # fmt: skip
        on = _on(kind, old, draft)
    with right, st.container(border=True):
        st.subheader("What it runs")
        spec = _engine(kind, old, draft)
        given, quoted = _parameters(kind, spec, old, draft)
        fields = _job(kind, spec, old, draft)
    with right:  # in a narrow window it comes last, too
        _save(old, draft, {"name": (name or "").strip(), "kind": kind, "engine": spec.name, **fields}, on, spec, given, quoted)


def forget() -> None:
    """Give up what was being typed."""
    st.session_state.pop(_KEY, None)


def _draft(old: Trigger | None) -> Draft:
    """The draft of this session for this trigger as it is now; another one when somebody changed it meanwhile."""
    mark = f"{old.uid}.{old.at}" if old else "new"
    kept = st.session_state.get(_KEY)
    if isinstance(kept, tuple) and kept[0] == mark:
        draft: Draft = kept[1]
        return draft
    if old and isinstance(kept, tuple) and kept[0].partition(".")[0] == old.uid:
        st.warning(f"{plain(old.by)} has changed this trigger meanwhile: the form begins anew with what it is now.", icon=":material/warning:")
    fixed = trigger_quotes.split(old.params)[0] if old else {}
    draft = Draft(secrets.token_hex(8), engine=old.engine if old else "", values=fixed, named_only=True)
    st.session_state[_KEY] = (mark, draft)
    return draft


def _kind(old: Trigger | None, draft: Draft) -> str:
    if old:
        st.caption(f"{trigger_words.KINDS[old.kind]}: what a trigger waits for and its name do not change.")
        return old.kind
    asked = str(st.query_params.get("kind", "cron"))
    chosen = st.segmented_control(
        "Kind", list(ON), default=asked if asked in ON else "cron", required=True, key=f"{draft.id}.kind", label_visibility="collapsed",
        format_func=trigger_words.KINDS.__getitem__, persist_state="session",
    )  # fmt: skip
    st.caption(trigger_words.MEANINGS[str(chosen)])
    return str(chosen)


def _on(kind: str, old: Trigger | None, draft: Draft) -> dict[str, Any]:
    """The fields of the kind; of a schedule, when it would be due."""
    spec = telling.spec(kind)

    def connect(item: FieldSpec, label: str, value: Any, key: str) -> str:
        return credentials.choose(draft, "s3", label, value, key, help_text=item.help)

    def zone(item: FieldSpec) -> Mapping[str, Any]:
        zones = sorted(available_timezones())
        start = str(values.get(item.name, item.default))
        known = start in zones
        zones = zones if known else [start, *zones]  # never another one unasked: saving would change when its jobs run
        chosen = st.selectbox(item.title, zones, zones.index(start), key=f"{draft.id}.{kind}.zone", help=item.help, persist_state="session")
        if not known and chosen == start:
            st.error(plain(f"This machine knows no time zone {start!r}. Choose another one."), icon=":material/error:")
        return {item.name: chosen}

    values = dict(old.on) if old else {}
    form = forms.Form(values, f"{draft.id}.{kind}", connect, {"time_zone": zone}, {}, _NEEDS)
    given = form.show(spec.fields)
    params = forms.parameters(spec.fields, given)
    if kind == "cron" and params.get("schedule"):
        _next(params)
    return params


def _next(on: Mapping[str, Any]) -> None:
    """When a schedule would be due, or what is wrong with it."""
    try:
        trial = Trigger(name="trial", kind="cron", on=on, engine="list")
        times = cron.next_times(trial, _SHOWN_NEXT, datetime.now(UTC))
    except (PortalError, ValueError) as problem:
        st.error(plain(problem.message if isinstance(problem, PortalError) else "This is no schedule."), icon=":material/error:")
        return
    st.caption("Next:  \n" + "  \n".join(plain(trigger_words.local(when)) for when in times))


def _engine(kind: str, old: Trigger | None, draft: Draft) -> EngineSpec:
    names = catalog.names()
    first = old.engine if old else USUAL_ENGINE.get(kind, "list")
    chosen = st.selectbox(
        "Engine", names, names.index(first) if first in names else 0, key=f"{draft.id}.{kind}.engine", persist_state="session",
        format_func=lambda name: name.replace("_", " ").capitalize(),
    )  # fmt: skip
    spec = catalog.engine(chosen or names[0])
    st.caption(plain(spec.summary))
    return spec


def _parameters(kind: str, spec: EngineSpec, old: Trigger | None, draft: Draft) -> tuple[dict[str, Any], dict[str, Any]]:
    """The fixed parameters, raw, and those that quote the event."""
    for name, value in telling.USUAL.get((kind, spec.name), {}).items():
        draft.values.setdefault(name, value)
    by_kind = [item for item in spec.fields if item.name in telling.GIVEN.get(kind, ())]
    own = [item for item in spec.fields if item not in by_kind and not (kind == "folder" and item.name == "source_connection")]
    prefix = f"{draft.id}.{kind}.{spec.name}"
    before = trigger_quotes.split(old.params)[1] if old and old.engine == spec.name else {}
    quoted = trigger_quotes.show(kind, own, before, prefix)
    if by_kind:
        st.caption("The trigger gives " + " and ".join(f"**{plain(item.title)}**" for item in by_kind) + ".")
    given: dict[str, Any] = {name: value.get("format") for name, value in quoted.items() if events.is_quote(value)}  # a connection goes by its URL
    engine_form.show(draft, spec, [item for item in own if item.name not in quoted], given, prefix)
    return {name: value for name, value in given.items() if name not in quoted}, quoted


def _job(kind: str, spec: EngineSpec, old: Trigger | None, draft: Draft) -> dict[str, Any]:
    """What is asked of the job beside its parameters."""
    words = _FOLDER_OVERLAPS if kind == "folder" else _OVERLAPS
    key = f"{draft.id}.{kind}"
    fields: dict[str, Any] = {}
    wishes, others = telling.then(old) if old else ([], [])
    if kind != "sqs":
        options = ["skip", "allow"] if kind == "folder" else list(words)
        start = old.overlap if old and old.overlap in options else "skip"
        fields["overlap"] = st.selectbox(
            "While the job before has not ended", options, options.index(start), format_func=words.__getitem__, key=f"{key}.overlap",
            persist_state="session",
        )  # fmt: skip
    with st.expander("Name, priority, limits", icon=":material/settings:"):
        left, right = st.columns(2)
        fields["job_name"] = left.text_input(
            "Job name", old.job_name if old else "", key=f"{key}.job", placeholder="that of the trigger", persist_state="session"
        )
        fields["priority"] = right.selectbox(
            "Priority", range(10), old.priority if old else 5, format_func=wording.priority, key=f"{key}.priority", persist_state="session"
        )
        fields["timeout_s"] = left.number_input(
            "Time limit [s]", 1.0, None, old.timeout_s if old else None, key=f"{key}.timeout", placeholder="none", persist_state="session"
        )
        fields["max_attempts"] = right.number_input(
            "Attempts", 1, None, old.max_attempts if old else None, key=f"{key}.attempts", placeholder="PORTAL_MAX_ATTEMPTS", persist_state="session"
        )
        fields["then"] = st.text_area(
            "Follow-up jobs, as JSON", json.dumps(others, indent=1) if others else "", key=f"{key}.then", height=90,
            placeholder='[{"engine": "audit_export", "when": "succeeded"}]', persist_state="session",
        )  # fmt: skip
    fields["notify"] = list(map(str, notify_option.show(wishes, key)))
    return fields


def _save(
    old: Trigger | None, draft: Draft, fields: dict[str, Any], on: dict[str, Any], spec: EngineSpec, given: dict[str, Any], quoted: dict[str, Any]
) -> None:
    with st.container(horizontal=True):
        saved = st.button("Save" if old else "Create trigger", type="primary", icon=":material/check:", key=f"{draft.id}.save", width="stretch")
        if st.button("Give up", type="tertiary", key=f"{draft.id}.drop"):
            forget()
            state.go("triggers", **({"name": old.name} if old else {}))
    if not saved:
        return
    with boxes.told():
        _refuse_gaps(fields, on, spec, {**given, **quoted})
        then = [*_followups(fields.pop("then")), *wish.entries(fields.pop("notify"))]
        order = {**(json.loads(old.to_json()) if old else {}), **fields, "on": on, "then": then}
        order["params"] = {**forms.parameters(spec.fields, {**_hidden(old, spec, given, quoted), **given}), **quoted}
        order["params"] |= {name: given[name] for name in telling.USUAL.get((fields["kind"], spec.name), ()) if given.get(name)}
        made = trigger_actions.save(order, new=old is None)
        forget()
        state.go("triggers", name=made.name)


def _refuse_gaps(fields: Mapping[str, Any], on: Mapping[str, Any], spec: EngineSpec, given: Mapping[str, Any]) -> None:
    """Raise BadParameters that names everything that is needed and empty, as the form calls it."""
    kind = str(fields["kind"])
    missing = [] if fields["name"] else ["Name"]
    missing += [item.title for item in telling.spec(kind).fields if item.required and on.get(item.name) in (None, "")]
    own = (item for item in spec.fields if item.required and item.name not in telling.GIVEN.get(kind, ()))
    missing += [item.title for item in own if given.get(item.name) in (None, "", [])]
    if missing:
        raise BadParameters(f"Not filled in: {', '.join(missing)}.", hint="What has a * is needed.")


def _hidden(old: Trigger | None, spec: EngineSpec, given: Mapping[str, Any], quoted: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters that the trigger has and this form shows nowhere."""
    if old is None or old.engine != spec.name:
        return {}
    return {name: value for name, value in old.params.items() if name not in given and name not in quoted and not events.is_quote(value)}


def _followups(text: str) -> list[Any]:
    hint = 'Write [{"engine": "audit_export"}].'
    try:
        found = json.loads(text or "[]")
    except ValueError as error:
        raise BadParameters(f"The follow-up jobs are not JSON: {error}.", hint=hint) from None
    if not isinstance(found, list):
        raise BadParameters("The follow-up jobs are no list.", hint=hint)
    return found
