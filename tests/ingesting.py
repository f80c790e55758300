"""What the tests of ingest_hive share: a database of Hive, its tables, and the engine run in this process on the tests' own Spark."""

from __future__ import annotations

import importlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from portal import settings
from portal.context import JobContext
from portal.engine import execute
from portal.redact import Redactor
from tests.lake import Metastore, lake_variables
from tests.transferring import Ran


@dataclass
class Hive:
    """A database and a portal home that leads to its metastore."""

    spark: Any
    metastore: Metastore
    db: str
    home: Path
    runs: list[Ran] = field(default_factory=list)

    def sql(self, text: str) -> list[tuple[Any, ...]]:
        return [tuple(row) for row in self.spark.sql(text.replace("{db}", self.db)).collect()]

    def context(self, **options: Any) -> JobContext:
        name = options.pop("job_id", f"run{len(self.runs)}")
        folder = self.home / "logs" / name
        folder.mkdir(exist_ok=True)
        return JobContext(name, folder, settings.load(self.home), **options)

    def ingest(self, *tables: str, job: JobContext | None = None, **params: Any) -> Ran:
        """Run the engine for tables of the database."""
        module = importlib.import_module("engines.ingest_hive")
        job = job or self.context()
        given = {"tables": [f"{self.db}.{table}" for table in tables], **params}
        code = execute(module.Params, module.run, given, job, Redactor())
        self.runs.append(Ran(code, json.loads((job.folder / f"result-{job.attempt}.json").read_text()), job))
        return self.runs[-1]


@pytest.fixture
def hive(spark: Any, metastore: Metastore, database: str, home: Path) -> Hive:
    with (home / ".env").open("a") as env:
        env.writelines(f"{name}={value}\n" for name, value in lake_variables(metastore).items())
    return Hive(spark, metastore, database, home)
