"""The parameter that says where an engine does its work; an engine that has it can do it on a cluster."""

from __future__ import annotations

from typing import Literal

from portal.params import EngineParams, param


class RunOnParams(EngineParams):
    """This machine, or many."""

    run_on: Literal["local", "spark"] = param(
        "local", group="Speed", advanced=True,
        help="local: on the worker's machine; spark: on the executors of the cluster that SPARK_MASTER names, as docs/spark.md tells",
    )  # fmt: skip
