"""The chain of the lakehouse: Hive → Iceberg → Iceberg on Azure → Snowflake, as one job with follow-ups. Values only.

Each step takes the tables that arrived in the one before it, so that a table that fails holds up none of the others. A chain is known by the id
of its first job; the others are told by their descent, so that one that a trigger or a job file makes is a chain, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any

from portal.errors import BadParameters
from portal.jobs import Followup, When

NAME_LABEL = "lakehouse_name"
"""Label that holds what people call the chain."""
ARRIVED: Mapping[str, str] = {"$result": "/report/arrived"}
"""Quotes the tables that arrived in the step before, by their names there."""


class Step(StrEnum):
    """The steps of a chain by the names of their engines, in order."""

    INGEST = "ingest_hive"
    MIGRATE = "migrate_iceberg"
    REGISTER = "register_snowflake"


STEPS = tuple(Step)
WORDS: Mapping[Step, str] = {Step.INGEST: "Hive to Iceberg", Step.MIGRATE: "Iceberg to Azure", Step.REGISTER: "Azure to Snowflake"}
_CATALOG_OF_RESULT: Mapping[Step, str] = {Step.INGEST: "target_catalog", Step.MIGRATE: "target_catalog"}
"""The parameter of a step that names the catalog in which its tables arrive."""


def restart_key(job_id: str) -> str:
    """The idempotency key of a restart: however many ask for it at once, the job is done again once."""
    return f"restart-{job_id}"


@dataclass(frozen=True)
class Chained:
    """A chain, ready to be submitted as one job."""

    engine: str
    params: Mapping[str, Any]
    then: tuple[Followup, ...]
    labels: Mapping[str, str]


def chained(steps: Mapping[Step, Mapping[str, Any]], *, name: str = "") -> Chained:
    """Make one job of the steps of a chain.

    Args:
        steps: parameters by step, of steps that follow one another. Of the first they are whole. The others take their tables from the step
            before, and their catalog too, unless they name another.
        name: for people.

    Raises:
        BadParameters: a step between is missing, or there is none.
    """
    order = [step for step in STEPS if step in steps]
    if not order:
        raise BadParameters("A chain has at least one step.", hint=f"Steps: {', '.join(STEPS)}.")
    if missing := set(STEPS[STEPS.index(order[0]) : STEPS.index(order[-1]) + 1]) - set(order):
        told = f"Between {order[0]} and {order[-1]} the step {min(missing)} is missing."
        raise BadParameters(told, hint="Each step takes what the one before it made.")
    then: tuple[Followup, ...] = ()
    for before, step in reversed(list(pairwise(order))):
        then = (Followup(step.value, _following(step, before, steps), When.ARRIVED, labels=_labels(step, name), then=then),)
    return Chained(order[0].value, dict(steps[order[0]]), then, _labels(order[0], name))


def _following(step: Step, before: Step, steps: Mapping[Step, Mapping[str, Any]]) -> dict[str, Any]:
    of_result = steps[before].get(_CATALOG_OF_RESULT[before]) or (steps[before].get("catalog") if before is Step.INGEST else "")
    given = {"catalog": of_result} if of_result else {}
    return {**given, **steps[step], "tables": dict(ARRIVED)}


def _labels(step: Step, name: str) -> dict[str, str]:
    shown = f"{name}: {WORDS[step]}" if name else WORDS[step]
    return {"name": shown, **({NAME_LABEL: name} if name else {})}
