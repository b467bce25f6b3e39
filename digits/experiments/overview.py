"""The pictures of all families side by side, and of the dataset they were fitted on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digits.data.split import Split
from digits.experiments import plots
from digits.experiments.leaderboard import Row
from digits.experiments.scores import read_predicted, read_proba

__all__ = ["PICTURES", "draw_overview", "is_drawn"]

LEADERBOARD, AGREEMENT, PARETO = "plots/leaderboard.png", "plots/agreement.png", "pareto.png"
DIGITS, CURVES, ROBUSTNESS = "plots/digits.png", "plots/roc_precision_recall.png", "plots/robustness.png"
SAMPLES = "plots/samples.png"

#: In the order in which one looks at them. Times are never the same twice: not among the plots that DVC keeps.
PICTURES = (LEADERBOARD, AGREEMENT, PARETO, DIGITS, CURVES, ROBUSTNESS, SAMPLES)


def is_drawn(path: Path) -> bool:
    """Return whether the pictures are in the folder of an evaluation."""
    return all((path / name).is_file() for name in PICTURES)


def draw_overview(rows: Sequence[Row], *, split: Split, path: Path) -> None:
    """Draw the pictures of an evaluation into its folder.

    Parameters
    ----------
    rows
        The leaderboard, best first.
    split
        What the families were fitted and assessed on.
    path
        Folder of the evaluation, with what the assessments wrote.
    """
    snapshot, best = split.snapshot, rows[0]
    dataset, n_test = snapshot.dataset, best.test.n_samples
    images, labels = snapshot.images(), np.asarray(snapshot.labels())
    truth, seen = labels[split.test()], split.development()
    figures = {
        LEADERBOARD: plots.leaderboard(
            rows,
            dataset=dataset,
            n_validation=best.candidate.validation.n_samples,
            n_test=n_test,
            confidence=best.test.confidence,
        ),
        SAMPLES: plots.sample_grid(images[seen], labels[seen], max_value=snapshot.max_value, dataset=dataset),
        DIGITS: plots.per_digit({row.family: row.test for row in rows}, dataset=dataset),
        CURVES: plots.roc_and_precision_recall(
            {row.family: read_proba(path, row.family) for row in rows},
            truth[:, np.newaxis] == np.unique(labels),
            dataset=dataset,
        ),
        ROBUSTNESS: plots.robustness({row.family: row.conditions for row in rows}, dataset=dataset),
        AGREEMENT: plots.agreement(
            {row.family: read_predicted(path, row.family, split=split) for row in rows}, truth, dataset=dataset
        ),
        PARETO: plots.pareto(rows, dataset=dataset, n_test=n_test),
    }
    for name, figure in figures.items():
        plots.save_png(figure, path / name)
