"""The pictures of how well each family reads each digit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits.experiments.canvas import INK, blank, panel, rule, shades
from digits.experiments.metrics import Averages

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from digits.experiments.metrics import Metrics

__all__ = ["class_report", "per_digit"]

WIDE, HIGH = 0.56, 0.36  # inches of a cell


def per_digit(metrics: Mapping[str, Metrics], *, dataset: str) -> Figure:
    """Draw the F1 score of every family for every digit; what is coloured is what a digit falls short.

    Parameters
    ----------
    metrics
        Family → its figures, best family first; all of the same classes.
    dataset
        What the heading says.
    """
    one = next(iter(metrics.values()))
    scores = np.array([[each.per_class[label].f1 for label in one.classes] for each in metrics.values()])
    return _heatmap(
        scores,
        rows=list(metrics),
        columns=[str(label) for label in one.classes],
        title=f"Which digits are hard on {dataset}",
        subtitle=f"F1 score in %, {one.n_samples:,} test images",
    )


def class_report(metrics: Metrics, *, dataset: str, family: str, split: str) -> Figure:
    """Draw precision, recall and F1 score of a family for every digit; what is coloured is what they fall short.

    Parameters
    ----------
    metrics
        Its figures.
    dataset, family, split
        What the heading says.
    """
    per_class = metrics.per_class
    return _heatmap(
        np.array([tuple(averages) for averages in per_class.values()]),
        rows=[str(label) for label in per_class],
        columns=[name.capitalize() for name in Averages._fields],
        title=f"{family} on {dataset}, digit by digit",
        subtitle=f"in %, {metrics.n_samples:,} {split} images",
    )


def _heatmap(scores: NDArray[np.float64], *, rows: list[str], columns: list[str], title: str, subtitle: str) -> Figure:
    """Draw scores in ``[0, 1]``, ``(n_rows, n_columns)``, as percentages."""
    n_rows, n_columns = scores.shape
    width, height = max(WIDE * n_columns, 3.0), HIGH * n_rows
    figure = blank(width=max(width + 2.1, 5.2), height=height + 0.65, title=title, subtitle=subtitle)
    axes = panel(figure, left=1.75, bottom=0.2, width=width, height=height)
    axes.imshow(1 - scores, cmap=shades(), vmin=0, vmax=max(0.01, float(1 - scores.min())), aspect="auto")
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "color": INK}
    for (row, column), score in np.ndenumerate(scores):
        axes.text(column, row, f"{100 * score:.1f}", **style)
    axes.set_yticks(range(n_rows), rows, fontsize=9.5)
    axes.set_xticks(range(n_columns), columns, fontsize=11, fontweight="bold")
    axes.xaxis.tick_top()
    rule(axes, rows=n_rows, columns=n_columns)
    return figure
