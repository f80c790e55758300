"""A chain of the lakehouse: how its one job is made, which jobs belong to it, and what came of each table in each step."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from portal.errors import BadParameters
from portal.jobs import Job, Status, When
from portal.lake import chain_jobs
from portal.lake.chain import ARRIVED, NAME_LABEL, STEPS, Step, chained
from portal.lake.chain_view import view
from portal.lake.table_outcome import TableOutcome
from portal.settings import Settings
from portal.spool import Spool
from portal.ui import lake_rows
from tests import lake_chains
from tests.lake_chains import INGESTED, MARK, archived, as_told, ended, first_job, follow_ups, new_id, running

MOVED = (TableOutcome("sales_iceberg.orders", "done", target="lake.orders", way="copy", rows=3, snapshots=2),)
REGISTERED = (TableOutcome("lake.orders", "unchanged", target="DB.S.ORDERS", way="refresh", rows=3),)


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def states(spool: Spool, mark: str = MARK) -> dict[str, list[str]]:
    found = chain_jobs.one(spool, mark)
    assert found is not None
    return {row.table: [cell.state for cell in row.cells.values()] for row in found.rows}


def test_a_chain_is_one_job_whose_follow_ups_take_what_arrived() -> None:
    made = chained(lake_chains.STEPS, name="nightly")
    assert (made.engine, made.params) == ("ingest_hive", lake_chains.STEPS[Step.INGEST])
    migrate = made.then[0]
    register = migrate.then[0]
    assert (migrate.engine, migrate.when, dict(migrate.params["tables"])) == ("migrate_iceberg", When.ARRIVED, {"$result": "/report/arrived"})
    assert migrate.params["catalog"] == "ice" and register.params["catalog"] == "azure" and register.params["volume"] == "LAKE"
    assert {made.labels[NAME_LABEL], migrate.labels[NAME_LABEL], register.labels[NAME_LABEL]} == {"nightly"}
    assert register.labels["name"] == "nightly: Azure to Snowflake" and register.then == ()


def test_a_step_may_name_another_catalog_than_the_one_before_wrote_to() -> None:
    made = chained({Step.MIGRATE: {"tables": ["a.b"], "target_catalog": "azure"}, Step.REGISTER: {"catalog": "other"}})
    assert made.then[0].params == {"catalog": "other", "tables": dict(ARRIVED)}


@pytest.mark.parametrize(
    ("steps", "told"), [({}, "at least one step"), ({Step.INGEST: {}, Step.REGISTER: {}}, "the step migrate_iceberg is missing")]
)
def test_a_chain_has_no_gap(steps: dict[Step, dict[str, str]], told: str) -> None:
    with pytest.raises(BadParameters, match=told):
        chained(steps)


def test_tables_go_their_own_ways_and_what_failed_is_shown_where(spool: Spool) -> None:
    first = spool.submit(first_job())
    waiting = dict.fromkeys(("sales.lines", "sales.orders", "sales.view"), ["waiting"] * 3)
    assert states(spool) == waiting
    running(spool, first, INGESTED[:1])
    assert states(spool) == {**waiting, "sales.orders": ["done", "waiting", "waiting"], "sales.lines": ["running", "waiting", "waiting"],
                             "sales.view": ["running", "waiting", "waiting"]}  # fmt: skip
    first = ended(spool, first, Status.PARTIAL, INGESTED)
    over = {"sales.lines": ["failed", "held", "held"], "sales.view": ["excluded", "held", "held"]}
    assert states(spool) == {**over, "sales.orders": ["done", "waiting", "waiting"]}
    (second,) = follow_ups(spool, first)
    assert second.params["tables"] == ["sales_iceberg.orders"]
    running(spool, second)
    assert states(spool) == {**over, "sales.orders": ["done", "running", "waiting"]}
    second = ended(spool, second, Status.SUCCEEDED, MOVED)
    (third,) = follow_ups(spool, second)
    ended(spool, third, Status.SUCCEEDED, REGISTERED)
    assert states(spool) == {**over, "sales.orders": ["done", "done", "unchanged"]}
    found = chain_jobs.one(spool, MARK)
    assert found and (found.state, found.name) == ("partial", "nightly")
    assert found.counts == {"tables": 3, "whole": 1, "excluded": 1, "failed": 1, "cancelled": 0, "open": 0}
    assert found.retryable and found.retryable.id == first.id


def test_a_step_that_fails_is_done_again_by_its_retry_and_the_others_follow(spool: Spool) -> None:
    good = (INGESTED[0], TableOutcome("sales.lines", "done", target="sales_iceberg.lines"), INGESTED[2])
    first = ended(spool, spool.submit(first_job()), Status.SUCCEEDED, good)
    (second,) = follow_ups(spool, first)
    second = ended(spool, second, Status.FAILED, error="The target cannot be reached.\n  what to do: Look.")
    found = chain_jobs.one(spool, MARK)
    assert found and found.state == "failed" and found.retryable and found.retryable.id == second.id
    assert states(spool)["sales.orders"] == ["done", "failed", "held"]
    assert found.rows[0].cells[Step.MIGRATE].reason == "The target cannot be reached."

    again = spool.submit(second.evolve(id=new_id(), retry_of=second.id, parent=second.id, status=Status.QUEUED, finished_at=None, error=None))
    assert states(spool)["sales.orders"] == ["done", "waiting", "waiting"]
    both = (*MOVED, TableOutcome("sales_iceberg.lines", "failed", "It is locked."))
    again = ended(spool, again, Status.PARTIAL, both)
    (third,) = follow_ups(spool, again)
    ended(spool, third, Status.SUCCEEDED, REGISTERED)
    assert states(spool) == {"sales.lines": ["done", "failed", "held"], "sales.orders": ["done", "done", "unchanged"],
                             "sales.view": ["excluded", "held", "held"]}  # fmt: skip
    found = chain_jobs.one(spool, MARK)
    assert found and found.state == "partial" and found.retryable and found.retryable.id == again.id


def test_a_first_step_that_is_done_again_is_followed_anew(spool: Spool) -> None:
    """What the earlier jobs brought stays shown until the later ones tell otherwise."""
    first = ended(spool, spool.submit(first_job()), Status.PARTIAL, INGESTED)
    second = ended(spool, follow_ups(spool, first)[0], Status.SUCCEEDED, MOVED)
    ended(spool, follow_ups(spool, second)[0], Status.SUCCEEDED, REGISTERED)
    again = spool.submit(first_job(id=new_id(), retry_of=first.id, parent=first.id))
    assert chain_jobs.chains(spool).chains[0].state == "running"
    assert states(spool)["sales.lines"] == ["waiting", "waiting", "waiting"]
    orders = TableOutcome("sales.orders", "unchanged", target="sales_iceberg.orders")
    good = (orders, TableOutcome("sales.lines", "done", target="sales_iceberg.lines"))
    again = ended(spool, again, Status.SUCCEEDED, good)
    assert states(spool)["sales.lines"] == ["done", "waiting", "waiting"]
    assert states(spool)["sales.orders"] == ["unchanged", "waiting", "waiting"]


def test_a_chain_in_which_everything_arrived_has_succeeded(spool: Spool) -> None:
    steps = {Step.MIGRATE: {"tables": ["sales_iceberg.*"]}, Step.REGISTER: {}}
    first = spool.submit(first_job(steps))
    assert states(spool) == {}, "what a pattern means is known when the engine has told"
    first = ended(spool, first, Status.SUCCEEDED, MOVED)
    ended(spool, follow_ups(spool, first)[0], Status.SUCCEEDED, REGISTERED)
    found = chain_jobs.one(spool, MARK)
    assert found and found.state == "succeeded" and found.retryable is None
    assert [step.step for step in found.steps] == [Step.MIGRATE, Step.REGISTER]


def test_a_step_that_nothing_came_to_is_no_failure(spool: Spool) -> None:
    """All tables were views: the step after them was given none, which its engine rejects."""
    first = ended(spool, spool.submit(first_job()), Status.SUCCEEDED, INGESTED[2:])
    (second,) = follow_ups(spool, first)
    assert second.params["tables"] == []
    ended(spool, second, Status.REJECTED, error="tables: it must have one item at least")
    found = chain_jobs.one(spool, MARK)
    assert found and (found.state, found.retryable) == ("succeeded", None)
    assert [step.state for step in found.steps] == ["succeeded", "waiting", "waiting"] and found.counts["excluded"] == 1


def test_chains_are_told_apart_the_latest_first(spool: Spool) -> None:
    """What was run again with other parameters is another chain, though it has a parent; a job of another engine is none."""
    other = "01K5B0000000000000000CHA1N"
    old = ended(spool, spool.submit(first_job()), Status.FAILED, error="no")
    archived(spool, old.evolve(id=new_id(), engine="list", then=()))
    spool.submit(first_job(id=other, parent=old.id))
    assert [found.mark for found in chain_jobs.chains(spool).chains] == [other, MARK]
    assert [found.mark for found in chain_jobs.chains(spool, most=1).chains] == [other]
    assert chain_jobs.one(spool, "01K5B0").mark == other  # type: ignore[union-attr]
    assert chain_jobs.one(spool, "CHA1N") is None and chain_jobs.one(spool, "01") is None


def test_a_search_that_takes_too_long_goes_on_with_the_next_look(spool: Spool) -> None:
    first = ended(spool, spool.submit(first_job()), Status.FAILED, error="no")
    for _ in range(5):
        archived(spool, first.evolve(id=new_id(), engine="list", params={}, then=()))
    looks = 0
    while chain_jobs.chains(spool, budget_s=-1).searched_to is not None:
        looks += 1
    assert looks == 6, "each look opens one record at least"
    assert [found.mark for found in chain_jobs.chains(spool, budget_s=-1).chains] == [MARK]


def test_a_job_that_somebody_else_chained_is_a_chain_too(spool: Spool) -> None:
    """As a trigger or a job file makes it: nothing tells of a chain but its follow-ups."""
    job = first_job()
    first = ended(spool, spool.submit(job.evolve(labels={"name": "by night"})), Status.SUCCEEDED, INGESTED[:1])
    follow_ups(spool, first)
    found = chain_jobs.one(spool, MARK)
    assert found and found.name == "by night" and [len(step.jobs) for step in found.steps] == [1, 1, 0]
    alone = spool.submit(first_job({Step.MIGRATE: {"tables": ["a.b"]}}, id=new_id(), labels={}))
    single = chain_jobs.one(spool, alone.id)
    assert single and single.name == "" and [step.step for step in single.steps] == [Step.MIGRATE]


def test_a_chain_that_began_before_the_days_looked_at_is_whole(spool: Spool) -> None:
    first = ended(spool, spool.submit(first_job()), Status.SUCCEEDED, INGESTED[:1])
    assert follow_ups(spool, first)
    path = spool.archive_path(first)
    old = spool.layout.archive / "2025" / "09" / "20"
    old.mkdir(parents=True)
    path.rename(old / path.name)
    (found,) = chain_jobs.chains(spool).chains
    assert chain_jobs.one(spool, MARK, days=1) == found
    assert (found.mark, [len(step.jobs) for step in found.steps]) == (MARK, [1, 1, 0])


def test_a_chain_is_found_by_its_id_however_old_and_while_it_is_on_its_way(spool: Spool) -> None:
    first = ended(spool, spool.submit(first_job({Step.MIGRATE: {"tables": ["a.b"]}})), Status.SUCCEEDED, MOVED)
    path = spool.archive_path(first)
    old = spool.layout.archive / "2025" / "09" / "20"
    old.mkdir(parents=True)
    path.rename(old / path.name)
    assert chain_jobs.chains(spool).chains == ()
    found = chain_jobs.one(spool, MARK)
    assert found and found.state == "succeeded"


def test_a_damaged_file_of_tables_hides_nothing(spool: Spool, home: Path) -> None:
    first = ended(spool, spool.submit(first_job()), Status.PARTIAL, INGESTED)
    (spool.folder(first.id)).mkdir(parents=True, exist_ok=True)
    (spool.folder(first.id) / "tables.ndjson").write_text('{"table": "sales.or')
    assert states(spool)["sales.view"][0] == "excluded"


names = st.sampled_from(["a.x", "a.y", "a.z"])
told = st.dictionaries(names, st.sampled_from(["done", "unchanged", "excluded", "failed"]))


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.sampled_from(list(Status)), told), min_size=1, max_size=6))
def test_whatever_the_jobs_tell_the_books_of_a_chain_balance(jobs: list[tuple[Step, Status, dict[str, str]]]) -> None:
    """Each table has one state in each step, comes to none that the step before did not let it, and is counted once."""
    made, outcomes = [], {}
    for number, (step, status, tables) in enumerate(jobs):
        job_id = f"01K5A00000000000000000000{number}"
        when = f"2026-11-21T10:00:0{number}.000Z"
        params = {"tables": ["a.x"]}
        made.append(Job(job_id, step.value, params, when, status=status, finished_at=when if status.finished else None))
        items = [TableOutcome(name, outcome, target=name) for name, outcome in tables.items()]  # type: ignore[arg-type]
        outcomes[job_id] = as_told(items)
    found = view(made, outcomes)
    counts = found.counts
    assert counts.pop("tables") == sum(counts.values()) == len(found.rows) and min(counts.values()) >= 0
    for row in found.rows:
        assert list(row.cells) == [step.step for step in found.steps]
        cells = [cell.state for cell in row.cells.values()]
        for before, after in pairwise(cells):
            assert before in ("done", "unchanged") or after in ("waiting", "held")


def test_a_chain_whose_records_were_deleted_does_not_run_for_ever(spool: Spool) -> None:
    first = ended(spool, spool.submit(first_job()), Status.SUCCEEDED, INGESTED[:1])
    (second,) = follow_ups(spool, first)
    second = ended(spool, second, Status.SUCCEEDED, MOVED)
    (third,) = follow_ups(spool, second)
    ended(spool, third, Status.SUCCEEDED, REGISTERED)
    spool.archive_path(first).unlink()
    assert chain_jobs.one(spool, MARK) is None
    (found,) = chain_jobs.chains(spool).chains
    assert (found.mark, found.name, found.way, found.state) == (second.id, "nightly", "Iceberg → Azure → Snowflake", "succeeded")
    days_ago = "2026-01-01T00:00:00.000Z"
    told = view([first.evolve(finished_at=days_ago)], {first.id: as_told(INGESTED[:1])})
    assert not told.running and told.state == "failed"
    assert {row.table: [cell.state for cell in row.cells.values()] for row in told.rows} == {
        "sales.orders": ["done", "held", "held"], "sales.lines": ["held"] * 3, "sales.view": ["held"] * 3,
    }, "what is not recorded is not waited for"  # fmt: skip
    assert view([first], {first.id: as_told(INGESTED[:1])}).running, "it has just ended: the next one begins"


def test_what_was_cancelled_is_not_told_as_failed(spool: Spool) -> None:
    first = ended(spool, spool.submit(first_job()), Status.PARTIAL, INGESTED)
    (second,) = follow_ups(spool, first)
    ended(spool, second, Status.CANCELLED, error="It was cancelled.")
    found = chain_jobs.one(spool, MARK)
    assert found and found.counts == {"tables": 3, "whole": 0, "excluded": 1, "failed": 1, "cancelled": 1, "open": 0}
    assert (found.state, found.running) == ("cancelled", False) and not follow_ups(spool, second), "nothing follows"
    assert lake_rows.tally(found) == "3 tables, 1 left out, 1 failed, 1 cancelled"
