"""The Lakehouse page: tables from real catalogs, where they are and how far behind; a chain that is put together, started, watched, restarted."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect
from streamlit.testing.v1 import AppTest

from portal import settings
from portal.connections import Connections
from portal.jobs import Status
from portal.lake import chain_jobs, looking, packages
from portal.lake.chain import NAME_LABEL
from portal.lake.lag import behind
from portal.lake.looking import Listed, There
from portal.lake.table_name import TableName
from portal.lake.table_outcome import TableOutcome
from portal.settings import Settings
from portal.spool import Spool
from portal.ui import access, lake_listing, lake_rows, table_picker
from portal.ui.access import Person
from portal.ui.accounts import Role
from portal.ui.lake_rows import Elsewhere
from tests import iceberg_tables
from tests import launcher as launchers
from tests.lake_chains import INGESTED, MARK, ended, first_job, follow_ups, running
from tests.launcher import Launcher
from tests.test_ui_pages import opened, words

_SLOW_MS = 45_000


@pytest.fixture
def spool(config: Settings) -> Spool:
    return Spool(config)


def catalogs(home: Path) -> tuple[Any, Any]:
    """A source with three tables, and a target that has the first two of them, one behind: both pyiceberg's own, over files."""
    data = home / "data"
    found = [iceberg_tables.catalog(data / name, (data / name / "warehouse").as_uri()) for name in ("ice", "azure")]
    for name in ("ice", "azure"):
        iceberg_tables.connections(home, f'[{name}]\nkind = "catalog"\ntype = "sql"\nuri = "sqlite:///{data / name}/catalog.db"\n')
    source, target = found
    target.create_namespace("sales")
    for name in ("sales.orders", "sales.lines", "sales.returns"):
        made = iceberg_tables.table(source, name)
        if name != "sales.returns":
            target.register_table(name, made.metadata_location)
    source.load_table("sales.lines").append(iceberg_tables.rows(100, 3))
    return source, target


def names(*texts: str) -> list[TableName]:
    return [TableName.parse(text) for text in texts]


def labels(app: AppTest) -> list[str]:
    return [button.label for button in app.button]


def test_without_the_packages_the_page_says_how_to_get_them(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "PACKAGES", ("a_package_that_nobody_has",))
    text = words(opened("lakehouse"))
    assert "The packages of the lakehouse are not installed" in text and "pip install -r requirements-lake.txt" in text
    assert "No chains yet" in text


def test_without_a_catalog_the_page_says_what_to_set(home: Path) -> None:
    text = words(opened("lakehouse"))
    assert "No catalog is configured" in text and "HIVE_METASTORE_URI" in text


def test_a_catalog_that_does_not_answer_is_told_in_a_box(home: Path) -> None:
    with (home / ".env").open("a") as env:
        env.write("HIVE_METASTORE_URI=thrift://127.0.0.1:9\n")
    app = opened("lakehouse")
    assert "does not answer" in words(app) and "Try again" in labels(app) and "Traceback" not in words(app)
    assert "Choose a database" not in words(app) and "Filter tables" not in [box.label for box in app.text_input], "there is nothing to choose from"


def test_a_viewer_looks_and_starts_nothing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogs(home)
    monkeypatch.setattr(access, "person", lambda settings: Person("vera", Role.VIEWER))
    app = opened("lakehouse")
    assert "You can look, but not start a chain" in words(app) and "Review and start" not in labels(app)


def test_a_chain_that_is_not_there_is_said_so(home: Path) -> None:
    assert "Chain not found" in words(opened("lakehouse", chain="../../etc"))


def test_a_copy_is_told_by_its_snapshots_where_it_is_and_how_far_behind(home: Path) -> None:
    catalogs(home)
    known = Connections.load(settings.load(home))
    assert looking.databases(known, "ice") == ["sales"]
    assert [str(name) for name in looking.names(known, "ice", "sales")] == ["sales.lines", "sales.orders", "sales.returns"]
    assert looking.names(known, "ice", "nowhere") == []
    lines, orders, returns = names("sales.lines", "sales.orders", "sales.returns")
    there = looking.where(known, "ice", "azure", {name: name for name in (lines, orders, returns)})
    assert {name: (found.behind, found.compared, found.problem) for name, found in there.items()} == {lines: (1, True, ""), orders: (0, True, "")}
    (home / "data" / "ice" / "warehouse" / "sales" / "orders" / "metadata").rename(home / "data" / "gone")
    broken = looking.where(known, "ice", "azure", {orders: orders, lines: lines})
    assert broken[lines].behind == 1 and broken[orders].problem, "one that cannot be read hides none of the others"


