"""Jobs that wait: their names, what the files hold, copies beside other records, credentials that nobody can open."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from portal import keypair, vault
from portal.check.finding import Finding
from portal.check.look import Look
from portal.errors import BadJobFile, SettingError, explain
from portal.jobs import Job
from portal.spool import keys, records
from portal.spool.layout import Waiting

UNREADABLE = "Somebody changed it, or a copy was cut off: the portal itself writes whole files only."
COPY = "A copy was put back, or a backup is older than the rest: the portal moves a job file and never leaves two."
MOVED = "Somebody moved or renamed it: the portal never puts such a file there."
_KNOWN = {".gitignore", ".gitkeep"}


def inspect(look: Look) -> Iterator[Finding]:
    """Look at the jobs in queue/ and delayed/, and at what else lies there."""
    layout = look.layout
    folders = {path.name for path in layout.queue.iterdir() if path.is_dir()}
    known = {
        "delayed", "running", "locks", "corrupt", "tmp", "cancel", "keys", "limits", "triggers", "workers", "paused", "reserve",
    }  # fmt: skip
    for name in records.names(layout.queue):
        if Waiting.ready(name) is None and name not in known:
            yield stray(look, layout.queue / name, "the name of a job that waits", folder=name in folders)
    for name in records.names(layout.delayed):
        if Waiting.delayed(name) is None:
            yield stray(look, layout.delayed / name, "the name of a delayed job")
    copies = Counter(item.job_id for item in (*look.ready, *look.delayed))
    for path, item in look.waiting():
        if look.depth:
            yield from _job(look, path, item)
        yield from _copy(look, path, item, copies)


def stray(look: Look, path: Path, wanted: str, *, folder: bool = False) -> Finding:
    """What lies where only job files belong and is not named like one."""
    if path.name in _KNOWN or folder or not path.name.endswith(".json") or path.name.startswith("."):
        held = None if folder else look.job(path)
        inside = f" It holds the job {held.id}." if isinstance(held, Job) else ""
        return Finding("stray", path, f"This is not {wanted}.{inside}", "Somebody put it there, or renamed it; the portal leaves it alone.",
                       "Remove it; or, to have its job run, give it a name that ends in .json.", note=True)  # fmt: skip
    return Finding("stray", path, f"This is not {wanted}.", f"{MOVED} Its job would not run.", repairable=True)


def _job(look: Look, path: Path, item: Waiting) -> Iterator[Finding]:
    job = look.job(path)
    if isinstance(job, BadJobFile):
        if "has schema" in job.message:
            why = "It was written by a newer version of the portal; a worker of this one sets it aside."
            yield Finding("schema", path, explain(job), why, "Upgrade the portal, and move the file back into queue/.", job_id=item.job_id)
            return
        yield Finding("unreadable", path, explain(job), UNREADABLE, repairable=True, job_id=item.job_id)
    elif job is not None:
        yield from _content(look, path, item, job)


def _content(look: Look, path: Path, item: Waiting, job: Job) -> Iterator[Finding]:
    if job.id != item.job_id:
        yield Finding("misnamed", path, f"The file is named for {item.job_id} and holds {job.id}.", MOVED, repairable=True, job_id=job.id)
    elif job.finished_at is not None and not look.archived(job.id):
        text = f"This job has finished ({job.status}); its record belongs into the archive."
        yield Finding("misplaced", path, text, f"{MOVED} It would run again.", repairable=True, job_id=job.id)
    elif job.open_attempt is not None and not look.layout.record(job.id).exists() and not look.archived(job.id):
        why = f"{MOVED} It would run again beside, or after, an attempt that nobody has accounted for."
        yield Finding("misplaced", path, "This job was running: its last attempt has not been closed.", why, repairable=True, job_id=job.id)
    if path.is_symlink():
        why = "The portal moves the link, and what it leads to may go."
        yield Finding("symlink", path, "This job file is a link.", why, repairable=True, job_id=job.id)
    if job.sealed and (problem := unopenable(look, job.sealed)):
        yield Finding("key-pair", path, problem, "The folder of the keys was not restored with the queue. The job will fail.",
                      "Restore that folder from a backup, or cancel the job and submit it again with its credentials.", job_id=job.id)  # fmt: skip
    if job.key and job.id == item.job_id and not keys.path_of(look.layout, job.key).exists() and path.exists():
        why = "A copy left queue/keys/ out. A second submit with this key would be a second job."
        yield Finding("key-missing", path, f"The file of this job's key {job.key!r} is missing.", why, repairable=True, job_id=job.id)


def unopenable(look: Look, sealed: str) -> str | None:
    """Return why the credentials of a job cannot be opened here, told from their key alone."""
    wanted = sealed.split(".")[1] if sealed.count(".") == 2 else ""
    try:
        found = keypair.private(look.settings.key_pair_dir, vault.QUEUE, wanted)
    except SettingError as error:
        return explain(error)
    return None if found else f"The credentials of this job are sealed to the key {wanted}, which is not in {look.settings.key_pair_dir}."


def _copy(look: Look, path: Path, item: Waiting, copies: Counter[str]) -> Iterator[Finding]:
    job_id = item.job_id
    if look.archived(job_id):
        text = "The job has finished already; its archive record counts."
    elif look.layout.record(job_id).exists():
        text = "The job is running; its running record counts."
    elif copies[job_id] > 1 and (better := counting(look, job_id)) != path:
        text = f"The job waits under another name too; {better.parent.name}/{better.name} counts."
    else:
        return
    if path.exists():
        yield Finding("duplicate", path, text, COPY, repairable=True, job_id=job_id)


def counting(look: Look, job_id: str) -> Path:
    """Of several files of a job that waits, return the one that counts: a delayed one, of these the furthest; else the most urgent one."""
    delayed = records.delayed_paths(look.layout, job_id)
    if delayed:
        return max(delayed, key=lambda path: (_attempts(look, path), path.name))
    return min(records.ready_paths(look.layout, job_id), default=look.layout.queue)


def _attempts(look: Look, path: Path) -> int:
    job = look.job(path)
    return len(job.attempts) if isinstance(job, Job) else -1
