"""Evaluation: the leaderboard of assessed candidates, the best one chosen on the validation rows.

Does not know how candidates came to be (``fitting``) or what becomes of the best one (``registry``).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.experiments.assessment import PLOTS, forget_others, read_cost, read_metrics, read_predicted
from digits.experiments.candidate import Candidate
from digits.experiments.comparison import Comparison, compare, tied_with
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics
from digits.files import write_json

__all__ = ["Evaluation", "Row", "evaluate", "ranked", "read_evaluation"]

DESCRIPTION, METRICS = "evaluation.json", "metrics.json"
#: What those who read the last evaluation rely on.
_READ = ("leaderboard", "failed", "confidence", "split", "comparisons", "label_errors")
LEADERBOARD_PLOT, SAMPLES_PLOT, AGREEMENT_PLOT = "leaderboard.png", "samples.png", "agreement.png"
PARETO_PLOT = "pareto.png"


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; ``as_dict`` gives the names that ``--json`` prints.

    Attributes
    ----------
    candidate
        The candidate.
    test
        What it scored on the test rows.
    cost
        What it costs to use.
    reused
        Whether it was remembered instead of fitted in the run that made this evaluation.
    tied
        Whether the test rows cannot tell it from the best; the best itself is.
    on_label_errors
        Number of its mistakes that are on test rows whose labels are known to be wrong.
    """

    candidate: Candidate
    test: Metrics
    cost: Cost
    reused: bool
    tied: bool = False
    on_label_errors: int = 0

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
        """Return the row as plain values: shares in ``[0, 1]``, log loss in nats, times in seconds, sizes in bytes."""
        return {
            "family": self.family,
            "validation_accuracy": self.validation_accuracy,
            "test_accuracy": self.test_accuracy,
            "test_accuracy_low": self.test_accuracy_low,
            "test_accuracy_high": self.test_accuracy_high,
            "macro_f1": self.test.macro.f1,
            "log_loss": self.test.log_loss,
            "fit_seconds": self.candidate.fit_seconds,
            **self.cost.as_dict(),
            "tied": self.tied,
            "mistakes": self.test.n_samples - self.test.n_correct,
            "mistakes_on_label_errors": self.on_label_errors,
            "run_id": self.candidate.run_id,
            "reused": self.reused,
        }