@pytest.mark.parametrize(("source", "target", "count"), [
    ((3, {1: None, 2: 1, 3: 2}), (3, {3: None}), 0),
    ((3, {1: None, 2: 1, 3: 2}), (1, {1: None}), 2),
    ((3, {2: 1, 3: 2}), (1, {1: None}), 2),
    ((2, {1: None, 2: 1}), (3, {1: None, 3: 1}), None),
    ((None, {}), (3, {3: None}), None),
    ((-1, {}), (None, {}), 0),
    ((2, {1: 2, 2: 1}), (None, {}), 2),
], ids=["equal", "behind", "of an expired one", "gone apart", "emptied", "both empty", "in a circle"])  # fmt: skip
def test_lag_counts_snapshots_of_the_current_line(source: Any, target: Any, count: int | None) -> None:
    ours, theirs = (
        {"current-snapshot-id": current, "snapshots": [{"snapshot-id": own, "parent-snapshot-id": parent} for own, parent in line.items()]}
        for current, line in (source, target)
    )
    assert behind(ours, theirs) == count


def test_the_rows_say_what_is_where_and_lock_what_the_first_step_cannot_take() -> None:
    hive, icy = names("sales.orders", "sales.lines")
    listed = [Listed(hive, "parquet", on_files=True), Listed(icy, "Iceberg", is_iceberg=True)]
    elsewhere = Elsewhere({hive: There("1")}, {hive: There("1", 2, True), icy: There(problem="It is broken.")}, {icy})
    first, second = lake_rows.rows(listed, {"sales.orders"}, elsewhere, takes_iceberg=False)
    assert (first["picked"], first["locked"], second["picked"], second["locked"]) == (True, False, False, True)
    texts = [[cell if isinstance(cell, str) else cell["text"] for cell in row["cells"]] for row in (first, second)]
    assert texts == [["parquet", "here", "behind", "2 snapshots", "not yet"], ["Iceberg", "yes", "unreadable", "", "registered"]]
    assert second["cells"][2]["title"] == "It is broken."
    blank = lake_rows.rows(listed[:1], (), Elsewhere(), takes_iceberg=True)[0]
    assert blank["locked"] and [cell if isinstance(cell, str) else cell["text"] for cell in blank["cells"]] == ["parquet", "", "", "", ""]


@pytest.mark.parametrize(("params", "target"), [
    ({}, "sales_iceberg.orders"), ({"target_namespace": "{db}_lake"}, "sales_lake.orders"), ({"target_namespace": "`a.b`.c"}, "`a.b`.c.orders"),
    ({"target_namespace": "half typed ."}, "sales.orders"),
])  # fmt: skip
def test_a_steps_namespace_names_its_tables(params: dict[str, str], target: str) -> None:
    assert str(lake_listing.targeted(params, TableName.parse("sales.orders"), "{db}_iceberg")) == target


