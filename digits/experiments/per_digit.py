"""The picture of how well each family reads each digit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from digits.experiments.canvas import INK, blank, panel, rule, shades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from digits.experiments.metrics import Metrics

__all__ = ["per_digit"]

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
    names, one = list(metrics), next(iter(metrics.values()))
    scores = np.array([[each.per_class[label].f1 for label in one.classes] for each in metrics.values()])
    n_rows, n_columns = scores.shape
    width, height = WIDE * n_columns, HIGH * n_rows
    figure = blank(
        width=max(width + 2.1, 5.2),
        height=height + 0.65,
        title=f"Which digits are hard on {dataset}",
        subtitle=f"F1 score in %, {one.n_samples:,} test images",
    )
    axes = panel(figure, left=1.75, bottom=0.2, width=width, height=height)
    axes.imshow(1 - scores, cmap=shades(), vmin=0, vmax=max(0.01, float(1 - scores.min())), aspect="auto")
    style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5, "color": INK}
    for (row, column), score in np.ndenumerate(scores):
        axes.text(column, row, f"{100 * score:.1f}", **style)
    axes.set_yticks(range(n_rows), names, fontsize=9.5)
    axes.set_xticks(range(n_columns), [str(label) for label in one.classes], fontsize=11, fontweight="bold")
    axes.xaxis.tick_top()
    rule(axes, rows=n_rows, columns=n_columns)
    return figure
