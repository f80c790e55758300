"""The house keeps its shape: imports run downward, state folders hold data only, names do not shadow the standard library."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

LEVELS = [
    ["portal", "portal.errors", "portal.clock", "portal.jobs", "portal.progress", "portal.params", "portal.redact", "portal.settings",
     "portal.durable", "portal.lineage", "portal.processes", "portal.descriptors", "portal.outputlog", "portal.waking", "portal.inotify",
     "portal.warm.own_process", "portal.warm.code_stamp", "portal.endings", "portal.version", "portal.stores.url", "portal.triggers.trigger",
     "portal.lake.table_name", "portal.lake.selection"],
    ["portal.connections", "portal.aws_credentials", "portal.keypair", "portal.vault", "portal.stores", "portal.spool", "portal.wire",
     "portal.native"],
    ["portal.transfer", "portal.planning", "portal.comparing", "portal.ledger", "portal.movers", "portal.tabular", "portal.audit", "portal.seal",
     "portal.retention", "portal.warehouse", "portal.probe", "portal.lake", "portal.notices", "portal.notifying"],
    ["portal.catalog", "portal.context", "portal.transfer.sides", "portal.work_folder", "portal.engine", "portal.submission", "portal.runner",
     "portal.engine_process", "portal.warm", "portal.starting", "portal.worker", "portal.sealer", "portal.chore", "portal.backup",
     "portal.check", "portal.triggers", "portal.health", "portal.metrics", "portal.lake.ingesting.run"],
    ["engines", "portal.ui", "portal.cli", "portal.__main__"],
    ["app", "worker"],
]  # fmt: skip
"""From the bottom up; a module belongs to the longest name here that its own begins with."""


@cache
def modules() -> dict[str, Path]:
    """Every module of the product by its dotted name."""
    files = [ROOT / "app.py", ROOT / "worker.py", *sorted((ROOT / "portal").rglob("*.py")), *sorted((ROOT / "engines").glob("*.py"))]
    found = {}
    for path in (file for file in files if file.exists()):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def level(module: str) -> int:
    best = max(
        ((name, number) for number, names in enumerate(LEVELS) for name in names if _begins(module, name)),
        key=lambda pair: len(pair[0]), default=None,
    )  # fmt: skip
    assert best and (best[0] != "portal" or module == "portal"), f"{module} has no level: give it one in LEVELS"
    return best[1]


def _begins(module: str, name: str) -> bool:
    return module == name or module.startswith((name + ".", name + "_"))


@cache
def imports(module: str) -> dict[str, bool]:
    """The modules of ours that a module imports: name → whether the import stands inside a function."""
    known = modules()
    tree = ast.parse(known[module].read_text("utf-8"))
    inside = {id(node) for function in ast.walk(tree) if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef) for node in ast.walk(function)}
    found: dict[str, bool] = {}
    for node in ast.walk(tree):
        for name in _named(node, known):
            found[name] = found.get(name, True) and id(node) in inside
    return found


def _named(node: ast.AST, known: dict[str, Path]) -> list[str]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom) and node.module:
        names = [full if (full := f"{node.module}.{alias.name}") in known else node.module for alias in node.names]
    else:
        return []
    return [name for name in names if name in known]


def test_imports_run_downward() -> None:
    upward = [f"{module} imports {name}" for module in modules() for name in imports(module) if level(name) > level(module)]
    assert not upward, upward


def test_there_is_no_import_cycle() -> None:
    graph = {module: [name for name in imports(module) if name != module] for module in modules()}
    tuple(TopologicalSorter(graph).static_order())


def test_our_own_modules_are_imported_at_the_top() -> None:
    """An import inside a function hides a cycle. Engines may: it keeps reading their Params cheap."""
    ours = [module for module in modules() if not module.startswith("engines.")]
    hidden = [f"{module} imports {name}" for module in ours for name, inside in imports(module).items() if inside]
    assert not hidden, hidden


def test_the_box_does_not_know_the_portal() -> None:
    for path in (ROOT / "embedded").rglob("*.py"):
        text = path.read_text("utf-8")
        assert "from portal" not in text and "import portal" not in text, f"{path} imports the portal"


def test_only_the_warehouse_imports_the_snowflake_connector() -> None:
    using = [name for name, path in modules().items() if "snowflake.connector" in path.read_text("utf-8")]
    assert using in ([], ["portal.warehouse"])


@pytest.mark.parametrize("folder", ["queue", "logs", "archive"])
def test_state_folders_hold_no_code(folder: str) -> None:
    tracked = subprocess.run(["git", "ls-files", folder], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    assert [name for name in tracked if name.endswith(".py")] == []


def test_the_queue_folder_does_not_shadow_the_standard_library() -> None:
    code = "import queue; assert hasattr(queue, 'SimpleQueue'), queue"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_reading_the_parameters_of_every_engine_is_cheap() -> None:
    """A form, a command's --help and the worker's catalog must not wait for the SDKs."""
    heavy = ["boto3", "azure", "pyarrow", "pandas", "numpy", "snowflake", "streamlit", "pyspark"]
    code = (
        "import sys; from portal import catalog; [catalog.engine(name) for name in catalog.names()];"
        f"found = [name for name in {heavy} if name in sys.modules]; sys.exit(f'imported: {{found}}' if found else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_the_runner_needs_only_the_standard_library() -> None:
    """It is started for every attempt: what it imports is paid by every job."""
    code = (
        "import sys; before = set(sys.modules); import portal.runner;"
        "new = {name.partition('.')[0] for name in set(sys.modules) - before};"
        "foreign = sorted(new - set(sys.stdlib_module_names) - {'portal'}); sys.exit(f'imported: {foreign}' if foreign else 0)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_entry_points_are_short() -> None:
    for name in ("app.py", "worker.py"):
        assert len((ROOT / name).read_text("utf-8").splitlines()) < 100, f"{name} holds logic that belongs into portal/"


def test_nothing_committed_names_a_machine_or_a_registry() -> None:
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    banned = ("/work/" + "main", "/work/" + "shared", "files.pythonhosted" + ".org", "registry.npmjs" + ".org", "deb.debian" + ".org")
    for name in files:
        path = ROOT / name
        if path.suffix in {".png", ".woff2"} or not path.is_file():
            continue
        text = path.read_text("utf-8", errors="replace")
        assert not [word for word in banned if word in text], f"{name} names a machine or a registry"
