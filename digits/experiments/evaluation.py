"""Evaluation: every candidate scored once on the test rows, the best one chosen on the validation rows.

Does not know how candidates came to be (``fitting``) or what becomes of the best one (``registry``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.experiments.candidate import Candidate
from digits.experiments.code import code_digests, reachable
from digits.experiments.metrics import Metrics, score
from digits.files import replaced_folder, write_json
from digits.models import artifact
from digits.models.ensembles import Ensemble
from digits.params import Section

__all__ = ["EvaluateParams", "Evaluation", "Row", "assess", "evaluate", "is_assessed"]

DESCRIPTION, LEADERBOARD_PLOT, SAMPLES_PLOT = "evaluation.json", "leaderboard.png", "samples.png"
KEY, PROBA, METRICS, REPORT = "key.txt", "test_proba.npy", "metrics.json", "classification_report.txt"
CONFUSION_PLOT, MISCLASSIFIED_PLOT, CURVES_PLOT = "confusion_matrix.png", "misclassified.png", "learning_curves.png"


class EvaluateParams(Section):
    """Section ``evaluate`` of ``params.yaml``."""

    confidence: float = Field(default=0.95, gt=0, lt=1)
    """Nominal coverage of the intervals."""


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; ``as_dict`` gives the names that ``--json`` prints.

    Attributes
    ----------
    candidate
        The candidate.
    test
        What it scored on the test rows.
    reused
        Whether it was remembered instead of fitted in the run that made this evaluation.
    """

    candidate: Candidate
    test: Metrics
    reused: bool

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.candidate.family

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on the rows that choose, in ``[0, 1]``."""
        return self.candidate.validation.accuracy

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test rows, in ``[0, 1]``."""
        return self.test.accuracy

    @property
    def test_accuracy_low(self) -> float:
        """Lower end of its interval."""
        return self.test.accuracy_interval[0]

    @property
    def test_accuracy_high(self) -> float:
        """Upper end of its interval."""
        return self.test.accuracy_interval[1]

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values: shares in ``[0, 1]``, log loss in nats, time in seconds."""
        return {
            "family": self.family,
            "validation_accuracy": self.validation_accuracy,
            "test_accuracy": self.test_accuracy,
            "test_accuracy_low": self.test_accuracy_low,
            "test_accuracy_high": self.test_accuracy_high,
            "macro_f1": self.test.macro.f1,
            "log_loss": self.test.log_loss,
            "fit_seconds": self.candidate.fit_seconds,
            "run_id": self.candidate.run_id,
            "reused": self.reused,
        }


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation: the leaderboard, best candidate first.

    Attributes
    ----------
    path
        Folder that holds ``evaluation.json``, the plots, and one folder per family.
    rows
        One per candidate, best validation accuracy first; log loss on validation breaks ties.
    failed
        Family → why it has no candidate.
    """

    path: Path
    rows: tuple[Row, ...]
    failed: Mapping[str, str]

    @property
    def best(self) -> Row:
        """The row of the candidate that validation data chose."""
        return self.rows[0]

    def folder(self, family: str) -> Path:
        """Return the folder of a family's plots and test predictions."""
        return self.path / family

    @classmethod
    def load(cls, path: Path, *, candidates: Path) -> Self:
        """Read the evaluation in `path`, of candidates in the folder `candidates`.

        Raises
        ------
        MissingError
            There is none, or a candidate of it is missing.
        """
        try:
            content = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
            rows = tuple(
                Row(
                    candidate=Candidate.load(candidates / row["family"]),
                    test=read_metrics(path / row["family"]),
                    reused=row["reused"],
                )
                for row in content["leaderboard"]
            )
            return cls(path=path, rows=rows, failed=content["failed"])
        except (OSError, ValueError, KeyError) as error:
            raise MissingError(
                f"no evaluation in {path} ({type(error).__name__}: {error}); run `digits run {path.name}`"
            ) from error


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
        (work / KEY).write_text(assessment_key(candidate, params=params), encoding="utf-8")
        _draw(candidate, metrics=metrics, images=images, labels=labels[rows], proba=proba, split=split, folder=work)
    return metrics


def evaluate(
    candidates: Sequence[Candidate],
    *,
    split: Split,
    path: Path,
    reused: Iterable[str] = (),
    failed: Mapping[str, str] | None = None,
) -> Evaluation:
    """Put assessed candidates in order and write the evaluation into `path`.

    Parameters
    ----------
    candidates
        Candidates whose folders below `path` hold what `assess` wrote.
    split
        What they were fitted and assessed on.
    path
        Folder of the evaluation.
    reused
        Families whose candidates were remembered, not fitted.
    failed
        Family → why it has no candidate.

    Raises
    ------
    FitFailed
        There is no candidate at all.
    """
    if not candidates:
        reasons = "; ".join(f"{family}: {reason}" for family, reason in (failed or {}).items())
        raise FitFailed(f"no family gave a candidate ({reasons})")
    kept = set(reused)
    rows = [
        Row(candidate=candidate, test=read_metrics(path / candidate.family), reused=candidate.family in kept)
        for candidate in candidates
    ]
    evaluation = Evaluation(path=path, rows=ranked(rows), failed=dict(failed or {}))
    _draw_overview(evaluation, split=split)
    write_json(
        path / DESCRIPTION,
        {
            "snapshot": split.snapshot.digest,
            "split": split.digest,
            "leaderboard": [row.as_dict() for row in evaluation.rows],
            "failed": evaluation.failed,
        },
    )
    return evaluation


def ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows best first, by validation data alone: accuracy, then log loss, then the family's name."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                -row.candidate.validation.accuracy,
                row.candidate.validation.log_loss,
                row.candidate.family,
            ),
        )
    )


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


def _draw_overview(evaluation: Evaluation, *, split: Split) -> None:
    from digits.experiments.canvas import save_png
    from digits.experiments.galleries import sample_grid
    from digits.experiments.standings import leaderboard

    snapshot, best = split.snapshot, evaluation.best
    board = leaderboard(
        evaluation.rows,
        dataset=snapshot.dataset,
        n_validation=best.candidate.validation.n_samples,
        n_test=best.test.n_samples,
        confidence=best.test.confidence,
    )
    save_png(board, evaluation.path / LEADERBOARD_PLOT)
    rows = split.development()
    samples = sample_grid(
        snapshot.images()[rows],
        np.asarray(snapshot.labels())[rows],
        max_value=snapshot.max_value,
        dataset=snapshot.dataset,
    )
    save_png(samples, evaluation.path / SAMPLES_PLOT)
