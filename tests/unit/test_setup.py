"""`make setup` on a machine that lacks what it needs: one line, and nothing is left behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.fixture
def checkout(root: Path, tmp_path: Path) -> Path:
    """Return a folder with the script, and beside it a `bin` in which no program but `dirname` works."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(root / "scripts/setup", tmp_path / "scripts")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/dirname").symlink_to(str(shutil.which("dirname")))
    for name in ("python3", "python3.12"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({}, "setup: found no Python 3.11, 3.12 or 3.13 with venv, which TensorFlow needs; install python3.12 and "),
        ({"PYTHON": "python3"}, "setup: PYTHON=python3 is no Python 3.11, 3.12 or 3.13 with venv, which TensorFlow "),
    ],
)
def test_without_a_python_that_will_do_setup_says_what_to_install(
    variables: dict[str, str], said: str, checkout: Path
) -> None:
    """None that it finds is new enough, or the one that is named is not."""
    environment = {"PATH": str(checkout / "bin"), **variables}
    done = subprocess.run(
        [checkout / "scripts/setup"], env=environment, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(said)
    assert done.stderr.count("\n") == 1
    assert not (checkout / ".venv").exists()
