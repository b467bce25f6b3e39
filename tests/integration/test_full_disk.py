"""A disk that is full costs one line, and nothing that was there before."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def _small_disk(folder: Path, kilobytes: int) -> Iterator[None]:
    """Put a disk of that size in the place of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", folder]
    if os.getuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk, and not everywhere")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_is_one_line(checkout: Any) -> None:
    """Where a snapshot or MLflow's database finds no room, the line says so; with room, the same command succeeds."""
    with _small_disk(checkout.root / "data" / "snapshots", 64):
        done = checkout.digits("ingest", "digits")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "is the disk full" in done.stderr
        assert list((checkout.root / "data" / "snapshots").iterdir()) == []
    for command in ("ingest", "validate", "split"):
        assert checkout.digits(command, "digits").returncode == 0
    with _small_disk(checkout.root / "mlflow", 500):
        done = checkout.digits("fit", "digits", "decision_tree")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert "disk is full" in done.stderr
    assert checkout.digits("fit", "digits", "decision_tree").returncode == 0


@pytest.mark.parametrize("folder", ["mlflow", ".state"])
def test_no_server_starts_on_a_full_disk(checkout: Any, folder: str) -> None:
    """Wherever they would write, it is said how much is missing, before anything has begun."""
    with _small_disk(checkout.root / folder, 500):
        done = checkout.digits("up", PREFECT_API_URL="")
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"digits: 0 MB are free on the disk of {checkout.root / folder}; ")
        assert checkout.digits("status").returncode == 1
