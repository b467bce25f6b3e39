"""The picture of a leaderboard: every family's accuracy, and how sure one can be of it.

Draws the families in the order they come in; does not know how they were ranked (``evaluation``).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digits.errors import MissingError
from digits.experiments.canvas import BLUE, FAINT, GRID, INK, ORANGE, PAPER, blank, panel, percent
from digits.experiments.statistics import interval_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["Standing", "known_accuracies", "leaderboard"]

# Accuracies that a reader knows, roundest first; those are drawn for which the axis has room.
TICKS = (0.9, 0.99, 0.999, 0.9999, 0.5, 0.95, 0.995, 0.9995, 0.8, 0.98, 0.998, 0.9998, 0.99995, 0.99999)
TICK_DISTANCE = 0.1  # the least, as a share of the axis
COLUMNS, MARK = (0.79, 2.08, 3.04), 0.6  # inches beside the axes: where figures end; more for the word "better"


class Standing(Protocol):
    """What `leaderboard` reads of a family's line; accuracies in ``[0, 1]``."""

    @property
    def family(self) -> str:
        """Name of the family."""

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on the images that choose."""

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the images that are scored once."""

    @property
    def test_accuracy_low(self) -> float:
        """Lower end of its interval."""

    @property
    def test_accuracy_high(self) -> float:
        """Upper end of its interval."""

    @property
    def against_best(self) -> str:
        """What the images that are scored once say of it and the best: ``tied``, ``better``, or nothing."""


def leaderboard(
    standings: Sequence[Standing], *, dataset: str, n_validation: int, n_test: int, confidence: float
) -> Figure:
    """Draw every family's test accuracy with its interval, and the validation accuracy by which they are ranked.

    The axis is logarithmic in the error rate: from 99 to 99.5 % is as far as from 90 to 95 %, half the mistakes.

    Parameters
    ----------
    standings
        One or more families, best first: the order is the caller's.
    dataset
        What the heading says.
    n_validation, n_test
        Numbers of images. An error rate below half a test image is drawn as half a test image.
    confidence
        Nominal coverage of the intervals.

    Raises
    ------
    MissingError
        There is no family.
    """
    if not standings:
        raise MissingError(f"no family to draw for {dataset}; run `digits run {dataset}`")
    line, left, right, width, bottom = 0.34, 1.95, 3.3, 4.6, 0.7
    height = line * len(standings)
    subtitle = f"ranked on {n_validation:,} validation images, then scored once on {n_test:,} test images"
    marks = {standing.against_best for standing in standings[1:]}
    if "tied" in marks:
        subtitle += "; shaded: these do not tell them from the best"
    if "better" in marks:
        subtitle += "; better: these say so"
        right += MARK
    figure = blank(
        width=left + width + right,
        height=height + bottom + 0.45,
        title=f"{len(standings)} {'families' if len(standings) > 1 else 'family'} on {dataset}",
        subtitle=subtitle,
    )
    axes = panel(figure, left=left, bottom=bottom, width=width, height=height)
    low, test, high, validation = _places(
        [(s.test_accuracy_low, s.test_accuracy, s.test_accuracy_high, s.validation_accuracy) for s in standings],
        n_test=n_test,
    ).T
    rows = np.arange(len(standings))
    interval = interval_name(confidence)
    axes.hlines(rows, low, high, color=BLUE, linewidth=2.4, alpha=0.5, capstyle="round", zorder=3)
    axes.plot(
        validation, rows, "D", color="white", markeredgecolor=ORANGE, markersize=5.5, zorder=4, label="validation"
    )
    axes.plot(test, rows, "o", color=BLUE, markersize=6.5, zorder=5, label=f"test, with {interval}")
    start, end = min(low.min(), validation.min()), max(high.max(), validation.max())
    pad = 0.05 * max(end - start, 0.5)
    axes.set_xlim(start - pad, end + pad)
    axes.set_ylim(len(standings) - 0.5, -0.5)
    _draw_axis(axes)
    _write_table(axes, standings, left=left / width, right=right / width, inch=1 / width, interval=interval)
    return figure


def _places(accuracies: Any, *, n_test: int) -> NDArray[np.float64]:
    """Return where accuracies stand on the axis: minus the decimal logarithm of the error rate."""
    places: NDArray[np.float64] = -np.log10(np.maximum(1 - np.asarray(accuracies, dtype=np.float64), 0.5 / n_test))
    return places


def known_accuracies(start: float, end: float) -> dict[float, str]:
    """Return the accuracies to be written on an axis, by minus the decimal logarithm of their error rate.

    Parameters
    ----------
    start, end
        Of the axis, in the same unit.
    """
    ticks: dict[float, str] = {}
    for accuracy in TICKS:
        place = float(-np.log10(1 - accuracy))
        room = TICK_DISTANCE * (end - start)
        if start < place < end and all(abs(place - other) > room for other in ticks):
            ticks[place] = f"{100 * accuracy:.5g}\u202f%"
    return ticks


def _draw_axis(axes: Axes) -> None:
    """Draw the accuracies below, their lines across, and the legend above."""
    ticks = known_accuracies(*axes.get_xlim())
    axes.set_xticks(list(ticks), list(ticks.values()))
    axes.grid(visible=True, axis="x", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("accuracy, on an axis logarithmic in the error rate", fontsize=9, color=FAINT, labelpad=6)
    axes.legend(
        loc="center left",
        bbox_to_anchor=(0, -0.9),
        bbox_transform=axes.get_yaxis_transform(),
        ncols=2,
        frameon=False,
        fontsize=9,
        labelcolor=INK,
        borderaxespad=0,
        borderpad=0,
        handletextpad=0.2,
        reverse=True,
    )


def _write_table(
    axes: Axes, standings: Sequence[Standing], *, left: float, right: float, inch: float, interval: str
) -> None:
    """Write names to the left and figures to the right; both widths, and an inch, in widths of the axes."""
    across = axes.get_yaxis_transform()
    axes.set_yticks([])
    columns = [1 + inch * place for place in COLUMNS]
    for column, title in zip(columns, ("test", interval, "validation"), strict=True):
        axes.text(column, -0.9, title, transform=across, ha="right", va="center", fontsize=9, color=FAINT)
    for row, standing in enumerate(standings):
        weight = "bold" if row == 0 else "normal"
        mark = standing.against_best if row else ""
        if row == 0 or mark == "tied":
            axes.axhspan(row - 0.5, row + 0.5, xmin=-left, xmax=1 + right, color=PAPER, zorder=0, clip_on=False)
        style: dict[str, Any] = {"transform": across, "ha": "right", "va": "center", "fontsize": 9.5, "color": INK}
        axes.text(-0.025, row, standing.family, fontweight=weight, **style)
        spread = f"{100 * standing.test_accuracy_low:.2f} \u2013 {100 * standing.test_accuracy_high:.2f}"
        axes.text(columns[0], row, percent(standing.test_accuracy), fontweight=weight, **style)
        axes.text(columns[1], row, spread, **style)
        axes.text(columns[2], row, percent(standing.validation_accuracy), **style)
        if mark == "better":
            axes.text(columns[-1] + inch * MARK, row, mark, **{**style, "color": ORANGE})
