"""What assessments leave in the folder of an evaluation, family by family.

Predictions and metrics lie in ``scores/FAMILY``, plots in ``plots/FAMILY``, and in ``assessed/FAMILY.json`` of what
they are, and what belongs to this machine: the cost.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.data.split import Split
from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics
from digits.files import sha256_of_folder

__all__ = [
    "CONDITIONS",
    "CORRUPTED_PROBA",
    "METRICS",
    "PLOTS",
    "PROBA",
    "files_of",
    "forget_others",
    "mark_of",
    "plots_folder",
    "read_conditions",
    "read_cost",
    "read_metrics",
    "read_predicted",
    "read_proba",
    "scores_folder",
]

SCORES, PLOTS, ASSESSED = "scores", "plots", "assessed"
PROBA, METRICS = "test_proba.npy", "metrics.json"
CORRUPTED_PROBA, CONDITIONS = "corrupted_proba.npy", "conditions.json"


def scores_folder(evaluation: Path, family: str) -> Path:
    """Return the folder of a family's test predictions and metrics in the folder `evaluation`."""
    return evaluation / SCORES / family


def plots_folder(evaluation: Path, family: str) -> Path:
    """Return the folder of a family's plots in the folder `evaluation`."""
    return evaluation / PLOTS / family


def mark_of(evaluation: Path, family: str) -> Path:
    """Return the file that says of what the scores and plots of a family are."""
    return evaluation / ASSESSED / f"{family}.json"


def files_of(evaluation: Path, family: str) -> list[str]:
    """Return the digests of a family's scores and plots: DVC may bring others into their folders."""
    return [sha256_of_folder(part(evaluation, family)) for part in (scores_folder, plots_folder)]


def forget_others(evaluation: Path, *, families: Collection[str]) -> None:
    """Remove what `evaluation` holds of families that are not among `families`."""
    for folder in (evaluation / SCORES, evaluation / PLOTS):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and path.name not in families:
                shutil.rmtree(path)


def read_cost(evaluation: Path, family: str) -> Cost:
    """Read what a family that was marked as assessed costs to use."""
    return Cost(**json.loads(mark_of(evaluation, family).read_text(encoding="utf-8"))["cost"])


def read_metrics(evaluation: Path, family: str) -> Metrics:
    """Read the test metrics that `assess` wrote for a family."""
    return Metrics.model_validate_json((scores_folder(evaluation, family) / METRICS).read_text(encoding="utf-8"))


def read_conditions(evaluation: Path, family: str) -> list[Condition]:
    """Read what `assess` has found out about a family under conditions."""
    content = json.loads((scores_folder(evaluation, family) / CONDITIONS).read_text(encoding="utf-8"))
    return [Condition.model_validate(item) for item in content]


def read_proba(evaluation: Path, family: str) -> NDArray[np.float64]:
    """Read what a family that `assess` has scored said of each test image, ``(n_test, n_classes)``."""
    proba: NDArray[np.float64] = np.load(scores_folder(evaluation, family) / PROBA, allow_pickle=False)
    return proba


def read_predicted(evaluation: Path, family: str, *, split: Split) -> NDArray[np.uint8]:
    """Return ``(n_test,)`` uint8: what a family that `assess` has scored took each test image for."""
    classes = np.unique(split.snapshot.labels())
    predicted: NDArray[np.uint8] = classes[read_proba(evaluation, family).argmax(axis=1)]
    return predicted
