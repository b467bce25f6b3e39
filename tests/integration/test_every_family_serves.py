"""Every family's registered version is read by plain MLflow in another process, from raw images."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from digits.experiments.cost import Cost
from digits.experiments.leaderboard import Row
from digits.models import artifact
from digits.models.families import FAMILIES
from digits.registry.gate import Decision
from digits.registry.versions import Registry
from digits.settings import Settings
from digits.steps import candidates, data

# Small enough for seconds; what makes a family itself is kept.
QUICK: dict[str, dict[str, Any]] = {
    "random_forest": {"trees": 3},
    "extra_trees": {"trees": 3},
    "gradient_boosting": {"rounds": 2, "components": 10},
    "mlp": {"epochs": 1},
    "dense_network": {"epochs": 1, "batch_size": 200},
    "cnn": {"stages": [[4], [4]], "strides": [1, 2], "normalised": [False, True], "epochs": 1, "batch_size": 200},
    "rnn": {"units": 4, "epochs": 1, "batch_size": 200},
    "voting": {"members": ["svm", "dense_network"]},
    "stacking": {"members": ["svm", "dense_network"]},
}

READ = """
import sys, warnings
import mlflow, numpy as np
uri, images, numbers = sys.argv[1], np.load(sys.argv[2]), sys.argv[4].split()
mlflow.set_tracking_uri(uri)
answers = {}
for number in numbers:
    mlflow.MlflowClient().set_registered_model_alias("digits-classifier", "production", number)
    answers[number] = mlflow.pyfunc.load_model("models:/digits-classifier@production").predict(images).to_numpy()
np.savez(sys.argv[3], **answers)
"""


@pytest.fixture(scope="module")
def fitted(make_checkout: Any) -> tuple[Any, dict[str, Any]]:
    """Return a checkout with a tiny candidate of every family."""
    checkout = make_checkout({name: QUICK.get(name, {}) for name in FAMILIES})
    checkout.params(split={"validation": {"take": "fraction", "fraction": 0.2}})
    data.ingest(checkout.project, "digits", settings=Settings.load(checkout.root))
    data.validate(checkout.project, "digits")
    data.split(checkout.project, "digits")
    memory = checkout.memory()
    with threadpool_limits(1):
        found = {name: candidates.fit(checkout.project, "digits", name, memory=memory).candidate for name in FAMILIES}
    return checkout, found


def test_every_family_serves(fitted: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    """`models:/…@production` gives the candidate's digits and probabilities, to the rounding of single precision."""
    checkout, found = fitted
    registry, rows = Registry(checkout.memory()), data.load_split(checkout.project, "digits")
    images = np.asarray(rows.snapshot.images()[rows.test()[:60]])
    assert images.dtype == np.uint8
    np.save(tmp_path / "images.npy", images)
    numbers = {}
    for name, candidate in found.items():
        row = Row(candidate=candidate, test=candidate.validation, cost=Cost(1, 1, 1), reused=False)
        made = registry.create(row, snapshot=rows.snapshot, n_label_errors=0, decision=Decision(()), tags={})
        numbers[name] = str(made.version)
    command = [checkout.project.tracking_uri, *(str(tmp_path / name) for name in ("images.npy", "answers.npz"))]
    done = subprocess.run(
        [sys.executable, "-c", READ, *command, " ".join(numbers.values())],
        cwd=tmp_path,
        env=checkout.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert len(numbers) == 14, json.dumps(numbers)
    with np.load(tmp_path / "answers.npz") as answers, threadpool_limits(1):
        for name, candidate in found.items():
            expected = artifact.load(candidate.model).predict_proba(images)
            np.testing.assert_allclose(answers[numbers[name]][:, 1:], expected, rtol=0, atol=1e-6, err_msg=name)
            np.testing.assert_array_equal(answers[numbers[name]][:, 0], expected.argmax(axis=1), err_msg=name)
