"""Kill -9 of whoever works, at any moment: the next run finishes the job and leaves nothing behind."""

from __future__ import annotations

import json
import random
import re
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import psutil
import pytest
from dvc.repo import Repo

from digits.errors import MissingError
from digits.experiments.candidate import Candidate
from digits.experiments.tracking import Tracking

KILLS = 10

#: Its fit takes some seconds.
SLOW = "random_forest"


def _client(checkout: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{checkout.root / 'mlflow/mlflow.db'}")


def _runs(client: mlflow.MlflowClient, condition: str = "") -> list[Any]:
    return list(client.search_runs([client.get_experiment_by_name("digits").experiment_id], filter_string=condition))


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


def _lose(checkout: Any, client: mlflow.MlflowClient, family: str) -> None:
    """Let nobody remember a family's fit."""
    for folder in (checkout.root / "data/candidates/digits").glob(f"*/{family}"):
        shutil.rmtree(folder)
    for run in _runs(client, f"tags.family = '{family}'"):
        client.delete_run(run.info.run_id)


def _running(client: mlflow.MlflowClient, family: str) -> bool:
    return bool(_runs(client, f"tags.family = '{family}' and attributes.status = 'RUNNING'"))


@pytest.fixture(scope="module")
def slow(make_checkout: Any) -> Any:
    """Return a checkout that has run, with a fit that takes some seconds, and what its leaderboard says."""
    families = {"logistic_regression": {}, SLOW: {"trees": 100}, "voting": {"members": ["logistic_regression", SLOW]}}
    checkout = make_checkout(families)
    start = time.monotonic()
    first = checkout.digits("run", "digits", "--json")
    assert first.returncode == 0, first.stderr
    return checkout, list(families), _figures(first.stdout), time.monotonic() - start  # so fast is this machine today


@pytest.mark.timeout(900)
def test_a_run_recovers_from_kills_at_any_moment(slow: Any) -> None:
    """Ten kills: in pairs after fits were lost, in a fit, then in the run that recovers; the next has what was there.

    The same leaderboard, and nothing that is half written.
    """
    checkout, families, figures, seconds = slow
    client, moments = _client(checkout), random.Random(0)  # noqa: S311 - moments, not secrets
    hit = number = 0
    while hit < KILLS:
        number += 1
        assert number < KILLS, "too few kills find anybody alive"
        for family in (SLOW, families[number % len(families)]):
            _lose(checkout, client, family)
        hit += _killed(checkout, until=lambda: _running(client, SLOW), after=moments.uniform(0, 0.5))
        hit += _killed(checkout, until=lambda: True, after=moments.uniform(0.05, 0.35) * seconds)
        recovered = checkout.digits("run", "digits", "--json")
        assert recovered.returncode == 0, recovered.stderr
        assert _figures(recovered.stdout) == figures
        assert list((checkout.root / "data/candidates").glob("digits/*/.*")) == []
    _assert_tidy(checkout, families)


def _killed(checkout: Any, *, until: Callable[[], bool], after: float) -> bool:
    """Kill a run some seconds after something has come to pass; return whether it was alive."""
    process = checkout.start("run", "digits")
    while process.poll() is None and not until():
        time.sleep(0.1)
    time.sleep(after)
    alive = process.poll() is None
    workers = process.workers if alive else []
    process.kill()
    process.wait()
    assert _gone(workers), "workers outlive the run"
    assert _half_written(checkout) == []
    return alive


def test_a_run_goes_on_when_its_workers_are_killed(slow: Any) -> None:
    """The fit is tried again within the same run, which ends well."""
    checkout, families, figures, _ = slow
    client, err = _client(checkout), ""
    # Killed while it held the pool's channel, a worker takes the pool with it, which is started again.
    words = rf"fit +{SLOW} +failed.*(its worker process died|the pool of workers broke down)"
    for _ in range(KILLS):  # the kill of one that has just finished its fit is nobody's loss
        if re.search(words, err):
            break
        _lose(checkout, client, SLOW)
        process = checkout.start("run", "digits", "--json")
        while not _running(client, SLOW):
            assert process.poll() is None, process.communicate()
            time.sleep(0.1)
        for worker in process.workers:  # any of them may be the one that fits
            with suppress(psutil.NoSuchProcess):
                worker.kill()
        out, err = process.communicate(120)
        assert process.wait() == 0, err
        assert _figures(out) == figures
    assert re.search(words, err)
    _assert_tidy(checkout, families)


def _assert_tidy(checkout: Any, families: list[str]) -> None:
    """Nothing is shown as running, nothing was fitted twice, and DVC agrees with what lies there."""
    client = _client(checkout)
    states = {run.info.status for run in _runs(client)}
    assert "RUNNING" not in states
    assert states & {"KILLED", "FAILED"}
    finished = _runs(client, "tags.kind = 'candidate' and attributes.status = 'FINISHED'")
    assert sorted(run.data.tags["family"] for run in finished) == sorted(families), "something was fitted twice"
    with Repo(str(checkout.root)) as repo:
        assert repo.status(targets=[f"{checkout.root}/dvc.yaml:evaluate@digits"], with_deps=True) == {}


def test_a_run_recovers_from_the_death_of_the_tracking_server(checkout: Any, tracking_server: Any) -> None:
    """With the server killed while families are fitted, the run ends in one line; the next one finishes the job."""
    checkout.families({"decision_tree": {"components": 10}, "mlp": {"epochs": 20, "hidden": [64], "components": 60}})
    url, server = tracking_server()
    process = checkout.start("run", "digits", MLFLOW_TRACKING_URI=url, MLFLOW_HTTP_REQUEST_MAX_RETRIES="0")
    client = mlflow.MlflowClient(url)
    while not (client.get_experiment_by_name("digits") and _runs(client, "tags.family = 'mlp'")):
        time.sleep(0.1)
    server.kill()
    server.wait()
    assert process.wait(120) == 1
    tracking_server()
    done = checkout.digits("run", "digits", "--json", MLFLOW_TRACKING_URI=url)
    assert done.returncode == 0, done.stderr
    assert {row["family"] for row in json.loads(done.stdout)} == {"decision_tree", "mlp"}
    assert {run.info.status for run in _runs(client)} <= {"FINISHED", "FAILED", "KILLED"}
    finished = _runs(client, "tags.kind = 'candidate' and attributes.status = 'FINISHED'")
    assert sorted(run.data.tags["family"] for run in finished) == ["decision_tree", "mlp"], "something was fitted twice"
    asked = url.replace("://", "://me:secret@")
    with pytest.raises(MissingError, match=f"no run {32 * '0'} in MLflow at {url} "):
        Tracking.holding(asked, run_id=32 * "0", artifacts=checkout.artifacts)
