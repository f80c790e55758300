"""What a ledger says in short: the proofs, the way that the bytes took, and what failed by its root cause."""

from __future__ import annotations

import streamlit as st

from portal.jobs import Job
from portal.ledger import view as ledger_view
from portal.ledger.kinds import Chosen, Sums
from portal.ledger.remedies import is_trouble, remedy
from portal.ledger.view import Group, View
from portal.spool import Spool
from portal.ui import ledger_filters, proofs, wording
from portal.ui.wording import count_of, plain

_MOVED = Chosen(outcome=("copied", "converted", "equal"))


def opened(spool: Spool, job: Job) -> View | None:
    """Return the ledger of a job, None when it has none. Raises PortalError when it is damaged."""
    path = ledger_view.path_in(spool.folder(job.id))
    return ledger_view.view(path) if path else None


def show(view: View) -> None:
    """Show causes, proofs and ways."""
    _causes(view.groups(Chosen(outcome=tuple(filter(is_trouble, view.counts("outcome"))) or ("failed",))))
    _proofs(view)
    _ways(view)


def _causes(groups: list[Group]) -> None:
    if not groups:
        return
    st.subheader("What failed, by root cause" if groups[0].outcome == "failed" else "What is not the same")
    for group in groups:
        _cause(group)


def _cause(group: Group) -> None:
    meaning, what_to_do = remedy(group.cause, group.outcome)
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.badge(count_of(group.sums.objects, "object"), icon=":material/close:", color="red")
            size = f" · {wording.size(group.sums.source_size)}" if group.sums.source_size else ""
            st.markdown(f"**{plain(meaning)}**{size}", width="content")
            st.space("stretch")
            st.button(
                "Show these", key=f"cause-{group.outcome}-{group.cause}", type="tertiary", icon=":material/filter_alt:",
                on_click=ledger_filters.only, kwargs={"outcome": group.outcome, "cause": group.cause},
            )  # fmt: skip
        st.caption(plain(f"For example {group.name}: {_first_line(group)}"))
        st.markdown(f":material/build: {plain(what_to_do)}")


def _first_line(group: Group) -> str:
    return str(group.example.get("reason") or "no reason is told").partition("\n")[0]


def _proofs(view: View) -> None:
    counts = view.counts("proof", _MOVED)
    if not counts:
        return
    st.subheader("Proof")
    known = dict.fromkeys(name for name in (*proofs.LEVELS, *counts) if name in counts)
    proofs.cards([(proofs.level(name), counts[name].objects, counts[name].source_size) for name in known])


def _ways(view: View) -> None:
    counts = view.counts("mode", _MOVED)
    if not any(counts):
        return
    st.subheader("How the bytes went")
    proofs.cards([(proofs.mode(name), sums.objects, sums.source_size) for name, sums in counts.items()])
    moved, total = _total(counts), _total(view.counts("outcome"))
    arrived = "of sources that were converted" if "convert" in counts else "that arrived"
    told = [f"{wording.size(total.bytes_through)} passed this machine, for {wording.size(moved.source_size)} {arrived}"]
    if total.resumed_bytes:
        told.append(f"{wording.size(total.resumed_bytes)} had arrived in an earlier attempt and were not moved again")
    st.caption(plain("; ".join(told) + "."))
    for group in view.groups(Chosen(outcome=("copied",), mode=("stream",))):
        if why := _first_line(group).partition("streamed: ")[2]:
            st.caption(plain(f"Not server-side, for example {group.name}: {why}. The reason stands with each object."))


def _total(counts: dict[str, Sums]) -> Sums:
    total = Sums()
    for sums in counts.values():
        total = total.plus(sums)
    return total
