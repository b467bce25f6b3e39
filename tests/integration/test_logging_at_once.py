"""Eight families log at once, as processes of `dvc repro` and of several workers do, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - the test needs it
import pytest

FAMILIES, RUNS, EPOCHS = 8, 2, 200  # those of log_at_once.py


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_eight_families_log_at_once(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Into a store that is empty before, of either kind: every run is there and whole, and nobody met a locked one."""
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}" if kind == "sqlite" else _empty_database(request)
    script = Path(__file__).with_name("log_at_once.py")
    done = subprocess.run(
        [sys.executable, script, uri, tmp_path], capture_output=True, text=True, timeout=280, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "locked" not in done.stderr
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert len(runs) == FAMILIES * RUNS
    for run in runs:
        assert run.info.status == "FINISHED"
        assert len(run.data.params) == 11
        assert run.data.tags["artifact.sha256"] == "1" * 64
        assert [each.step for each in client.get_metric_history(run.info.run_id, "epochs/loss")] == list(
            range(1, EPOCHS + 1)
        )
        assert {item.path for item in client.list_artifacts(run.info.run_id, "candidate")} == {
            "candidate/model",
            "candidate/validation_proba.npy",
        }


def _empty_database(request: pytest.FixtureRequest) -> Any:
    """Return the address of an empty database of a real PostgreSQL server."""
    postgres = request.getfixturevalue("postgres")
    postgres.sql("CREATE DATABASE at_once")
    return postgres.url("at_once")
