"""The pictures of all families side by side, and of the dataset they were fitted on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from digits.data.split import Split
from digits.experiments import plots
from digits.experiments.leaderboard import Row
from digits.experiments.scores import read_predicted, read_proba
from digits.files import sha256_of_file

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["PICTURES", "draw_picture", "pictures_of"]


def pictures_of(path: Path) -> dict[str, str]:
    """Return picture → SHA-256 of those that are in the folder of an evaluation."""
    return {name: sha256_of_file(path / name) for name in PICTURES if (path / name).is_file()}


def draw_picture(*, name: str, rows: Sequence[Row], split: Split, path: Path) -> None:
    """Draw one picture into the folder of an evaluation.

    Parameters
    ----------
    name
        One of `PICTURES`.
    rows
        The leaderboard, best first.
    split
        What the families were fitted and assessed on.
    path
        Folder of the evaluation, with what the assessments wrote.
    """
    plots.save_png(_FIGURES[name](rows, split, path), path / name)


def _leaderboard(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    best = rows[0]
    return plots.leaderboard(
        rows,
        dataset=split.snapshot.dataset,
        n_validation=best.candidate.validation.n_samples,
        n_test=best.test.n_samples,
        confidence=best.test.confidence,
    )


def _agreement(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    predicted = {row.family: read_predicted(path, row.family, split=split) for row in rows}
    return plots.agreement(predicted, _truth(split), dataset=split.snapshot.dataset)


def _pareto(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    return plots.pareto(rows, dataset=split.snapshot.dataset, n_test=rows[0].test.n_samples)


def _digits(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    return plots.per_digit({row.family: row.test for row in rows}, dataset=split.snapshot.dataset)


def _curves(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    proba = {row.family: read_proba(path, row.family) for row in rows}
    truth = _truth(split)[:, np.newaxis] == np.array(rows[0].test.classes)
    return plots.roc_and_precision_recall(proba, truth, dataset=split.snapshot.dataset)


def _robustness(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    return plots.robustness({row.family: row.conditions for row in rows}, dataset=split.snapshot.dataset)


def _samples(rows: Sequence[Row], split: Split, path: Path) -> Figure:
    snapshot, seen = split.snapshot, split.development()
    images, labels = snapshot.images()[seen], np.asarray(snapshot.labels())[seen]
    return plots.sample_grid(images, labels, max_value=snapshot.max_value, dataset=snapshot.dataset)


def _truth(split: Split) -> NDArray[np.uint8]:
    truth: NDArray[np.uint8] = np.asarray(split.snapshot.labels())[split.test()]
    return truth


#: In the order in which one looks at them. Times are never the same twice: not among the plots that DVC keeps.
_FIGURES: Mapping[str, Callable[[Sequence[Row], Split, Path], Figure]] = {
    "plots/leaderboard.png": _leaderboard,
    "plots/agreement.png": _agreement,
    "pareto.png": _pareto,
    "plots/digits.png": _digits,
    "plots/roc_precision_recall.png": _curves,
    "plots/robustness.png": _robustness,
    "plots/samples.png": _samples,
}
PICTURES = tuple(_FIGURES)