def test_a_chain_shows_its_steps_and_what_to_restart(home: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogs(home)
    first = ended(spool, spool.submit(first_job()), Status.PARTIAL, INGESTED)
    second = running(spool, follow_ups(spool, first)[0])
    given: list[Any] = []
    monkeypatch.setattr("portal.ui.lake_chains.chain_table", lambda steps, rows, key: given.append((steps, rows)))
    app = opened("lakehouse", chain=MARK)
    text = words(app)
    assert "nightly" in text and "3 tables, 1 left out, 1 failed, 1 on the way" in text and not [name for name in labels(app) if "Restart" in name]
    steps, rows = given[-1]
    assert steps == ["Hive to Iceberg", "Iceberg to Azure", "Azure to Snowflake"]
    assert [row["table"] for row in rows] == ["sales.lines", "sales.orders", "sales.view"], "trouble comes first"
    assert rows[0]["cells"][0] == {"state": "failed", "look": "failed", "word": "Failed", "note": "The counts differ.", "job": first.id,
                                   "title": "The counts differ."}  # fmt: skip
    assert rows[1]["cells"][1]["word"] == "Running" and rows[1]["cells"][1]["job"] == second.id
    app.button[labels(app).index("Cancel chain")].click().run()
    assert spool.cancel_requested(second.id) and not app.exception
    ended(spool, second, Status.FAILED, error="The target cannot be reached.")
    app = opened("lakehouse", chain=MARK)
    assert "The target cannot be reached." in words(app)
    app.button[labels(app).index("Restart from: Hive to Iceberg")].click().run()
    assert not app.exception
    found = chain_jobs.one(spool, MARK)
    assert found and [len(step.jobs) for step in found.steps] == [2, 1, 0] and found.steps[0].jobs[1].retry_of == first.id


def test_the_latest_chains_are_listed(home: Path, spool: Spool) -> None:
    ended(spool, spool.submit(first_job()), Status.FAILED, error="no")
    app = opened("lakehouse")
    assert "nightly" in labels(app) and "3 tables, 3 failed · Hive → Iceberg → Azure → Snowflake · by ann" in words(app)


def test_other_forms_offer_the_tables_of_the_catalog(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    catalogs(home)
    app = opened("new", engine="migrate_iceberg")
    boxes = {box.label: box for box in app.selectbox}
    boxes["Catalog"].select("ice").run()
    (tables,) = [box for box in app.multiselect if box.label == "Tables *"]
    assert tables.options == ["sales.*", "sales.lines", "sales.orders", "sales.returns"]
    assert "3 Iceberg tables in sales" in words(app)
    monkeypatch.setattr(packages, "there", lambda *names: False)
    app = opened("new", engine="migrate_iceberg")
    assert "Tables are not listed: the packages of the lakehouse are not installed here" in words(app)


def test_only_engines_that_take_tables_of_a_catalog_get_the_picker() -> None:
    from portal import catalog

    taking = [name for name in catalog.names() if table_picker.is_for(catalog.engine(name))]
    assert taking == ["ingest_hive", "migrate_iceberg", "register_snowflake"]


def test_a_basket_has_a_bound(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from portal.ui import lake_tables

    monkeypatch.setattr(lake_tables, "MOST_TABLES", 3)
    basket: dict[str, None] = {"a.x": None}
    lake_tables._ticked(basket, {"a.y", "a.z", "a.w"}, ("a.y", "not.listed"), ("a.x",))
    lake_tables._all(basket, ["a.y", "a.z", "a.w", "a.v"])
    assert list(basket) == ["a.y", "a.z", "a.w"]


@pytest.fixture
def launcher(tmp_path: Path) -> Iterator[Launcher]:
    home = launchers.make_home(tmp_path / "home", {})
    catalogs(home)
    started = launchers.start(home, worker=False)
    yield started
    started.stop()


@pytest.mark.timeout(120)
def test_tables_are_ticked_a_chain_is_started_and_watched(launcher: Launcher, page: Page) -> None:
    """In a real browser: ticks survive the filter, what was started is one job with its follow-ups, and its matrix changes by itself."""
    page.goto(f"{launcher.url}/lakehouse")
    page.get_by_role("button", name="Hive to Iceberg").click(timeout=_SLOW_MS)
    page.get_by_role("combobox", name="Catalog", exact=True).click()
    page.get_by_role("option", name="ice").click()
    table = page.get_by_role("region", name="Tables of the catalog")
    expect(table.get_by_role("row", name=re.compile("returns"))).to_contain_text("Iceberg", timeout=_SLOW_MS)
    table.get_by_label("Select sales.lines").check()
    page.get_by_label("Filter tables").fill("orders")
    expect(table.get_by_role("row")).to_have_count(2, timeout=_SLOW_MS)
    table.get_by_label("Select sales.orders").check()
    expect(page.get_by_text("2 tables chosen")).to_be_visible(timeout=_SLOW_MS)
    page.get_by_label("Filter tables").fill("")
    expect(table.get_by_label("Select sales.lines")).to_be_checked(timeout=_SLOW_MS)

    page.get_by_role("combobox", name="Target catalog").click()
    page.get_by_role("option", name="azure").click()
    lines = table.get_by_role("row", name=re.compile("sales.lines|lines"))
    expect(lines).to_contain_text("1 snapshot", timeout=_SLOW_MS)
    expect(table.get_by_role("row", name=re.compile("returns"))).to_contain_text("not yet")
    page.get_by_role("button", name="Azure to Snowflake").click()
    page.get_by_label("Name of the chain").fill("to the cloud")
    page.get_by_role("button", name="Review and start").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("2 tables", timeout=_SLOW_MS)
    dialog.get_by_role("button", name="Start").click()
    expect(page.get_by_role("heading", name="to the cloud")).to_be_visible(timeout=_SLOW_MS)

    spool = Spool(settings.load(launcher.home))
    (job,) = spool.waiting()
    assert (job.engine, job.params, job.then) == ("migrate_iceberg", {"catalog": "ice", "tables": ["sales.lines", "sales.orders"],
                                                                      "target_catalog": "azure"}, ())  # fmt: skip
    matrix = page.get_by_role("region", name="Tables by steps")
    expect(matrix.get_by_role("row", name=re.compile("sales.lines"))).to_contain_text("Waiting")
    running(spool, job, (TableOutcome("sales.lines", "done", target="sales.lines", way="copy", rows=23),))
    expect(matrix.get_by_role("row", name=re.compile("sales.lines"))).to_contain_text("Done23 rows · copy", timeout=_SLOW_MS)
    expect(matrix.get_by_role("row", name=re.compile("sales.orders"))).to_contain_text("Running")
    matrix.get_by_role("link", name="Done").click()
    expect(page).to_have_url(re.compile(f"job.*{job.id}"))
    assert json.loads((launcher.home / "queue" / "running" / f"{job.id}.json").read_text())["labels"][NAME_LABEL] == "to the cloud"