@dataclass(frozen=True)
class Evaluation:
    """Result of one evaluation: the leaderboard, best candidate first.

    Attributes
    ----------
    path
        Folder that holds ``evaluation.json`` (this machine's runs included), ``metrics.json`` (the figures alone),
        and what ``assessment`` wrote.
    rows
        One per candidate, best validation accuracy first; log loss on validation breaks ties.
    failed
        Family → why it has no candidate.
    comparisons
        Every pair of families on the same test rows.
    """

    path: Path
    rows: tuple[Row, ...]
    failed: Mapping[str, str]
    comparisons: tuple[Comparison, ...]

    @property
    def best(self) -> Row:
        """The row of the candidate that validation data chose."""
        return self.rows[0]

    @classmethod
    def load(cls, path: Path, *, candidate: Callable[[str], Path], split: Split) -> Self:
        """Read the evaluation in `path`, of candidates in the folders that `candidate` gives.

        Raises
        ------
        MissingError
            There is none, or it is of other candidates or another split than there are now.
        """
        content = read_evaluation(path)
        try:
            rows = tuple(
                Row(
                    candidate=Candidate.load(candidate(row["family"])),
                    test=read_metrics(path, row["family"]),
                    cost=read_cost(path, row["family"]),
                    reused=row["reused"],
                    tied=row["tied"],
                    on_label_errors=row["mistakes_on_label_errors"],
                )
                for row in content["leaderboard"]
            )
            comparisons = tuple(Comparison(**item) for item in content["comparisons"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _no_evaluation(path, error) from error
        fitted = {row.family: row.candidate.fingerprint.digest for row in rows}
        if fitted != content.get("fingerprints") or split.digest != content["split"]:
            raise MissingError(
                f"the evaluation in {path} is of other candidates than there are now; run `digits evaluate {path.name}`"
            )
        return cls(path=path, rows=rows, failed=content["failed"], comparisons=comparisons)


def read_evaluation(path: Path) -> dict[str, Any]:
    """Return the last evaluation in `path` as it was written: ``leaderboard``, ``failed``, ``confidence`` and digests.

    Raises
    ------
    MissingError
        There is none, or the file lacks a part.
    """
    try:
        content: dict[str, Any] = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        if lacking := [name for name in _READ if name not in content]:
            raise KeyError(*lacking)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise _no_evaluation(path, error) from error
    return content


def _no_evaluation(path: Path, error: Exception) -> MissingError:
    todo = f"run `digits run {path.name}`, or `digits evaluate {path.name}` where its candidates are there"
    return MissingError(f"no evaluation in {path} ({type(error).__name__}: {error}); {todo}")


def evaluate(
    candidates: Sequence[Candidate],
    *,
    split: Split,
    path: Path,
    reused: Iterable[str] = (),
    failed: Mapping[str, str] | None = None,
    label_errors: Sequence[int] = (),
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
    label_errors
        Rows of the snapshot whose labels are known to be wrong.

    Raises
    ------
    FitFailed
        There is no candidate at all.
    """
    if not candidates:
        reasons = "; ".join(f"{family}: {reason}" for family, reason in (failed or {}).items())
        raise FitFailed(f"no family gave a candidate ({reasons})")
    kept = set(reused)
    rows = ranked(
        Row(
            candidate=candidate,
            test=read_metrics(path, candidate.family),
            cost=read_cost(path, candidate.family),
            reused=candidate.family in kept,
        )
        for candidate in candidates
    )
    best = rows[0]
    labels = np.asarray(split.snapshot.labels())[split.test()]
    predicted = {row.family: read_predicted(path, row.family, split=split) for row in rows}
    comparisons = tuple(compare({family: labels == column for family, column in predicted.items()}))
    tied = {best.family, *tied_with(best.family, comparisons, confidence=best.test.confidence)}
    wrong_labels = np.isin(split.test(), label_errors)
    rows = tuple(
        replace(
            row,
            tied=row.family in tied,
            on_label_errors=int(np.sum(wrong_labels & (predicted[row.family] != labels))),
        )
        for row in rows
    )
    evaluation = Evaluation(path=path, rows=rows, failed=dict(failed or {}), comparisons=comparisons)
    forget_others(path, families={row.family for row in rows})
    _draw_overview(evaluation, split=split)
    _draw_agreement(predicted, labels, evaluation=evaluation, dataset=split.snapshot.dataset)
    write_json(path / METRICS, _figures(evaluation))
    write_json(
        path / DESCRIPTION,
        {
            "snapshot": split.snapshot.digest,
            "split": split.digest,
            "confidence": evaluation.best.test.confidence,
            "leaderboard": [row.as_dict() for row in evaluation.rows],
            "fingerprints": {row.family: row.candidate.fingerprint.digest for row in evaluation.rows},
            "failed": evaluation.failed,
            "label_errors": int(wrong_labels.sum()),
            "comparisons": [item.as_dict() for item in comparisons],
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


def _figures(evaluation: Evaluation) -> dict[str, Any]:
    """Return the figures that depend on nothing but params, data and code: those that commits are compared by."""
    names = ("validation_accuracy", "test_accuracy", "macro_f1", "log_loss")
    figures = {row.family: {name: row.as_dict()[name] for name in names} for row in evaluation.rows}
    return {"best": {"family": evaluation.best.family, **figures[evaluation.best.family]}, "families": figures}


def _draw_overview(evaluation: Evaluation, *, split: Split) -> None:
    from digits.experiments.canvas import save_png
    from digits.experiments.galleries import sample_grid
    from digits.experiments.pareto import pareto
    from digits.experiments.standings import leaderboard

    snapshot, best = split.snapshot, evaluation.best
    board = leaderboard(
        evaluation.rows,
        dataset=snapshot.dataset,
        n_validation=best.candidate.validation.n_samples,
        n_test=best.test.n_samples,
        confidence=best.test.confidence,
    )
    save_png(board, evaluation.path / PLOTS / LEADERBOARD_PLOT)
    # Times are never the same twice: not among what DVC keeps.
    prices = pareto(evaluation.rows, dataset=snapshot.dataset, n_test=best.test.n_samples)
    save_png(prices, evaluation.path / PARETO_PLOT)
    rows = split.development()
    samples = sample_grid(
        snapshot.images()[rows],
        np.asarray(snapshot.labels())[rows],
        max_value=snapshot.max_value,
        dataset=snapshot.dataset,
    )
    save_png(samples, evaluation.path / PLOTS / SAMPLES_PLOT)


def _draw_agreement(
    predicted: Mapping[str, NDArray[np.uint8]], labels: NDArray[np.uint8], *, evaluation: Evaluation, dataset: str
) -> None:
    from digits.experiments.agreement import agreement
    from digits.experiments.canvas import save_png

    if len(predicted) > 1:
        save_png(agreement(predicted, labels, dataset=dataset), evaluation.path / PLOTS / AGREEMENT_PLOT)
