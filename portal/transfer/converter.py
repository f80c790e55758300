"""What converts objects for an engine: one call an object, what was decided on each kept in the job's files, and previews of the first ones."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Protocol

from portal.errors import Cancelled, ConversionFailed, PortalError, visible
from portal.planning.plan import Entry
from portal.stores.base import ObjectInfo, Store
from portal.stores.url import StoreURL
from portal.tabular import given_schema
from portal.tabular.conversion import converting
from portal.tabular.conversion.preview import Preview, preview_dataset, preview_object
from portal.tabular.options import DATA_SET_MARK, ConvertOptions
from portal.tabular.outcome import Converted, describe
from portal.tabular.output.opening import makes_one_file
from portal.tabular.params import ConversionParams
from portal.tabular.rows import Misfit
from portal.transfer.carry import mark_of
from portal.transfer.columns_file import ColumnsFile

_PREVIEWS = 3
_REJECTS = "rejects.ndjson"
"""Of a data set; single files have one each."""


def settled(params: ConversionParams, opened: Callable[[StoreURL], Store], known: Sequence[Store]) -> ConvertOptions:
    """Return what a conversion takes, the schema read that `schema_from` names, through one of the known stores when it is in there.

    Raises BadParameters, NotFound, and what stores raise."""
    options, url = params.options, params.schema_from
    if url is None:
        return given_schema.checked(options)
    found = next((store for store in known if store.url == url.root), None)
    store = found or opened(url)
    try:
        return given_schema.checked(options.model_copy(update={"schema_document": given_schema.document(store, url.key)}))
    finally:
        if found is None:
            store.close()


class Job(Protocol):
    """What is needed of the job that converts; see `portal.context.JobContext`."""

    job_id: str
    attempt: int
    folder: Path
    log: logging.Logger

    def artefact(self, name: str) -> Path: ...

    def check_cancelled(self) -> None: ...


class Converter:
    """Converts one object a call, from many threads at once; see `portal.transfer.conversions.Convert`."""

    def __init__(self, job: Job, source: Store, target: Store, options: ConvertOptions, *, as_one: bool = False) -> None:
        """`as_one`: everything becomes one data set."""
        self._job, self._source, self._target, self._options, self._as_one = job, source, target, options, as_one
        self._columns = ColumnsFile(job.folder, fresh=job.attempt == 1)
        converting.clear_scratch(job.folder)

    def __call__(self, entry: Entry, info: ObjectInfo, *, overwrite: bool, moved: Callable[[int], None]) -> Converted:
        """Raises ConversionFailed when the target is the source itself, and what `convert_object` raises."""
        names = {"source": str(self._source.url.at(entry.key)), "target": str(self._target.url.at(entry.target_key))}
        refuse_itself(names["source"], names["target"])
        rejects = f"rejects-{entry.n}.ndjson"
        done = converting.convert_object(
            self._source, info, self._target, self._key_of(entry), self._options, overwrite=overwrite, rejects=self._job.artefact(rejects),
            check=self._job.check_cancelled, progress=moved, scratch=self._job.folder, mark=mark_of(self._job.job_id, entry.n),
            before=entry.ours.split(),
        )  # fmt: skip
        return self._told(names, done, rejects)

    def _key_of(self, entry: Entry) -> str:
        """Where the target is a folder of files, that folder: planned is what is written into it last."""
        return entry.target_key if makes_one_file(self._options) else entry.target_key.removesuffix(DATA_SET_MARK)

    def dataset(self, infos: Sequence[ObjectInfo], key: str, *, overwrite: bool, before: Sequence[str], moved: Callable[[int], None]) -> Converted:
        """Make one data set of many objects in a folder; raises what `convert_dataset` raises. `before`: ids of jobs that this does again."""
        done = converting.convert_dataset(
            self._source, infos, self._target, key, self._options, overwrite=overwrite, rejects=self._job.artefact(_REJECTS),
            check=self._job.check_cancelled, progress=moved, scratch=self._job.folder, mark=mark_of(self._job.job_id, 0),
            before=[mark_of(job_id, 0) for job_id in before],
        )  # fmt: skip
        more = f" and {len(infos) - 1:,} more" if len(infos) > 1 else ""
        names = {"source": f"{self._source.url.at(infos[0].key)}{more}", "target": f"{self._target.url.at(key)}/"}
        return self._told(names, done, _REJECTS)

    def _told(self, names: Mapping[str, str], done: Converted, rejects: str) -> Converted:
        """Return what was done with a warning of rows that are not in it."""
        if done.rows_rejected:
            kept = f"{done.rows_rejected:,} of {done.rows_in:,} rows do not fit and are not in the result: see {rejects}."
            self._job.log.warning("%s: %s", visible(names["source"]), kept)
            done = replace(done, warnings=(kept, *done.warnings))
        told = {**names, **done.report(), **({"rejects": rejects} if done.rows_rejected else {})}
        self._columns.add({**told, **({"schema": json.loads(done.schema)} if done.schema else {})})
        return done

    def previews(self, sample: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Look at the first objects of a plan's sample (`source` and `target` keys, `bytes`, `action`) as their conversion would, and tell it in
        the log; of one that would fail, why. Writes nothing. A data set has one preview, of all the objects in the sample."""
        lines = [line for line in sample if line["action"] == "convert"]
        found = []
        for group in [lines] if self._as_one and lines else [[line] for line in lines[:_PREVIEWS]]:
            told = {"source": group[0]["source"], "target": group[0]["target"], "bytes": sum(line["bytes"] for line in group)}
            told |= self._preview(group)
            _log(self._job, told)
            found.append(told)
        return found

    def _preview(self, lines: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        def look() -> Preview:
            for line in lines:
                refuse_itself(str(self._source.url.at(line["source"])), str(self._target.url.at(line["target"])))
            infos = [self._source.stat(line["source"]) for line in lines]
            return preview_dataset(self._source, infos, self._options, check=self._job.check_cancelled)

        return _previewed(look)


def refuse_itself(source: str, target: str) -> None:
    """Raises ConversionFailed when an object would be replaced by what is made of it."""
    if source == target:
        raise ConversionFailed(f"{source} would be replaced by what is made of it.", hint="Choose another target folder.")


def preview(
    source: Store, key: str, options: ConvertOptions, *, check: Callable[[], None] = lambda: None, scratch: Path | None = None
) -> dict[str, Any]:
    """Return what a conversion of one object would decide, as JSON values: columns, first rows, warnings, how it is read, what would not fit;
    `error` and `hint` instead when it could not be converted at all. Raises Cancelled."""
    return _previewed(lambda: preview_object(source, source.stat(key), options, check=check, scratch=scratch))


def _previewed(look: Callable[[], Preview]) -> dict[str, Any]:
    try:
        found = look()
    except Cancelled:
        raise
    except PortalError as error:
        return {"error": error.message, "hint": error.hint}
    return {**asdict(found), "schema": json.loads(found.schema)}


def _log(job: Job, told: Mapping[str, Any]) -> None:
    if "error" in told:
        job.log.warning("%s: %s %s", visible(told["source"]), told["error"], told["hint"])
        return
    job.log.info("%s → %s", visible(told["source"]), visible(told["target"]))
    facts = {name: value for name, value in told["reading"].items() if name != "names" and value not in ("", 0, None)}
    job.log.info("  read as %s", ", ".join(f"{name} {value!r}" for name, value in facts.items()))
    for column in told["columns"]:
        job.log.info("  %s: %s%s", visible(column["name"]), column["type"], f" ({column['note']})" if column["note"] else "")
    for row in told["rows"]:
        job.log.info("  %s", row)
    for misfit in told["misfits"]:
        found = Misfit(**{**misfit, "line": misfit["line"] or 0, "offset": -1 if misfit["offset"] is None else misfit["offset"]})
        job.log.warning("  would not fit: %s %s", describe(found), misfit["raw"])
    for warning in told["warnings"]:
        job.log.warning("  %s", warning)
