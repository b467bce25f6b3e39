"""Every plot of an evaluation, each a function that returns a figure; `save_png` writes it.

Those of one family's matrix and epochs are drawn here, the others in modules of their own; ``canvas`` holds the common
look. This module is the door to all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits.errors import FitFailed
from digits.experiments.agreement import agreement
from digits.experiments.canvas import (
    BLUE,
    FAINT,
    GRID,
    INK,
    MARGIN,
    ORANGE,
    blank,
    panel,
    percent,
    rule,
    save_png,
    shades,
)
from digits.experiments.galleries import misclassified, sample_grid
from digits.experiments.metrics import Metrics
from digits.experiments.pareto import Priced, pareto
from digits.experiments.per_digit import class_report, per_digit
from digits.experiments.reliability import reliability
from digits.experiments.robustness import robustness
from digits.experiments.roc import roc_and_precision_recall
from digits.experiments.standings import Standing, leaderboard
from digits.experiments.statistics import interval_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "Priced",
    "Standing",
    "agreement",
    "class_report",
    "confusion_matrix",
    "leaderboard",
    "learning_curves",
    "misclassified",
    "pareto",
    "per_digit",
    "reliability",
    "robustness",
    "roc_and_precision_recall",
    "sample_grid",
    "save_png",
]

# So many mistakes of one kind are the least that is drawn in the darkest colour: one or two may be chance.
DARKEST_FROM = 5
# A loss that falls by more than this is drawn on a logarithmic axis, or its second half would be a flat line.
LOGARITHMIC_FROM = 10
# Up to this many epochs each one is marked with a dot.
DOTS_UP_TO = 40


def confusion_matrix(metrics: Metrics, *, dataset: str, family: str, split: str) -> Figure:
    """Draw the confusion matrix with recall beside the rows and precision below the columns.

    Only the mistakes are coloured, by their number: on one scale with the diagonal those of a good family would all
    look like nothing.
    """
    matrix, n_classes = metrics.matrix, len(metrics.classes)
    low, high = metrics.accuracy_interval
    subtitle = (
        f"{metrics.n_correct:,} of {metrics.n_samples:,} {split} images right: {percent(metrics.accuracy)}, "
        f"{interval_name(metrics.confidence)} {percent(low)} to {percent(high)}"
    )
    side = 0.46 * n_classes
    figure = blank(width=side + 1.9, height=side + 1.1, title=f"{family} on {dataset}", subtitle=subtitle)
    axes = panel(figure, left=1.0, bottom=0.5, width=side, height=side)
    mistakes = np.where(np.eye(n_classes, dtype=bool), 0, matrix)
    axes.imshow(mistakes, cmap=shades(), vmin=0, vmax=max(DARKEST_FROM, mistakes.max()), aspect="auto")
    rule(axes, rows=n_classes, columns=n_classes)
    labels = [str(label) for label in metrics.classes]
    axes.set_xticks(range(n_classes), labels, fontsize=11, fontweight="bold")
    axes.set_yticks(range(n_classes), labels, fontsize=11, fontweight="bold")
    axes.xaxis.tick_top()
    _write_counts(axes, matrix)
    _write_ratios(axes, metrics)
    return figure


def learning_curves(history: Mapping[str, Sequence[float]], *, dataset: str, family: str, n_samples: int) -> Figure:
    """Draw what became better from epoch to epoch, with a ring around the best validation figure.

    Parameters
    ----------
    history
        One number per epoch under each of ``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``, or some of them;
        other keys are not drawn.
    dataset, family
        What the heading says.
    n_samples
        Number of images that were trained on.

    Raises
    ------
    FitFailed
        There is nothing to draw.
    """
    curves = {
        name: {"training": _epochs(history, name), "validation": _epochs(history, f"val_{name}")}
        for name in ("loss", "accuracy")
    }
    drawn = {name: pair for name, pair in curves.items() if any(map(len, pair.values()))}
    if not drawn:
        raise FitFailed(f"history of {family} holds {sorted(history)}, wanted epochs of loss or accuracy; draw none")
    n_epochs = max(len(values) for pair in drawn.values() for values in pair.values())
    width, height, left, between = 3.9, 2.6, 0.75, 0.8
    figure = blank(
        width=left + len(drawn) * (width + between) - between + MARGIN,
        height=height + 1.0,
        title=f"{family} learning {dataset}",
        subtitle=f"{n_samples:,} training images, {n_epochs:,} epoch{'s' if n_epochs > 1 else ''}",
    )
    for number, (name, pair) in enumerate(drawn.items()):
        axes = panel(figure, left=left + number * (width + between), bottom=0.65, width=width, height=height)
        _draw_curves(axes, pair, name=name)
    return figure


def _write_counts(axes: Axes, matrix: NDArray[np.int64]) -> None:
    """Write every count into its cell: right answers bold, mistakes plain, nothing for none."""
    for (row, column), count in np.ndenumerate(matrix):
        right = row == column
        if count or right:
            colour, weight = (BLUE, "bold") if right else (INK, "normal")
            axes.text(column, row, f"{count}", ha="center", va="center", fontsize=9, color=colour, fontweight=weight)


def _write_ratios(axes: Axes, metrics: Metrics) -> None:
    """Write recall to the right of the rows, precision below the columns, and the names of the axes."""
    n_classes = len(metrics.classes)
    faint: dict[str, Any] = {"fontsize": 8.5, "color": FAINT, "va": "center"}
    plain: dict[str, Any] = {"fontsize": 10, "color": INK, "va": "center", "ha": "center"}
    for place, averages in enumerate(metrics.per_class.values()):
        axes.text(n_classes - 0.35, place, f"{100 * averages.recall:.1f}", ha="left", **faint)
        axes.text(place, n_classes - 0.1, f"{100 * averages.precision:.1f}", ha="center", **faint)
    axes.text(n_classes - 0.35, -0.85, "recall, %", ha="left", **faint)
    axes.text(-0.65, n_classes - 0.1, "precision, %", ha="right", **faint)
    axes.text((n_classes - 1) / 2, -1.45, "predicted", **plain)
    axes.text(-1.3, (n_classes - 1) / 2, "true", rotation=90, **plain)


def _epochs(history: Mapping[str, Sequence[float]], key: str) -> NDArray[np.float64]:
    return np.asarray(history.get(key, ()), dtype=np.float64)


def _draw_curves(axes: Axes, curves: Mapping[str, NDArray[np.float64]], *, name: str) -> None:
    """Draw one figure of merit for training and validation, ``(n_epochs,)`` each, into `axes`."""
    from matplotlib.ticker import MaxNLocator

    for (label, values), colour in zip(curves.items(), (BLUE, ORANGE), strict=True):
        if len(values):
            marker = "o" if len(values) <= DOTS_UP_TO else None
            epochs = np.arange(1, len(values) + 1)
            axes.plot(epochs, values, color=colour, marker=marker, markersize=3, linewidth=1.6, label=label)
    _scale(axes, np.concatenate(list(curves.values())), name=name)
    _ring_best(axes, curves["validation"], name=name)
    axes.set_title(name, loc="left", fontsize=10, fontweight="bold", color=INK)
    axes.set_xlabel("epoch", fontsize=9, color=FAINT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=8, integer=True, min_n_ticks=1))
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(
        loc="lower right",
        bbox_to_anchor=(1, 1),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        borderpad=0,
        columnspacing=1.2,
    )


def _scale(axes: Axes, values: NDArray[np.float64], *, name: str) -> None:
    """Choose the vertical axis and how its numbers are written."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    finite = values[np.isfinite(values)]
    if name == "accuracy":
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g}\u202f%"))
    elif len(finite) and finite.min() > 0 and finite.max() > LOGARITHMIC_FROM * finite.min():
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_locator(NullLocator())
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.3g}"))


def _ring_best(axes: Axes, validation: NDArray[np.float64], *, name: str) -> None:
    """Put a ring around the first of the best validation figures, and write it beside."""
    finite = np.isfinite(validation)
    if not finite.any():
        return
    best = int(np.nanargmin(validation) if name == "loss" else np.nanargmax(validation))
    value = validation[best]
    axes.plot([best + 1], [value], "o", markersize=9, markerfacecolor="none", markeredgecolor=ORANGE, clip_on=False)
    loss = name == "loss"
    axes.text(
        0.99,
        0.97 if loss else 0.03,  # the corner that a falling or a rising curve leaves free
        f"best {value:.4f} in epoch {best + 1}" if loss else f"best {percent(float(value))} in epoch {best + 1}",
        transform=axes.transAxes,
        ha="right",
        va="top" if loss else "bottom",
        fontsize=9,
        color=ORANGE,
    )
