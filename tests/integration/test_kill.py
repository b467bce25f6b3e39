"""Kill -9 of whoever works, at any moment: the next run finishes the job and leaves nothing behind."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import mlflow  # noqa: TID253 - every test here needs it
import psutil
import pytest
from dvc.repo import Repo

from digits.errors import MissingError
from digits.experiments.candidate import Candidate

KILLS = 10


def _client(checkout: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")


def _runs(client: mlflow.MlflowClient, condition: str = "") -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name("digits").experiment_id], filter_string=condition))


def _start(checkout: Any, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        checkout.command("run", "digits"),
        cwd=checkout.root,
        env={**checkout.environment, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _workers(process: psutil.Process) -> list[psutil.Process]:
    """Return the worker processes of a run, those that the pool has started."""
    with suppress(psutil.Error):
        return [child for child in process.children() if any("spawn_main" in part for part in child.cmdline())]
    return []


def _gone(processes: list[psutil.Process]) -> bool:
    _, alive = psutil.wait_procs(processes, timeout=20)
    return not alive


def _figures(leaderboard: str) -> list[tuple[str, float, float, float]]:
    keys = ("validation_accuracy", "test_accuracy", "log_loss")
    return [(row["family"], *(row[key] for key in keys)) for row in json.loads(leaderboard)]


def _half_written(checkout: Any) -> list[Path]:
    """Return the folders of candidates that are there without being whole."""
    halves = []
    for folder in (checkout.root / "data/candidates").glob("digits/*/[!.]*"):
        try:
            halves += [folder] if Candidate.load(folder).fault() else []
        except MissingError:
            halves.append(folder)
    return halves


@pytest.mark.timeout(600)
def test_a_run_recovers_from_kills_at_any_moment(kept: Any) -> None:
    """Ten kills in a row, of the run or of a worker, at random moments, each after something else has been lost."""
    client, moments = _client(kept), random.Random(0)  # noqa: S311 - moments, not secrets
    start = time.monotonic()
    again = kept.digits("run", "digits")
    seconds = time.monotonic() - start
    assert again.returncode == 0, again.stderr
    folders = sorted((kept.root / "data/candidates/digits").glob("*/*"))
    for number in range(KILLS):
        lost = folders[number % len(folders)]
        shutil.rmtree(lost, ignore_errors=True)
        for run in _runs(client, f"tags.family = '{lost.name}'"):
            client.delete_run(run.info.run_id)
        process = _start(kept)
        time.sleep(moments.uniform(0.3, 1.2) * seconds)
        workers = _workers(psutil.Process(process.pid)) if process.poll() is None else []
        if number % 3 == 2 and workers:
            moments.choice(workers).kill()
            assert process.wait(120) == 0
        else:
            process.kill()
            process.wait()
        assert _gone(workers), "workers outlive the run"
        assert _half_written(kept) == []
    last = kept.digits("run", "digits", "--json")
    assert last.returncode == 0, last.stderr
    assert _figures(last.stdout) == _figures(kept.first.stdout)
    states = {run.info.status for run in _runs(client)}
    assert "KILLED" in states
    assert "RUNNING" not in states
    with Repo(str(kept.root)) as repo:
        assert repo.status(targets=[f"{kept.root}/dvc.yaml:evaluate@digits"], with_deps=True) == {}


@pytest.fixture
def tracking_server(tmp_path: Path) -> Iterator[Any]:
    """Return a function that starts a real MLflow server on one port and one store, and returns its process."""
    port, started = 0, []

    def start() -> tuple[str, subprocess.Popen[bytes]]:
        nonlocal port
        if not port:
            from flows.server import _free_port

            port = _free_port()
        store = f"sqlite:///{tmp_path / 'server.db'}"
        command = ["server", "--backend-store-uri", store, "--artifacts-destination", str(tmp_path / "artifacts")]
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *command, "--port", str(port), "--workers", "1"],
            cwd=tmp_path,
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            start_new_session=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        started.append(process)
        url = f"http://127.0.0.1:{port}"
        for _ in range(600):
            with suppress(httpx.HTTPError):
                if httpx.get(f"{url}/health").status_code == 200:
                    return url, process
            time.sleep(0.1)
        raise AssertionError("the MLflow server does not start")

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def test_a_run_recovers_from_the_death_of_the_tracking_server(checkout: Any, tracking_server: Any) -> None:
    """With the server killed while families are fitted, the run ends in one line; the next one finishes the job."""
    checkout.families({"decision_tree": {"components": 10}, "mlp": {"epochs": 20, "hidden": [64], "components": 60}})
    url, server = tracking_server()
    process = _start(checkout, MLFLOW_TRACKING_URI=url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    client = mlflow.MlflowClient(url)
    while not (client.get_experiment_by_name("digits") and _runs(client, "tags.family = 'mlp'")):
        time.sleep(0.1)
    os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    assert process.wait(120) == 1
    tracking_server()
    done = checkout.digits("run", "digits", "--json", MLFLOW_TRACKING_URI=url)
    assert done.returncode == 0, done.stderr
    assert {row["family"] for row in json.loads(done.stdout)} == {"decision_tree", "mlp"}
    assert {run.info.status for run in _runs(client)} <= {"FINISHED", "FAILED", "KILLED"}
