"""Converting on an executor: the same Converter as on one machine, with stores of its own. What it tells of each file is brought to the job's
folder."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from pydantic import SecretStr

from portal.durable import write_durably
from portal.lake.spark.calls import Calls
from portal.lake.spark.distributing import Bring
from portal.lake.spark.share_task import Opened, scratch
from portal.stores.base import ObjectInfo
from portal.stores.opening import open_store
from portal.stores.url import StoreURL
from portal.tabular.options import ConvertOptions
from portal.tabular.outcome import Converted
from portal.transfer.columns_file import COLUMNS_FILE
from portal.transfer.converter import Converter
from portal.transfer.side import Side
from portal.wire.ends import Access

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_WAIT_S = 0.2

log = logging.getLogger("portal.transfer")


class Place(NamedTuple):
    """One side, as an executor reaches it."""

    url: StoreURL
    connection: Any


def place(side: Side) -> Place:
    """Return a side with what an executor needs to open its store, and no more: of an account key a signature for the one container, of a profile,
    a role or the machine's own identity the keys that it gives now. Only of Entra ID the executors sign in themselves."""
    access: Access = side.access()
    update: dict[str, Any] = {}
    if access.kind == "s3" and access.keys:
        key, secret, token = access.keys
        update = {"access_key_id": key, "secret_access_key": SecretStr(secret), "session_token": SecretStr(token), "region": access.region}
        update |= dict.fromkeys(("profile", "credentials_file", "role_arn", "external_id", "role_session_name", "expires_at"), "")
        update["endpoint_url"] = side.connection.endpoint_url or _endpoint(access)
    elif access.sas:
        update = {"sas_token": SecretStr(access.sas), "account_key": SecretStr("")}
    return Place(side.url.root, side.connection.model_copy(update=update))


def _endpoint(access: Access) -> str:
    """Return the service that a profile leads to, which is on this machine alone; '' for AWS."""
    if ".amazonaws." in access.host:
        return ""
    return f"{access.scheme}://{access.host.removeprefix(f'{access.container}.')}:{access.port}{access.base_path}"


@dataclass
class _Job:
    """What a converter needs of a job: here Spark ends the whole process of a task that is cancelled."""

    job_id: str
    folder: Path
    log: logging.Logger = log
    attempt: int = 1

    def artefact(self, name: str) -> Path:
        return self.folder / name

    def check_cancelled(self) -> None:
        """Nobody can ask it to end."""


@dataclass(frozen=True)
class Converting:
    """What converts on executors; see `portal.lake.spark.share_task.Conversion`. Its credentials are those of when it was made."""

    source: Place = field(repr=False)
    target: Place = field(repr=False)
    options: ConvertOptions
    as_one: bool = False
    """Everything becomes one data set."""

    @contextmanager
    def opened(self, folder: Path, job_id: str) -> Iterator[Opened]:
        source = open_store(*self.source)
        try:
            target = open_store(*self.target)
            try:
                yield Opened(source, target, Converter(_Job(job_id, folder), source, target, self.options, as_one=self.as_one))
            finally:
                target.close()
        finally:
            source.close()


def bring_to(folder: Path) -> Bring:
    """Return what puts the files of conversions into the job's folder: the lines of columns.ndjson behind those of others, rejected rows in the place
    of what an earlier attempt left."""

    def bring(name: str, data: bytes) -> None:
        if name == COLUMNS_FILE:
            with (folder / name).open("ab") as file:
                file.write(data)
        else:
            write_durably(folder / name, data)

    return bring


class _DataSet(NamedTuple):
    """What is asked of the one task that makes a data set."""

    infos: Sequence[ObjectInfo]
    key: str
    overwrite: bool
    before: Sequence[str]
    job_id: str


class _Made(NamedTuple):
    done: Converted
    files: list[tuple[str, bytes]]


def made(conversion: Converting, asked: _DataSet, tried: int) -> _Made:
    """Make a data set, on an executor. `tried`: what an executor that was lost left there has the job's mark on it."""
    with tempfile.TemporaryDirectory(prefix="data-set-", dir=scratch()) as name:
        with conversion.opened(Path(name), asked.job_id) as opened:
            converter: Any = opened.convert
            done = converter.dataset(asked.infos, asked.key, overwrite=asked.overwrite, before=asked.before, moved=lambda size: None)
        told = [path for path in sorted(Path(name).iterdir()) if path.is_file()]
        return _Made(done, [(path.name, path.read_bytes()) for path in told])


class DataSetOnSpark:
    """Makes one data set, as one task; see `portal.transfer.dataset.Together`."""

    def __init__(self, session: SparkSession, conversion: Callable[[], Converting], bring: Bring, job_id: str) -> None:
        self._session, self._conversion, self._bring, self._job_id = session, conversion, bring, job_id

    def dataset(
        self, infos: Sequence[ObjectInfo], key: str, *, overwrite: bool, before: Sequence[str], moved: Callable[[int], None]
    ) -> Converted:  # fmt: skip
        """See `portal.transfer.converter.Converter.dataset`."""
        calls: Calls[int, _Made] = Calls(self._session, made, self._conversion(), name=f"making the data set {key}")
        with calls:
            calls.put(0, _DataSet(infos, key, overwrite, before, self._job_id))
            while not (ended := calls.ended(_WAIT_S)):
                moved(0)
        [(_, brought)] = ended
        for name, data in brought.files:
            self._bring(name, data)
        moved(sum(info.size_bytes for info in infos))
        return brought.done
