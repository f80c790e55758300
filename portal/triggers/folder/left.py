"""What is not taken out of a watched folder, and why: told in the trigger's state, on its page and by `portal triggers show`. No I/O."""

from __future__ import annotations

from typing import Any

from portal.errors import visible

FIRST = 20
"""So many names are told for each reason, and a number for the rest."""

OPEN = "somebody has it open for writing"
CHANGED = "it changed while it was taken"
GONE = "it vanished"
UNREADABLE = "this user may not read it"
LINK = "it is a symbolic link, and links are not followed"
SPECIAL = "it is no file: a pipe, a socket or a device"
FOREIGN = "it lies on another file system, and nothing is copied on the way to its job"
NOT_UTF8 = "its name is not UTF-8, and an object's key must be"
READ_ONLY = "its folder may not be changed by this user, so it cannot be moved out"
TOO_LONG = "its path would be longer than the system allows"
NO_FILE = "it is a marker without its file"
MARKER_STAYS = "this user may not remove it, and the next file of that name would count as complete at once"
BEHIND = "the job ended without them: retry it, or move them back into the watched folder"
LEFT_OUT = "the job left them out, as its parameters say: move them away, or change the trigger and move them back into the watched folder"
NO_JOB = "the job is nowhere: move them back into the watched folder if they are still to be uploaded"
TOO_MANY = "there are more files than are looked at in one go; it comes later"
UNSURE = "whether somebody writes into it cannot be asked here: it was taken when it was still"
APART = "it was given back, and has this name because its own was another file's by then"

PASSING = frozenset({OPEN, CHANGED, GONE, TOO_MANY, NO_FILE, UNSURE, APART})
"""What needs nobody to do anything."""


class Left:
    """Files and folders by the reason why they stay where they are; those of jobs that are over, too."""

    def __init__(self) -> None:
        self._names: dict[str, list[str]] = {}
        self._counts: dict[str, int] = {}
        self._jobs: dict[str, list[str]] = {}

    def add(self, why: str, name: str, job: str = "") -> None:
        """Add a file or folder; with `job`, the files that this job has taken out of the folder and left behind."""
        self._counts[why] = self._counts.get(why, 0) + 1
        names = self._names.setdefault(why, [])
        if len(names) < FIRST:
            names.append(shown(name))
            self._jobs.setdefault(why, []).extend([job] if job else [])

    def take_in(self, other: Left) -> None:
        """Add what another one has."""
        for why, names in other._names.items():
            kept = self._names.setdefault(why, [])
            room = FIRST - len(kept)
            kept += names[:room]
            self._jobs.setdefault(why, []).extend(other._jobs[why][:room])
            self._counts[why] = self._counts.get(why, 0) + other._counts[why]

    def __bool__(self) -> bool:
        return bool(self._counts)

    def count(self, why: str) -> int:
        return self._counts.get(why, 0)

    def facts(self) -> list[dict[str, Any]]:
        """Return `{why, count, first, jobs, passing}` of each reason, those that somebody has to do something about first."""
        order = sorted(self._counts, key=lambda why: (why in PASSING, why))
        return [
            {"why": why, "count": self._counts[why], "first": self._names[why], "jobs": self._jobs[why], "passing": why in PASSING} for why in order
        ]

    def problem(self) -> str:
        """Return a sentence for what stays in the folder until somebody does something, and one for what jobs left; '' when there is neither."""
        lasting = [item for item in self.facts() if not item["passing"]]
        here, behind = ([_told(item) for item in lasting if bool(item["jobs"]) is of_jobs] for of_jobs in (False, True))
        said = [("Left in the folder", here), ("Taken and left behind", behind)]
        return " ".join(f"{where}: {'; '.join(items)}." for where, items in said if items)


class Stayed(Left):
    """The files of one batch that stayed where they were, each with its reason in `why`."""

    def __init__(self) -> None:
        super().__init__()
        self.why: dict[str, str] = {}

    def add(self, why: str, name: str, job: str = "") -> None:
        super().add(why, name, job)
        self.why[name] = why


def _told(item: dict[str, Any]) -> str:
    more = f" and {item['count'] - 1} more" if item["count"] > 1 else ""
    return f"{item['first'][0]}{more}, because {item['why']}"


def shown(name: str) -> str:
    """Return a name for people: what is not UTF-8, and what nobody can see, as escapes."""
    return visible(name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace"))
