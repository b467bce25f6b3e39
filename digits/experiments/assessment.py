"""An assessment: one candidate scored once on the test rows, with its plots, in a folder of its own.

Does not know of other candidates; ``evaluation`` puts them in order.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.experiments.candidate import Candidate
from digits.experiments.code import code_digests, reachable
from digits.experiments.metrics import Metrics, score
from digits.files import replaced_file, replaced_folder, write_json
from digits.models import artifact
from digits.models.ensembles import Ensemble
from digits.params import Section

__all__ = ["EvaluateParams", "assess", "is_assessed", "mark_assessed", "read_metrics"]

KEY, PROBA, METRICS, REPORT = "key.txt", "test_proba.npy", "metrics.json", "classification_report.txt"
CONFUSION_PLOT, MISCLASSIFIED_PLOT, CURVES_PLOT = "confusion_matrix.png", "misclassified.png", "learning_curves.png"


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``.

    Attributes
    ----------
    confidence
        Nominal coverage of the intervals.
    """

    confidence: float = Field(default=0.95, gt=0, lt=1)


def assessment_key(candidate: Candidate, *, params: EvaluateParams) -> str:
    """Return the SHA-256 over what the assessment of a candidate depends on, the code included."""
    code = code_digests(reachable(__name__, below="digits.experiments"))
    parts = [candidate.fingerprint.digest, candidate.digest, str(candidate.run_id), params.model_dump_json(), str(code)]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_assessed(candidate: Candidate, *, params: EvaluateParams, path: Path) -> bool:
    """Return whether `path` holds an assessment of this very candidate."""
    try:
        return (path / KEY).read_text(encoding="utf-8") == assessment_key(candidate, params=params)
    except OSError:
        return False


def mark_assessed(candidate: Candidate, *, params: EvaluateParams, path: Path) -> None:
    """Say in `path` that the assessment is whole, and logged where it is to be seen."""
    with replaced_file(path / KEY) as work:
        work.write_text(assessment_key(candidate, params=params), encoding="utf-8")


def assess(
    candidate: Candidate, *, split: Split, params: EvaluateParams, path: Path, member_proba: Sequence[Path] = ()
) -> Metrics:
    """Score one candidate on the test rows and draw its plots into the folder `path`.

    Parameters
    ----------
    candidate
        The candidate.
    split
        Whose test rows are read.
    params
        Section ``evaluate``.
    path
        Folder of the candidate's evaluation.
    member_proba
        For an ensemble: its members' evaluated folders, in its own order; their predictions are combined instead of
        being computed again.

    Raises
    ------
    FitFailed
        The candidate gives probabilities that are none.
    """
    snapshot, rows = split.snapshot, split.test()
    images, labels = snapshot.images()[rows], np.asarray(snapshot.labels())
    estimator = artifact.load(candidate.model)
    with threadpool_limits(limits=int(candidate.fingerprint.params["threads"])):
        if isinstance(estimator, Ensemble) and member_proba:
            proba = estimator.combine(
                np.stack([np.load(folder / PROBA, allow_pickle=False) for folder in member_proba])
            )
        else:
            proba = _aligned(estimator.predict_proba(images), estimator.classes_, classes=np.unique(labels))
    metrics = score(labels[rows], proba, classes=np.unique(labels).tolist(), confidence=params.confidence)
    with replaced_folder(path) as work:
        np.save(work / PROBA, proba, allow_pickle=False)
        write_json(work / METRICS, metrics.model_dump(mode="json"))
        (work / REPORT).write_text(metrics.report, encoding="utf-8")
        _draw(candidate, metrics=metrics, images=images, labels=labels[rows], proba=proba, split=split, folder=work)
    return metrics


def read_metrics(folder: Path) -> Metrics:
    """Read the test metrics that `assess` wrote into a candidate's folder."""
    return Metrics.model_validate_json((folder / METRICS).read_text(encoding="utf-8"))


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
    if candidate.history:
        curves = learning_curves(candidate.history, n_samples=len(split.folds()[0].train), **title)
        save_png(curves, folder / CURVES_PLOT)
