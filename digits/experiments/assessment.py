"""An assessment: one candidate scored once on the test rows, as they are and harmed, with its plots.

``scores`` knows where it lies. Does not know of other candidates, but of an ensemble's members; ``evaluation`` puts
them in order.
"""

from __future__ import annotations

import hashlib
import json
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, NonNegativeInt

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.experiments.candidate import Candidate
from digits.experiments.code import code_digests, reachable
from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.libraries import library_versions
from digits.experiments.metrics import Metrics
from digits.experiments.scores import (
    CONDITIONS,
    CORRUPTED_PROBA,
    METRICS,
    PROBA,
    files_of,
    mark_of,
    plots_folder,
    read_conditions,
    read_cost,
    read_metrics,
    scores_folder,
)
from digits.experiments.scoring import score_on_test
from digits.files import replaced_folder, write_json
from digits.models import artifact
from digits.models.ensembles import Ensemble
from digits.params import Section

__all__ = ["Assessment", "EvaluateParams", "assess", "is_assessed", "is_logged", "mark_assessed", "read_assessment"]

REPORT = "classification_report.txt"
CONFUSION_PLOT, MISCLASSIFIED_PLOT, CURVES_PLOT = "confusion_matrix.png", "misclassified.png", "learning_curves.png"
REPORT_PLOT = "class_report.png"
RELIABILITY_PLOT = "reliability.png"


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``.

    Attributes
    ----------
    confidence
        Nominal coverage of the intervals.
    claim
        The accuracy that is claimed of the best family; the test images reject the claim, or do not.
    corrupted_images
        How many of the test images are harmed in every way, to see what accuracy is left.
    label_errors
        Rows of the snapshot whose labels are known to be wrong. They count as they are labelled; how many of the
        mistakes are on them is told beside the score.
    """

    confidence: float = Field(default=0.95, gt=0, lt=1)
    claim: float = Field(default=0.95, gt=0, lt=1)
    corrupted_images: int = Field(default=200, ge=1, le=10_000)
    label_errors: tuple[NonNegativeInt, ...] = ()


class Assessment(NamedTuple):
    """What an assessment gives: the figures, also under conditions, and what the model costs to use."""

    metrics: Metrics
    conditions: list[Condition]
    cost: Cost


def assessment_key(candidate: Candidate, *, params: EvaluateParams) -> str:
    """Return the SHA-256 over what the assessment of a candidate depends on, code and libraries included."""
    modules = reachable(__name__, below="digits.experiments")
    parts = [
        candidate.fingerprint.digest,
        candidate.digest,
        # These are held against scores that are there: no score depends on them.
        params.model_dump_json(exclude={"claim", "label_errors"}),
        str(code_digests(modules)),
        str(library_versions(modules)),
    ]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def is_assessed(candidate: Candidate, *, params: EvaluateParams, evaluation: Path) -> bool:
    """Return whether `evaluation` holds the assessment of this very candidate, with the files that it gave."""
    mark = _mark(evaluation, candidate.family)
    found = mark.get("key"), mark.get("files")
    return found == (assessment_key(candidate, params=params), files_of(evaluation, candidate.family))


def is_logged(candidate: Candidate, *, evaluation: Path) -> bool:
    """Return whether the assessment in `evaluation` was logged onto the run that the candidate has now."""
    return bool(_mark(evaluation, candidate.family).get("run_id") == candidate.run_id)


def _mark(evaluation: Path, family: str) -> dict[str, Any]:
    try:
        mark = json.loads(mark_of(evaluation, family).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return mark if isinstance(mark, dict) else {}


def mark_assessed(candidate: Candidate, *, cost: Cost, params: EvaluateParams, evaluation: Path) -> None:
    """Say in `evaluation` that the assessment is whole, and logged where it is to be seen."""
    content = {
        "key": assessment_key(candidate, params=params),
        "run_id": candidate.run_id,
        "files": files_of(evaluation, candidate.family),
        "cost": cost.as_dict(),
    }
    write_json(mark_of(evaluation, candidate.family), content)


def read_assessment(evaluation: Path, family: str) -> Assessment:
    """Return what `assess` gave for a family whose assessment is in `evaluation`, marked as whole."""
    return Assessment(
        read_metrics(evaluation, family), read_conditions(evaluation, family), read_cost(evaluation, family)
    )


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
        The candidate gives probabilities that are none, or what it does raises.
    """
    try:
        return _assess(candidate, split=split, params=params, evaluation=evaluation)
    except (FitFailed, MissingError, OSError):
        raise
    except Exception as error:
        raise FitFailed(f"its assessment raised {type(error).__name__}: {error}") from error


def _assess(candidate: Candidate, *, split: Split, params: EvaluateParams, evaluation: Path) -> Assessment:
    snapshot, rows, labels = split.snapshot, split.test(), np.asarray(split.snapshot.labels())
    estimator = artifact.load(candidate.model)
    combined = partial(_combined, estimator, candidate=candidate, evaluation=evaluation)
    proba, corrupted, metrics, conditions, cost = score_on_test(
        estimator,
        split=split,
        model=candidate.model,
        threads=int(candidate.fingerprint.params["threads"]),
        confidence=params.confidence,
        n_harmed=params.corrupted_images,
        predict=combined if isinstance(estimator, Ensemble) else None,
    )
    with replaced_folder(scores_folder(evaluation, candidate.family)) as work:
        np.save(work / PROBA, proba, allow_pickle=False)
        np.save(work / CORRUPTED_PROBA, corrupted.astype(np.float32), allow_pickle=False)
        write_json(work / METRICS, metrics.model_dump(mode="json"))
        write_json(work / CONDITIONS, [condition.model_dump() for condition in conditions])
        (work / REPORT).write_text(metrics.report, encoding="utf-8")
    images = snapshot.images()[rows]
    with replaced_folder(plots_folder(evaluation, candidate.family)) as work:
        _draw(candidate, metrics=metrics, images=images, labels=labels[rows], proba=proba, split=split, folder=work)
    return Assessment(metrics, conditions, cost)


def _combined(
    estimator: Ensemble, images: NDArray[np.uint8], harmed: bool, *, candidate: Candidate, evaluation: Path
) -> NDArray[np.float64]:
    """Return what an ensemble makes of what its members have written of these images, and does not ask them again."""
    name = CORRUPTED_PROBA if harmed else PROBA
    written = [scores_folder(evaluation, member) / name for member in candidate.fingerprint.members]
    return estimator.combine(np.stack([np.load(path, allow_pickle=False) for path in written]))


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
    from digits.experiments import plots

    title = {"dataset": candidate.dataset, "family": candidate.family}
    plots.save_png(plots.confusion_matrix(metrics, split="test", **title), folder / CONFUSION_PLOT)
    plots.save_png(plots.class_report(metrics, split="test", **title), folder / REPORT_PLOT)
    gallery = plots.misclassified(
        images,
        y_true=labels,
        y_proba=proba,
        classes=metrics.classes,
        max_value=split.snapshot.max_value,
        dataset=candidate.dataset,
        family=candidate.family,
        split="test",
    )
    plots.save_png(gallery, folder / MISCLASSIFIED_PLOT)
    calibration = plots.reliability(metrics, y_true=labels, y_proba=proba, split="test", **title)
    plots.save_png(calibration, folder / RELIABILITY_PLOT)
    if candidate.history:
        curves = plots.learning_curves(candidate.history, n_samples=len(split.folds()[0].train), **title)
        plots.save_png(curves, folder / CURVES_PLOT)
