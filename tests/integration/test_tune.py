"""`digits tune`: a search is a flow of its own, goes on where it was left, and ends in a line for params.yaml."""

from __future__ import annotations

import json
from typing import Any

import pytest

from digits.settings import Settings
from digits.steps.memory import tracking
from digits.steps.tuning import experiment

pytest.importorskip("optuna", reason="the extra `tune` is not installed")


def test_a_search_goes_on_and_its_winner_is_written(kept: Any) -> None:
    """Trials are runs below their search in MLflow; the second call does those that are missing; the winner is used."""
    first = kept.digits("tune", "digits", "k_nearest_neighbors", "--trials", "2", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout)["trials"] == 2
    done = kept.digits("tune", "digits", "k_nearest_neighbors", "--trials", "4", "--write", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert (found["trials"], done.stderr.count("try ")) == (4, 2)
    assert found["accuracy"] >= found["before"] > 0.9
    runs = list(tracking(kept.project, experiment("digits"), settings=Settings.load(kept.root)).search(""))
    parents = {run.info.run_id for run in runs if run.data.tags["kind"] == "tuning"}
    trials = [run for run in runs if run.data.tags["kind"] == "trial"]
    assert (len(parents), len(trials)) == (2, 4)
    assert {run.data.tags["mlflow.parentRunId"] for run in trials} == parents
    assert max(run.data.metrics["validation_accuracy"] for run in trials) == pytest.approx(found["accuracy"])
    written = kept.project.params("digits").fit.families["k_nearest_neighbors"]
    assert found["written"] == (found["accuracy"] > found["before"])
    assert found["params"].startswith("k_nearest_neighbors: {")
    values = written.model_dump(exclude_defaults=True)
    assert not found["written"] or all(f"{name}: {value}" in found["params"] for name, value in values.items())


def test_what_cannot_be_searched_is_one_line(ran: Any) -> None:
    """A misspelt family is told before a server is started."""
    done = ran.digits("tune", "digits", "smv")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("digits: no family 'smv' in digits's params; it has ")
