"""The picture of what a threshold on the probabilities buys: ROC and precision-recall curves of all families."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from digits.experiments.canvas import BLUE, FAINT, GRID, INK, ORANGE, PALE, blank, panel, percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["roc_and_precision_recall"]

SIDE, LEFT, BETWEEN = 3.6, 0.85, 1.0  # inches

#: So many points side by side can be told apart on a panel; a straight line of a curve is drawn in so many pieces.
POINTS, BETWEEN_TWO = 400, 16


def roc_and_precision_recall(
    proba: Mapping[str, NDArray[np.float64]], truth: NDArray[np.bool_], *, dataset: str
) -> Figure:
    """Draw both curves for every family, every digit against the rest, all of them pooled.

    The false positive rate is on a logarithmic axis: good classifiers live where it is small. The best family is
    blue, the one with the least area under the ROC curve orange if it is another one, the others grey.

    Parameters
    ----------
    proba
        Family → ``(n_samples, n_classes)`` probabilities, best family first.
    truth
        ``(n_samples, n_classes)`` bool: whether an image is of a class.
    dataset
        What the heading says.
    """
    from sklearn.metrics import auc, precision_recall_curve, roc_curve

    flat, best = truth.ravel(), next(iter(proba))
    curves = {family: roc_curve(flat, each.ravel()) for family, each in proba.items()}
    areas = {family: auc(rates[0], rates[1]) for family, rates in curves.items()}
    worst = min(areas, key=lambda family: areas[family])
    colours = {best: BLUE, worst: ORANGE} | {best: BLUE}
    styles = {ORANGE: (1.6, 3), BLUE: (1.8, 4)}
    figure = blank(
        width=LEFT + 2 * SIDE + BETWEEN + 0.5,
        height=SIDE + 1.1,
        title=f"What a threshold buys on {dataset}",
        subtitle=f"{len(truth):,} test images; each digit against the rest, all pooled; shares from 50\u202f% upwards",
    )
    left, right = (
        panel(figure, left=LEFT + place * (SIDE + BETWEEN), bottom=0.95, width=SIDE, height=SIDE) for place in (0, 1)
    )
    smallest = 0.5 / np.count_nonzero(~flat)
    for family, each in proba.items():
        colour = colours.get(family, PALE)
        width, layer = styles.get(colour, (1.1, 2))
        false_positives, true_positives, _ = curves[family]
        # Whoever flips a coin between two thresholds is on the line between them, and the area is that below it.
        lines = [_traced(rates) for rates in (false_positives, true_positives)]
        _line(left, np.maximum(lines[0], smallest), lines[1], colour=colour, width=width, layer=layer)
        precision, recall, _ = precision_recall_curve(flat, each.ravel())
        _line(right, recall, precision, colour=colour, width=width, layer=layer, style="steps-post")
    left.set_xscale("log")
    left.set_xlim(smallest, 1)
    _name(left, x="false positive rate", y="true positive rate (recall)")
    _name(right, x="recall", y="precision")
    for place, (family, colour) in enumerate(colours.items()):
        words = f"{family}: area under the pooled ROC {areas[family]:.4f}"
        figure.text((LEFT + place * (SIDE + BETWEEN)) / figure.get_figwidth(), 0.04, words, color=colour, fontsize=9)
    return figure


def _line(
    axes: Axes,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    *,
    colour: str,
    width: float,
    layer: int,
    style: Literal["default", "steps-post"] = "default",
) -> None:
    """Draw a curve through those of its points that can be told apart on paper."""
    across = np.log(x) / np.log(x.min()) if x.min() > 0 else x
    cells = np.round(POINTS * np.column_stack([across, 2 * y])).astype(np.int64)  # half of the height is drawn
    kept = np.append(True, np.any(np.diff(cells, axis=0), axis=1))
    kept[-1] = True
    axes.plot(
        x[kept],
        y[kept],
        color=colour,
        linewidth=width,
        zorder=layer,
        drawstyle=style,
    )


def _traced(rates: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a curve's coordinates with more points on each of its straight lines, which a logarithmic axis bends."""
    places = np.arange(len(rates))
    between = np.linspace(0, places[-1], BETWEEN_TWO * places[-1] + 1)
    return np.interp(between, places, rates)


def _name(axes: Axes, *, x: str, y: str) -> None:
    from matplotlib.ticker import FuncFormatter, NullFormatter

    axes.set_ylim(0.5, 1.01)
    axes.set_xlabel(x, fontsize=9, color=FAINT)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda share, _: percent(share, decimals=0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:.4g}\u202f%"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
