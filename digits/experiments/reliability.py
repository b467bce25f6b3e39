"""The picture of a family's calibration: is it right as often as it says it is sure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits.experiments.canvas import BLUE, FAINT, GRID, INK, MARGIN, ORANGE, blank, panel, percent
from digits.experiments.metrics import Metrics, checked_proba
from digits.experiments.probabilities import calibration_bins

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["reliability"]


def reliability(
    metrics: Metrics,
    *,
    y_true: NDArray[np.integer[Any]],
    y_proba: NDArray[np.floating[Any]],
    dataset: str,
    family: str,
    split: str,
) -> Figure:
    """Draw accuracy against confidence, bin by bin, and below it how many images each bin holds.

    A family is calibrated where its dots lie on the diagonal; below it the family is surer than it should be. The line
    from a dot to the diagonal is what the calibration error averages.

    Parameters
    ----------
    metrics
        The figures of the same scoring, for the heading.
    y_true
        ``(n_samples,)`` labels.
    y_proba
        ``(n_samples, n_classes)`` probabilities, columns in the order of the figures' classes.
    dataset, family, split
        What the heading says.
    """
    from matplotlib.ticker import StrMethodFormatter

    confidence = checked_proba(y_proba, n_samples=metrics.n_samples, n_classes=len(metrics.classes)).max(axis=1)
    right = np.asarray(metrics.classes)[y_proba.argmax(axis=1)] == y_true
    counts, confident, accurate = calibration_bins(confidence, right, adaptive=False)
    side, below, left = 4.2, 0.9, 0.85
    error = percent(metrics.calibration_error)
    figure = blank(
        width=left + side + 0.5,
        height=side + below + 1.15,
        title=f"Calibration of {family} on {dataset}",
        subtitle=f"{metrics.n_samples:,} {split} images; expected calibration error {error}",
    )
    axes = panel(figure, left=left, bottom=below + 0.95, width=side, height=side)
    axes.plot([0, 1], [0, 1], color=FAINT, linewidth=1, linestyle=(0, (4, 3)))
    axes.vlines(confident, confident, accurate, color=ORANGE, linewidth=2, alpha=0.6)
    axes.plot(confident, accurate, "o", color=BLUE, markersize=6, clip_on=False)
    axes.text(0.03, 0.97, "less sure than right", fontsize=9, color=FAINT, va="top")
    axes.text(0.97, 0.03, "surer than right", fontsize=9, color=FAINT, ha="right")
    _as_percent(axes, name="accuracy")
    axes.set_ylim(0, 1)
    bars = panel(figure, left=left, bottom=0.55, width=side, height=below - MARGIN)
    bars.bar(confident, counts, width=0.03, color=BLUE, log=True)
    bars.set_ylabel("images", fontsize=9, color=FAINT)
    bars.set_xlabel("confidence: the probability of the predicted digit", fontsize=9, color=FAINT)
    bars.set_xlim(0, 1)
    bars.set_ylim(bottom=0.8)  # a bar of one image is still to be seen
    bars.tick_params(which="both", length=0)
    bars.set_xticks([])
    bars.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    bars.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    bars.set_axisbelow(True)
    return figure


def _as_percent(axes: Axes, *, name: str) -> None:
    ticks = np.linspace(0, 1, 6)
    labels = [percent(tick, decimals=0) for tick in ticks]
    axes.set_xlim(0, 1)
    axes.set_xticks(ticks, labels)
    axes.set_yticks(ticks, labels)
    axes.grid(visible=True, color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_ylabel(name, fontsize=10, color=INK)
