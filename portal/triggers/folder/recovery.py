"""From a manifest to a job: what is done with a batch at first, and with every batch that a crash has left.

    manifest → files into the job's folder → the job in the queue → no manifest
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from portal.durable import publish, sync_folder
from portal.errors import BadJobFile
from portal.spool import Spool
from portal.triggers.folder.batch import Batch
from portal.triggers.folder.left import Left
from portal.triggers.folder.moving import give_all_back, move
from portal.triggers.folder.scan import Seen
from portal.triggers.places import TriggerFolder


def begin(home: TriggerFolder, batch: Batch) -> None:
    """Write a batch's manifest durably: from now on it is ended, whatever happens. Raises FileNotFoundError when the trigger is gone."""
    publish(home.make_batches() / f"{batch.job_id}.json", batch.to_json().encode(), home.layout.tmp)


def end(home: TriggerFolder, batch: Batch) -> None:
    """Forget a batch, durably."""
    (home.batches / f"{batch.job_id}.json").unlink(missing_ok=True)
    sync_folder(home.batches)


def finish(home: TriggerFolder, batch: Batch, submit: Callable[[Sequence[Seen]], None], why_not: Left) -> None:
    """Bring a batch whose job is not in the queue to its end. Without a file there is no job.

    Args:
        submit: puts the job of these files into the queue, under the batch's id.

    Raises:
        PortalError, OSError: it is not ended; call it again.
    """
    if files := move(batch, why_not):
        submit(files)
    end(home, batch)


def undo(home: TriggerFolder, spool: Spool, batch: Batch) -> None:
    """Give the files of a batch back, unless its job is in the queue already. Raises as `finish`."""
    if not is_submitted(spool, batch):
        give_all_back(batch, Left())
    end(home, batch)


def is_submitted(spool: Spool, batch: Batch) -> bool:
    """Tell whether a batch's job is anywhere: its files are the engine's from then on, and nobody else moves them."""
    try:
        return spool.find(batch.job_id) is not None or os.path.lexists(spool.layout.lock(batch.job_id))
    except BadJobFile:
        return True
