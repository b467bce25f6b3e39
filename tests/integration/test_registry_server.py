"""The registry on a real MLflow server: everything goes over HTTP, artifacts too."""

from __future__ import annotations

import warnings
from typing import Any

import mlflow  # noqa: TID253 - the test needs it
import numpy as np
import pytest

from digits.errors import GateFailed
from digits.registry.versions import Registry
from digits.settings import Settings
from digits.steps import promotion, stages
from digits.steps.memory import tracking


def test_promotion_on_a_server(stocked: Any, tracking_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Better is promoted, worse refused; rollback restores the bits, and alias and stage give plain MLflow the same."""
    url, _ = tracking_server()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", url)
    memory = tracking(stocked.project, "digits", settings=Settings.load(stocked.root))
    assert stocked.registered({"decision_tree": {"components": 10}, "logistic_regression": {}}, memory) == [1, 2]
    images = np.load(stocked.root / "data/snapshots/digits/images.npy")[-50:]

    def loaded(way: str) -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of stages, which MLflow will drop
            answer: np.ndarray = mlflow.pyfunc.load_model(f"models:/digits-classifier{way}").predict(images).to_numpy()
        return answer

    before = loaded("@production")
    done = stocked.digits("registry", "promote", "digits", MLFLOW_TRACKING_URI=url)
    assert done.returncode == 0, done.stderr
    np.testing.assert_array_equal(loaded("@production"), loaded("/Production"))
    assert not np.array_equal(loaded("@production"), before)
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=1)
    with pytest.raises(GateFailed, match="the champion stays"):
        promotion.conclude(stocked.project, "digits", proposal, memory=memory)
    stages.rollback(stocked.project, "digits", memory=memory)
    np.testing.assert_array_equal(loaded("@production"), before)
    assert stages.faults(stocked.project, memory=memory) == []
    assert [entry.outcome for entry in Registry(memory).ledger.entries()] == [
        *("promoted", "promoted", "promoted", "refused", "rolled back")
    ]
