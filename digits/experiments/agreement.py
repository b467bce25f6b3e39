"""The picture of how much families think alike: the share of images that two of them take for the same digit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from digits.experiments.canvas import BLUE, FAINT, GRID, INK, blank, panel, shades

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["agreement"]

CELL = 0.5  # inches


def agreement(predicted: Mapping[str, NDArray[np.uint8]], labels: NDArray[np.uint8], *, dataset: str) -> Figure:
    """Draw for every pair of families how often they differ, and on the diagonal how often each is wrong.

    Two good families that differ often make different mistakes: together they can be better than each alone.

    Parameters
    ----------
    predicted
        Family → ``(n_samples,)`` predicted labels, in the order of the leaderboard.
    labels
        ``(n_samples,)`` true labels.
    dataset
        What the heading says.
    """
    names, columns = list(predicted), np.array(list(predicted.values()))
    differ = (columns[:, np.newaxis] != columns[np.newaxis]).mean(axis=2)
    np.fill_diagonal(differ, (columns != labels).mean(axis=1))
    side = CELL * len(names)
    figure = blank(
        width=max(side + 3.3, 5.2),
        height=side + 0.2,
        title=f"How often families differ on {dataset}",
        subtitle=f"in % of {len(labels):,} test images; on the diagonal: how often each is wrong",
    )
    axes = panel(figure, left=1.75, bottom=0.15, width=side, height=side)
    shown = np.where(np.tri(len(names), dtype=bool), differ, np.nan)
    axes.imshow(np.where(np.eye(len(names), dtype=bool), 0, shown), cmap=shades(), vmin=0, aspect="auto")
    for (row, column), share in np.ndenumerate(shown):
        if column <= row:
            colour, weight = (BLUE, "bold") if row == column else (INK, "normal")
            style: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 8.5}
            axes.text(column, row, f"{100 * share:.1f}", color=colour, fontweight=weight, **style)
    axes.set_yticks(range(len(names)), names, fontsize=9.5)
    axes.set_xticks([])
    for place, name in enumerate(names):  # the end of a row is the top of a column
        axes.text(place + 0.6, place, name, va="center", fontsize=9, color=FAINT)
    borders = np.arange(len(names) + 1) - 0.5
    for number, border in enumerate(borders):
        axes.hlines(border, borders[0], borders[min(number + 1, len(names))], color=GRID, linewidth=0.8, clip_on=False)
        axes.vlines(border, borders[max(number - 1, 0)], borders[-1], color=GRID, linewidth=0.8, clip_on=False)
    return figure
