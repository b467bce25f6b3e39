"""The same fit on one core and on two gives the same bits."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

# Fits one scikit-learn family and one tiny network on the cores that argv names, if the system lets it choose.
FITTED = """
import json, os, sys
os.sched_setaffinity(0, {int(core) for core in sys.argv[1:]})
from digits.settings import prepare_environment
prepare_environment()
import numpy as np
from sklearn.datasets import load_digits
from threadpoolctl import threadpool_limits
from digits.models.families import FAMILIES
bunch = load_digits()
X, y = bunch.images[:500].astype(np.uint8), bunch.target[:500]
params = {"mlp": {"epochs": 3}, "svm": {}, "cnn": {"epochs": 1, "stages": [[8], [16]], "strides": [1, 2],
          "normalised": [False, True], "batch_size": 50}}
found = {"cores": len(os.sched_getaffinity(0))}
for name, given in params.items():
    family = FAMILIES[name].model_validate(given)
    with threadpool_limits(family.threads):
        proba = family.build(seed=0).fit(X, y).predict_proba(bunch.images[500:700].astype(np.uint8))
    found[name] = proba.tobytes().hex()
json.dump(found, sys.stdout)
"""


@pytest.mark.skipif(
    not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) < 2,
    reason="a process cannot be given one core and two here",
)
def test_one_core_and_two_give_the_same_bits() -> None:
    """How many cores there are changes no probability of a network, a perceptron or an SVM in its last digit."""
    first, second = sorted(os.sched_getaffinity(0))[:2]

    def fitted(*cores: int) -> dict[str, Any]:
        command = [sys.executable, "-c", FITTED, *map(str, cores)]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    one, two = fitted(first), fitted(first, second)
    assert (one.pop("cores"), two.pop("cores")) == (1, 2)
    assert one == two
