"""What each cause of a failure means, and what a person can do about it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Remedy(NamedTuple):
    """A cause in words, and the next step."""

    title: str
    what_to_do: str


_RETRY = "Then retry the job: only what failed is done again."

REMEDIES: Mapping[str, Remedy] = {
    "access-denied": Remedy(
        "Access was refused",
        f"Let the credentials read the source (s3:GetObject, s3:GetObjectVersion) and write the target (Storage Blob Data Contributor). {_RETRY}",
    ),
    "not-found": Remedy(
        "It was not there", "It was deleted after it was listed, or a chosen key is misspelt. Put it back and retry, or leave it out."
    ),
    "source-changed": Remedy(
        "It was replaced while the job ran", "Retry the job: it takes the object as it is then. Write to the source at other times."
    ),
    "exists": Remedy(
        "Something is at the target already", "Choose who wins with overwrite (skip, newer, different, checksum, replace), or another target."
    ),
    "throttled": Remedy("A store asked to slow down", "Retry later, or with less at a time: concurrency, max_requests_s, max_bandwidth."),
    "unreachable": Remedy(
        "A store did not answer", "Try `python -m portal connections test`, look at network, proxy and name resolution, then retry the job."
    ),
    "proof-failed": Remedy(
        "What arrived was not what is stored at the source",
        "Nothing wrong was left at the target. Retry; if the same object fails again, it is damaged at the source or changed on the way.",
    ),
    "name": Remedy("The target cannot hold the name", "Let it be renamed, reversibly (bad_names=rename), skip it (bad_names=skip), or exclude it."),
    "leased": Remedy("Somebody holds a lease on the target", f"Let its holder finish, or break the lease. {_RETRY}"),
    "full": Remedy("There is no room left", f"Make room, or raise the limit, where the reason says: at the target, or for temporary files. {_RETRY}"),
    "archived": Remedy("It is archived and cannot be read", f"Restore it at the source first. {_RETRY} Or leave such objects out: archived=skip."),
    "too-large": Remedy("It is larger than the target can hold", "Leave such objects out (too_large=skip, or max_bytes), or choose another target."),
    "rows": Remedy(
        "Rows do not fit", "Correct the file; or keep such rows apart (on_reject=keep), or let types be wider (on_reject=widen). Then retry the job."
    ),
    "cancelled": Remedy("The job was cancelled first", "Retry the job: what was done stays; what was under way is done again."),
    "other": Remedy("Another reason", "Read the reason of each."),
}


OF_COMPARISONS: Mapping[str, Remedy] = {
    "different": Remedy("It is not the same at the target", "Copy it again: migrate with overwrite=different, or replace."),
    "only-source": Remedy("It is only at the source", "Copy it: migrate with overwrite=skip takes what is missing."),
    "only-target": Remedy("It is only at the target", "Leave it; or migrate with mirror, which lists such objects and deletes them when told to."),
    "error": Remedy("It could not be compared", "Read the reason of each, then compare again."),
}
"""What a comparison found."""


def remedy(cause: str, outcome: str = "failed") -> Remedy:
    """Return what a cause (or, of a comparison, an outcome) means; '' is what ledgers of earlier versions say of causes."""
    found = OF_COMPARISONS.get(outcome) or REMEDIES.get(cause)
    return found or Remedy(cause.replace("-", " ").capitalize() or "No cause is told", "Read the reason of each.")


def is_trouble(outcome: str) -> bool:
    """Whether an outcome is one that somebody should look into."""
    return outcome == "failed" or outcome in OF_COMPARISONS
