"""Eight families log at once, as processes of `dvc repro` and of several workers do, and nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import mlflow  # noqa: TID253 - the test needs it
import pytest

from digits.experiments.tracking import Tracking

FAMILIES, EPOCHS = 8, 50  # those of log_at_once.py


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
    assert len(runs) == FAMILIES
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


def test_fits_that_are_the_first_to_tell_of_a_dataset_do_not_hinder_each_other(tmp_path: Path) -> None:
    """MLflow refuses all but one of those that tell of the same rows in the same moment."""
    memory = Tracking(f"sqlite:///{tmp_path / 'mlflow.db'}", dataset="digits", artifacts=tmp_path / "artifacts")
    with ThreadPoolExecutor(3) as threads:
        for number in range(20):
            begin = Barrier(3)

            def tell(run_id: str, *, digest: str = f"{number:08d}", begin: Barrier = begin) -> None:
                begin.wait()
                memory._log_rows(run_id, part="development", digest=digest, n_samples=4, context="training")

            run_ids = [memory.create_run("fit", tags={}).info.run_id for _ in range(3)]
            list(threads.map(tell, run_ids))
            told = [memory.client.get_run(run_id).inputs.dataset_inputs for run_id in run_ids]
            assert {item.dataset.digest for items in told for item in items} == {f"{number:08d}"}
            assert [len(items) for items in told] == [1, 1, 1]


def _empty_database(request: pytest.FixtureRequest) -> Any:
    """Return the address of an empty database of a real PostgreSQL server."""
    postgres = request.getfixturevalue("postgres")
    postgres.sql("CREATE DATABASE at_once")
    return postgres.url("at_once")
