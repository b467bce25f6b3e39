"""An assessment: one candidate scored once on the test rows, with its plots.

It lies in the folder of an evaluation: predictions and metrics in ``scores/FAMILY``, plots in ``plots/FAMILY``, and in
``assessed/FAMILY.json`` of what, and what belongs to this machine: the cost. Does not know of other candidates, but of
an ensemble's members; ``evaluation`` puts them in order.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.experiments.candidate import Candidate
from digits.experiments.code import code_digests, reachable
from digits.experiments.cost import Cost, measure
from digits.experiments.metrics import Metrics, score
from digits.files import replaced_folder, sha256_of_folder, write_json
from digits.models import artifact
from digits.models.ensembles import Ensemble
from digits.params import Section

__all__ = [
    "Assessment",
    "EvaluateParams",
    "assess",
    "forget_others",
    "is_assessed",
    "mark_assessed",
    "plots_folder",
    "read_cost",
    "read_metrics",
    "read_predicted",
    "scores_folder",
]

SCORES, PLOTS, ASSESSED = "scores", "plots", "assessed"
PROBA, METRICS, REPORT = "test_proba.npy", "metrics.json", "classification_report.txt"
CONFUSION_PLOT, MISCLASSIFIED_PLOT, CURVES_PLOT = "confusion_matrix.png", "misclassified.png", "learning_curves.png"
RELIABILITY_PLOT = "reliability.png"


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``.

    Attributes
    ----------
    confidence
        Nominal coverage of the intervals.
    label_errors
        Rows of the snapshot whose labels are known to be wrong. They count as they are labelled; how many of the
        mistakes are on them is told beside the score.
    """

    confidence: float = Field(default=0.95, gt=0, lt=1)
    label_errors: tuple[NonNegativeInt, ...] = ()


class Assessment(NamedTuple):
    """What an assessment gives: the figures, and what the model costs to use."""

    metrics: Metrics
    cost: Cost


