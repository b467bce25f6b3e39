"""A project of one's own in a temporary folder, and a real Prefect server for all tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

SMALL = {
    "logistic_regression": {},
    "decision_tree": {"components": 10},
    "k_nearest_neighbors": {},
    "voting": {"members": ["logistic_regression", "k_nearest_neighbors"]},
}


@dataclass
class Checkout:
    """A copy of the project in which nothing has run yet, and an environment with an empty home."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def digits(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command of `digits` in the checkout."""
        return subprocess.run(
            self.command(*arguments),
            cwd=self.root,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=280,
            check=False,
        )

    @staticmethod
    def command(*arguments: str) -> list[str]:
        """Return the command line that calls `digits` with these arguments."""
        return [sys.executable, "-c", "from digits.cli import main; main()", *arguments]

    def params(self, dataset: str = "digits", **sections: dict[str, Any]) -> None:
        """Change sections of a dataset in params.yaml: the given keys, the others stay."""
        path = self.root / "params.yaml"
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        for name, values in sections.items():
            content["datasets"][dataset][name] |= values
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


@pytest.fixture(scope="session")
def prefect_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Start a real Prefect server for the whole session and return its address."""
    from flows.server import prefect_server, wait_until_healthy

    before = dict(os.environ)
    try:
        with prefect_server(None, state=tmp_path_factory.mktemp("prefect")) as url:
            wait_until_healthy(url)
            yield url
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture(scope="session")
def make_checkout(root: Path, tmp_path_factory: pytest.TempPathFactory, prefect_url: str) -> Any:
    """Return a function that makes a checkout with a few fast families."""

    def make(families: dict[str, Any] | None = None) -> Checkout:
        folder = tmp_path_factory.mktemp("checkout")
        for name in ("params.yaml", "dvc.yaml"):
            shutil.copy(root / name, folder / name)
        shutil.copytree(root / "digits", folder / "digits", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(root / "data" / "sources", folder / "data" / "sources")
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text("[core]\n    no_scm = true\n    analytics = false\n", encoding="utf-8")
        home = tmp_path_factory.mktemp("home")
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "DIGITS_MNIST_DIR") if name in os.environ}
        environment = {
            **kept,
            "PATH": f"{Path(sys.executable).parent}:{kept.get('PATH', '')}",
            "HOME": str(home),
            "PREFECT_API_URL": prefect_url,
            "PREFECT_HOME": str(home / ".prefect"),
        }
        checkout = Checkout(root=folder, environment=environment)
        # A gate that these few families clear: what is tested is the line, not how good they are.
        gate = {"minimum_accuracy": 0.9, "minimum_recall": 0.8, "maximum_log_loss": 1.0}
        checkout.params(fit={"families": families or SMALL}, register=gate)
        return checkout

    return make


@pytest.fixture
def checkout(make_checkout: Any) -> Checkout:
    """Return a fresh checkout."""
    made: Checkout = make_checkout()
    return made
