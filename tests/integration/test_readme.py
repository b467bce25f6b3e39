"""What the README tells people to type works, and what it links to is there."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml


def _readme(root: Path) -> str:
    return (root / "README.md").read_text(encoding="utf-8")


def test_the_steps_work_as_written(root: Path, make_checkout: Any) -> None:
    """Every command of the README's block runs, in its order, as in a fresh clone; what it made is then reused.

    The picture of a seven is read, and on the test rows SVM and the best by validation keep the floor of 98 %.
    """
    fit = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["datasets"]["digits"]["fit"]
    short = {"cnn": {"epochs": 2}}  # the others as they are shipped
    checkout = make_checkout({**fit["families"], **fit["ensembles"], **short})
    shutil.copy(root / "dvc.lock", checkout.root)
    blocks = re.findall(r"```sh\n(.*?)```", _readme(root), flags=re.DOTALL)
    commands = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines() if line]
    assert len(commands) >= 10
    output = ""
    for program, *arguments in commands:
        assert program == "digits"
        done = checkout.digits(*(str(root / item) if item.startswith("docs/") else item for item in arguments))
        assert done.returncode == 0, f"{arguments}: {done.stderr}"
        output = done.stdout
    assert re.search(r"seven\.png: 7 \(\d+\.\d%\)", output)
    explained = {row["family"]: row for row in json.loads(checkout.digits("explain", "digits", "--json").stdout)}
    fitted = [arguments[2] for _, *arguments in commands if arguments[0] == "fit"]
    assert {name for name, row in explained.items() if row["action"] == "reuse"} == set(fitted)
    rows = json.loads(checkout.digits("leaderboard", "digits", "--json").stdout)
    reached = {row["family"]: row["test_accuracy"] for row in rows}
    assert min(reached["svm"], rows[0]["test_accuracy"]) >= 0.98, reached


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "docs/architecture.md",
        "docs/params.md",
        "docs/gates.md",
        "docs/evaluation.md",
        "docs/operations.md",
        "CONTRIBUTING.md",
    ],
)
def test_links_lead_somewhere(root: Path, page: str) -> None:
    """Every relative link and picture of a page exists."""
    path = root / page
    for target in re.findall(r"\]\(([^)#]+)\)", path.read_text(encoding="utf-8")):
        assert target.startswith("http") or (path.parent / target).exists(), target


def test_every_module_stands_in_the_tree(root: Path) -> None:
    """docs/tree.md is what `make format` writes."""
    command = [sys.executable, "scripts/tree.py"]
    written = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True).stdout
    assert written == (root / "docs/tree.md").read_text(encoding="utf-8")
    folders = {path.parent for path in root.glob("[dft]*/**/*.py") if not path.is_relative_to(root / "tests")}
    assert {str(folder.relative_to(root)) for folder in folders} <= set(re.findall(r"(?m)^## (.+)/$", written))


def test_make_targets_are_listed(root: Path) -> None:
    """`make help` lists every target that the README and CONTRIBUTING name."""
    listed = subprocess.run(["make", "help"], cwd=root, capture_output=True, text=True, check=True).stdout
    named = re.findall(
        r"(?m)(?:`|^    )make ([a-z]+)", _readme(root) + (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    )
    assert set(named) <= set(re.findall(r"make ([a-z-]+)", listed))
    assert {"setup", "run", "test", "check", "format", "mnist", "ui", "help"} <= set(
        re.findall(r"make ([a-z-]+)", listed)
    )


def test_every_setting_is_documented(root: Path) -> None:
    """docs/params.md names every variable that the settings read."""
    from digits.settings import Settings

    text = (root / "docs" / "params.md").read_text(encoding="utf-8")
    for name, field in Settings.model_fields.items():
        alias = field.validation_alias
        variable = alias if isinstance(alias, str) else f"DIGITS_{name.upper()}"
        assert f"`{variable}`" in text


def test_every_command_has_help_with_an_example(root: Path) -> None:
    """Each command of `digits --help` explains itself with an example that names it."""
    from digits.cli import app

    groups = {"bench", "registry"}
    commands = {name: app[name] for name in app if not name.startswith("-") and name not in groups}
    for group in groups:
        inner = app[group]
        commands |= {f"{group} {name}": inner[name] for name in inner if not name.startswith("-")}
    assert len(commands) >= 20
    for name, command in commands.items():
        assert command.default_command is not None
        assert f"digits {name}" in (command.default_command.__doc__ or ""), name


def test_documented_commands_of_the_registry_are_the_real_ones(root: Path) -> None:
    """docs/gates.md names each command of `digits registry`, and none that there is not."""
    from digits.cli import app

    named = re.findall(r"digits registry ([a-z]+)", (root / "docs" / "gates.md").read_text(encoding="utf-8"))
    assert set(named) == {name for name in app["registry"] if not name.startswith("-")}
