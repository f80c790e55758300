"""What a copy ends with: what its result holds, and the failures that it ends with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from portal.errors import NothingMatched, TransferFailed
from portal.ledger.balance import OUTPUTS_SHOWN, Books
from portal.planning.planner import Planned
from portal.planning.selection import SourceParams
from portal.stores.url import StoreURL
from portal.transfer.columns_file import files_told
from portal.transfer.copying.params import CopyParams
from portal.transfer.migration import Outcome


def facts(planned: Planned, books: Books | None = None, *, report: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return what a `portal.context.Result` is made of: counts, bytes, warnings and report."""
    counts = books.counts(planned.listed) if books else {"listed": planned.listed}
    return {
        "counts": counts, "bytes": books.bytes if books else 0, "warnings": tuple(books.notes) if books else (),
        "report": {"plan": planned.report(), **(report or {})},
    }  # fmt: skip


def told(books: Books, folder: Path, before: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the report says of what was done. `before` is the report of what was found: its conflicts and extras stay."""
    return {
        "proof": dict(books.proofs), "modes": dict(books.modes), "causes": dict(books.causes), "failures": books.failures,
        "excluded": dict(books.excluded), "bytes_through": books.bytes_through, "resumed_bytes": books.resumed_bytes,
        **{name: value for name, value in before.items() if name in ("conflicts_by_class", "extras")},
        **({"files": files} if (files := files_told(folder)) else {}),
    }  # fmt: skip


def ended(planned: Planned, outcome: Outcome, target: StoreURL, report: Mapping[str, Any]) -> dict[str, Any]:
    """The same as `facts` of a job that went to its end, and outcome and outputs."""
    books = outcome.books
    outputs = ({"url": str(target), "objects": books.moved, "bytes": books.bytes}, *(books.outputs if len(books.outputs) <= OUTPUTS_SHOWN else ()))
    partial = outcome.undeleted or (books.outcomes["failed"] and _arrived(books))
    return {**facts(planned, books, report=report), "outputs": outputs, "outcome": "partial" if partial else "succeeded"}


def _arrived(books: Books) -> bool:
    return bool(books.moved or books.outcomes["skipped"])


def failure(outcome: Outcome, params: CopyParams) -> TransferFailed | None:
    """Return what a job fails with of which nothing arrived, None otherwise."""
    books, failed = outcome.books, outcome.books.outcomes["failed"]
    if not failed or _arrived(books):
        return None
    first = books.failures[0]
    hint = "" if "what to do:" in first["reason"] else "See the ledger for each, and list the source again."
    why = f"None of {failed:,} objects arrived. {first['key']}: {first['reason']}"
    if set(books.causes) == {"not-found"} and (params.keys or params.keys_file):
        why = f"None of the chosen keys was found at {params.source} ({failed:,}; the first: {first['key']!r})."
        hint = "Keys are whole, as a listing shows them. Check their spelling."
    error = TransferFailed(why, hint=hint)
    error.retryable = outcome.retryable
    return error


def refuse_nothing(planned: Planned, params: CopyParams) -> None:
    """Raises NothingMatched when there is nothing to copy, unless that is allowed."""
    survey = planned.survey
    if survey.moving or survey.failing or params.allow_empty or planned.redone:
        return
    left_out = f" {survey.excluded:,} found, and all left out; filters that were set: {_filters(params)}." if survey.excluded else ""
    hint = "Check the source's prefix and filters (formats=any takes every file), or allow it with allow_empty."
    raise NothingMatched(f"Nothing matched at {params.source}.{left_out}", hint=hint)


def _filters(params: CopyParams) -> str:
    names = (name for name in SourceParams.model_fields if name not in ("source", "source_connection"))
    return ", ".join(name for name in names if getattr(params, name) not in (None, (), ("any",))) or "none"


def planned_text(planned: Planned) -> str:
    """Return what was planned in a line for the log."""
    found = planned.report()
    return (
        f"plan: {found['listed']:,} objects listed; {found['to_copy']:,} to copy, {found['to_convert']:,} to convert ({found['bytes']:,} bytes), "
        f"{found['excluded']:,} excluded, {found['cannot_be_copied']:,} that cannot be copied"
    )
