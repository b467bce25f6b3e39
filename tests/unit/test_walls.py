"""The walls of the design: who may import whom, and what an import may cost."""

from __future__ import annotations

import ast
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

#: What every wing may use: of these each may import the others.
BOTTOM = ("__init__", "errors", "params", "settings", "files", "events", "pages", "processes", "servers")
WINGS = ("data", "models", "experiments", "reference", "registry", "dataset_params", "project", "steps", "cli")
TOP = ("__main__",)
#: The commands that start flows.
FLOWING = {"run", "explain", "deploy", "promote", "servers", "tune"}
HEAVY = ("tensorflow", "keras", "great_expectations", "matplotlib", "mlflow", "prefect", "dvc")


def _imports(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def _tops(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in _imports(path)}


def test_the_domain_knows_nothing_of_the_orchestrators(root: Path) -> None:
    """`digits` imports neither Prefect nor DVC, tasks nor flows; a few commands alone may import flows."""
    for path in (root / "digits").rglob("*.py"):
        allowed = {"flows"} if path.parent.name == "cli" and path.stem in FLOWING else set()
        assert not (_tops(path) & {"prefect", "dvc", "tasks", "flows"}) - allowed, path


def test_tasks_do_not_import_flows(root: Path) -> None:
    """Data travels one way: flows import tasks, never the reverse."""
    for path in (root / "tasks").rglob("*.py"):
        assert "flows" not in _tops(path), path


def test_every_module_has_its_place(root: Path) -> None:
    """Each module and folder of `digits` is in one wing, at the bottom, or at the top."""
    found = [
        path.stem for path in (root / "digits").iterdir() if path.suffix == ".py" or (path / "__init__.py").exists()
    ]
    assert sorted(found) == sorted((*BOTTOM, *WINGS, *TOP))


def test_the_bottom_imports_no_wing(root: Path) -> None:
    """What every wing may use knows none of them."""
    above = tuple(f"digits.{name}" for name in (*WINGS, *TOP))
    for name in BOTTOM:
        assert not [item for item in _imports(root / "digits" / f"{name}.py") if item.startswith(above)], name


@pytest.mark.parametrize(("number", "wing"), list(enumerate(WINGS)))
def test_wings_import_only_wings_above(root: Path, number: int, wing: str) -> None:
    """Inside `digits` each wing imports itself and the wings before it."""
    below = tuple(f"digits.{name}" for name in WINGS[number + 1 :])
    modules = [*(root / "digits" / wing).rglob("*.py"), *(root / "digits").glob(f"{wing}.py")]
    assert modules
    for path in modules:
        assert not [name for name in _imports(path) if name.startswith(below)], path


def test_no_module_hides_the_installed_mlflow(root: Path) -> None:
    """The folders mlflow/ and docker/ hold no Python file."""
    assert [*(root / "mlflow").glob("*.py"), *(root / "docker").rglob("*.py")] == []


def test_nothing_heavy_is_imported_before_a_command_needs_it() -> None:
    """Importing the steps, every family and the command line loads none of the heavy libraries and writes nothing."""
    code = (
        "import sys, digits.steps.candidates;"
        "import digits.cli, digits.cli.run, digits.cli.data, digits.cli.candidates, digits.cli.predict;"
        "import digits.cli.explain, digits.cli.replay, digits.cli.garbage, digits.cli.registry;"
        "import digits.cli.servers, digits.cli.deploy, flows.servers.local;"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""


def test_the_lock_of_dvc_knows_the_code_as_it_is(root: Path) -> None:
    """dvc.lock records the code of the data steps as it stands, so that a run in a fresh clone leaves it unchanged."""
    lock = yaml.safe_load((root / "dvc.lock").read_text(encoding="utf-8"))["stages"]
    data_steps = {f"{step}@{dataset}" for step in ("ingest", "validate", "split") for dataset in ("digits", "mnist")}
    assert set(lock) >= data_steps
    for name in data_steps:
        for dependency in lock[name]["deps"]:
            path = root / dependency["path"]
            if path.suffix == ".py":
                found = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
                assert found == dependency["md5"], (
                    f"{name}: {path.name} has changed; run `dvc repro split@digits split@mnist` and commit dvc.lock"
                )


def test_the_lock_of_dvc_that_is_committed_holds_no_fits(root: Path) -> None:
    """The bits of a fitted model may depend on the processor: a fresh clone's dvc.lock knows the data steps alone."""
    if not (root / ".git").exists():
        pytest.skip("no git here: nothing is known of what is committed")
    show = ["git", "-C", str(root), "show", "HEAD:dvc.lock"]
    committed = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    verbs = {name.partition("@")[0] for name in yaml.safe_load(committed)["stages"]}
    assert verbs == {"ingest", "validate", "split"}