def assessment_key(candidate: Candidate, *, params: EvaluateParams) -> str:
    """Return the SHA-256 over what the assessment of a candidate depends on, the code included."""
    code = code_digests(reachable(__name__, below="digits.experiments"))
    parts = [candidate.fingerprint.digest, candidate.digest, str(candidate.run_id), params.model_dump_json(), str(code)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def scores_folder(evaluation: Path, family: str) -> Path:
    """Return the folder of a family's test predictions and metrics in the folder `evaluation`."""
    return evaluation / SCORES / family


def plots_folder(evaluation: Path, family: str) -> Path:
    """Return the folder of a family's plots in the folder `evaluation`."""
    return evaluation / PLOTS / family


def is_assessed(candidate: Candidate, *, params: EvaluateParams, evaluation: Path) -> bool:
    """Return whether `evaluation` holds an assessment of this very candidate, with the files that it gave."""
    try:
        mark = json.loads(_mark(evaluation, candidate.family).read_text(encoding="utf-8"))
        found = mark["key"], mark["files"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return found == (assessment_key(candidate, params=params), _files(evaluation, candidate.family))


def mark_assessed(candidate: Candidate, *, cost: Cost, params: EvaluateParams, evaluation: Path) -> None:
    """Say in `evaluation` that the assessment is whole, and logged where it is to be seen."""
    content = {
        "key": assessment_key(candidate, params=params),
        "files": _files(evaluation, candidate.family),
        "cost": cost.as_dict(),
    }
    write_json(_mark(evaluation, candidate.family), content)


def forget_others(evaluation: Path, *, families: Collection[str]) -> None:
    """Remove what `evaluation` holds of families that are not among `families`."""
    for folder in (evaluation / SCORES, evaluation / PLOTS):
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.is_dir() and path.name not in families:
                shutil.rmtree(path)


def assess(candidate: Candidate, *, split: Split, params: EvaluateParams, evaluation: Path) -> Assessment:
    """Score one candidate on the test rows, draw its plots, and measure what it costs to use.

    Parameters
    ----------
    candidate
        The candidate. An ensemble's members are assessed already: their predictions are combined instead of being
        computed again.
    split
        Whose test rows are read.
    params
        Section ``evaluate``.
    evaluation
        Folder of the evaluation.

    Raises
    ------
    FitFailed
        The candidate gives probabilities that are none.
    """
    snapshot, rows = split.snapshot, split.test()
    images, labels = snapshot.images()[rows], np.asarray(snapshot.labels())
    estimator = artifact.load(candidate.model)
    members = [scores_folder(evaluation, member) for member in candidate.fingerprint.members]
    with threadpool_limits(limits=int(candidate.fingerprint.params["threads"])):
        if isinstance(estimator, Ensemble):
            proba = estimator.combine(np.stack([np.load(folder / PROBA, allow_pickle=False) for folder in members]))
        else:
            proba = _aligned(estimator.predict_proba(images), estimator.classes_, classes=np.unique(labels))
        cost = measure(estimator, images, model=candidate.model)
    metrics = score(labels[rows], proba, classes=np.unique(labels).tolist(), confidence=params.confidence)
    with replaced_folder(scores_folder(evaluation, candidate.family)) as work:
        np.save(work / PROBA, proba, allow_pickle=False)
        write_json(work / METRICS, metrics.model_dump(mode="json"))
        (work / REPORT).write_text(metrics.report, encoding="utf-8")
    with replaced_folder(plots_folder(evaluation, candidate.family)) as work:
        _draw(candidate, metrics=metrics, images=images, labels=labels[rows], proba=proba, split=split, folder=work)
    return Assessment(metrics, cost)


def read_cost(evaluation: Path, family: str) -> Cost:
    """Read what a family that was marked as assessed costs to use."""
    return Cost(**json.loads(_mark(evaluation, family).read_text(encoding="utf-8"))["cost"])


def read_metrics(evaluation: Path, family: str) -> Metrics:
    """Read the test metrics that `assess` wrote for a family."""
    return Metrics.model_validate_json((scores_folder(evaluation, family) / METRICS).read_text(encoding="utf-8"))


def read_predicted(evaluation: Path, family: str, *, split: Split) -> NDArray[np.uint8]:
    """Return ``(n_test,)`` uint8: what a family that `assess` has scored took each test image for."""
    proba = np.load(scores_folder(evaluation, family) / PROBA, allow_pickle=False)
    predicted: NDArray[np.uint8] = np.unique(split.snapshot.labels())[proba.argmax(axis=1)]
    return predicted


def _files(evaluation: Path, family: str) -> list[str]:
    """Return the digests of a family's scores and plots: DVC may bring others into their folders."""
    return [sha256_of_folder(part(evaluation, family)) for part in (scores_folder, plots_folder)]


def _mark(evaluation: Path, family: str) -> Path:
    return evaluation / ASSESSED / f"{family}.json"


def _aligned(proba: NDArray[np.float64], columns: NDArray[Any], *, classes: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return probabilities with one column per class of the dataset, also for those that a fit has never seen."""
    if len(columns) == len(classes):
        return proba
    aligned = np.zeros((len(proba), len(classes)))
    aligned[:, np.searchsorted(classes, columns)] = proba
    return aligned


def _draw(
    candidate: Candidate,
    *,
    metrics: Metrics,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    proba: NDArray[np.float64],
    split: Split,
    folder: Path,
) -> None:
    from digits.experiments.canvas import save_png
    from digits.experiments.galleries import misclassified
    from digits.experiments.plots import confusion_matrix, learning_curves
    from digits.experiments.reliability import reliability

    title = {"dataset": candidate.dataset, "family": candidate.family}
    save_png(confusion_matrix(metrics, split="test", **title), folder / CONFUSION_PLOT)
    gallery = misclassified(
        images,
        y_true=labels,
        y_proba=proba,
        classes=metrics.classes,
        max_value=split.snapshot.max_value,
        dataset=candidate.dataset,
        family=candidate.family,
        split="test",
    )
    save_png(gallery, folder / MISCLASSIFIED_PLOT)
    confidence, right = proba.max(axis=1), np.asarray(metrics.classes)[proba.argmax(axis=1)] == labels
    calibration = reliability(metrics, confidence=confidence, right=right, split="test", **title)
    save_png(calibration, folder / RELIABILITY_PLOT)
    if candidate.history:
        curves = learning_curves(candidate.history, n_samples=len(split.folds()[0].train), **title)
        save_png(curves, folder / CURVES_PLOT)
