"""The same seed gives the same result, whatever runs beside and wherever it runs."""

from __future__ import annotations

import json
import shutil
from typing import Any

FAMILIES = {
    "sgd": {},
    "extra_trees": {"trees": 10},
    "svm": {},
    "mlp": {"epochs": 3},
    "cnn": {"epochs": 1},
    "voting": {"members": ["svm", "cnn"]},
}
TIMES = {"fit_seconds", "single_seconds", "batch_seconds", "run_id", "reused"}


def test_parallel_and_one_by_one_give_identical_metrics(make_checkout: Any) -> None:
    """Two runs, one with two workers and one with one, agree to the last bit, and so does a fit in its own process."""
    rows, digests = [], []
    for workers in ("2", "1"):
        checkout = make_checkout(FAMILIES)
        done = checkout.digits("run", "digits", "--json", DIGITS_WORKERS=workers)
        assert done.returncode == 0, done.stderr
        rows.append([{key: row[key] for key in row if key not in TIMES} for row in json.loads(done.stdout)])
        digests.append(_digests(checkout))
    assert len(rows[0]) == len(FAMILIES)
    assert rows[0] == rows[1]
    assert digests[0] == digests[1]

    shutil.rmtree(checkout.root / "mlflow")
    shutil.rmtree(checkout.root / "data/candidates/digits/families/svm")
    done = checkout.digits("fit", "digits", "svm", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["reused"] is False
    assert json.loads(done.stdout)["digest"] == digests[0]["svm"]


def _digests(checkout: Any) -> dict[str, str]:
    """Return family → digest of its model's files."""
    folder = checkout.root / "data" / "candidates" / "digits"
    return {path.parent.name: json.loads(path.read_text())["digest"] for path in folder.glob("*/*/candidate.json")}
