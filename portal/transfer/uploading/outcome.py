"""What a job of uploads ends with: what its result holds, and the failures that it ends with although some of its files arrived."""

from __future__ import annotations

import logging
from typing import Any

from portal.errors import NothingMatched, TransferFailed, visible
from portal.ledger.balance import OUTPUTS_SHOWN, Books
from portal.planning.planner import Planned
from portal.stores.url import StoreURL
from portal.transfer.uploading.after import Followed

_STAY = "They stay where they are. Another attempt, or a retry, does what is left."


def facts(
    planned: Planned, books: Books | None = None, followed: Followed | None = None, *, report: dict[str, Any] | None = None,
    warnings: tuple[str, ...] = (),
) -> dict[str, Any]:  # fmt: skip
    """Return what a `portal.context.Result` is made of: counts, bytes, warnings and report."""
    counts = books.counts(planned.listed) if books else {"listed": planned.listed}
    counts = {name: count for name, count in counts.items() if not name.startswith("rows_")}
    told = (*warnings, *(books.notes if books else ()), *(_problems(followed) if followed else ()))
    done = _told(books, followed) if books and followed else {}
    return {
        "counts": {**counts, **(followed.counts() if followed else {})}, "bytes": books.bytes if books else 0, "warnings": told,
        "report": {"plan": planned.report(), **done, **(report or {})},
    }  # fmt: skip


def imagined(planned: Planned, target: StoreURL, log: logging.Logger) -> dict[str, Any]:
    """The same of a dry run whose bucket or container is not there; logs what would go where."""
    for line in planned.survey.sample:
        log.info("%s → %s (%s bytes)", visible(line["source"]), visible(line["target"]), f"{line['bytes']:,}")
    warning = f"{target.root} is not there yet: it would be created."
    return facts(planned, report={"dry_run": {"sample": planned.survey.sample}}, warnings=(warning,))


def ended(planned: Planned, books: Books, followed: Followed, target: StoreURL) -> dict[str, Any]:
    """The same of a job that went to its end, and outcome and outputs."""
    outputs = ({"url": str(target), "objects": books.moved, "bytes": books.bytes}, *(books.outputs if len(books.outputs) <= OUTPUTS_SHOWN else ()))
    partial = books.outcomes["failed"] or followed.owed or followed.left
    return {**facts(planned, books, followed), "outputs": outputs, "outcome": "partial" if partial else "succeeded"}


def _told(books: Books, followed: Followed) -> dict[str, Any]:
    return {
        "proof": dict(books.proofs), "causes": dict(books.causes), "failures": books.failures, "excluded": dict(books.excluded),
        "bytes_through": books.bytes_through, "resumed_bytes": books.resumed_bytes, "left": _problems(followed),
    }  # fmt: skip


def _problems(followed: Followed) -> list[str]:
    if not followed.left:
        return followed.problems
    left = f"{followed.left:,} files were not uploaded and stay in the folder of this job, where nobody comes for them"
    return [f"{left}. The first: {followed.first_left}.", *followed.problems]


def failure(planned: Planned, books: Books, followed: Followed, *, retryable: bool) -> TransferFailed | None:
    """Return what a job fails with that went to its end, None for nothing. `retryable`: something failed for a reason that may pass."""
    failed = books.outcomes["failed"]
    if followed.owed and followed.retryable:
        told = f"{followed.owed:,} files are at the target, and what follows could not be done. {followed.problems[0]}"
        return _failure(told, _STAY, retryable=True)
    if not failed:
        return None
    first = books.failures[0]
    why = f"{first['key']}: {first['reason']}"
    if not (books.moved or books.outcomes["skipped"]):
        hint = "" if "what to do:" in first["reason"] else "See the ledger."
        return _failure(f"None of {failed:,} files arrived. {why}", hint, retryable=retryable)
    if retryable:  # nobody else would come back for them: they lie in a folder of this job's own
        return _failure(f"{failed:,} of {planned.listed:,} files did not arrive, some for a reason that may pass. {why}", _STAY, retryable=True)
    return None


def _failure(message: str, hint: str, *, retryable: bool) -> TransferFailed:
    error = TransferFailed(message, hint=hint)
    error.retryable = retryable
    return error


def refuse_nothing(planned: Planned, source: StoreURL) -> None:
    """Raises NothingMatched when there is nothing to upload."""
    survey = planned.survey
    if survey.moving or survey.failing:
        return
    left_out = f" {survey.excluded:,} files found, and all left out." if survey.excluded else ""
    hint = "Check the path and the filters, or allow it: allow_empty."
    raise NothingMatched(f"There is nothing to upload at {source}.{left_out}", hint=hint)
