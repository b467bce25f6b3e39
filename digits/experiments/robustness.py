"""The picture of what accuracy is left of harmed images, kind by kind and strength by strength."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from digits.experiments.canvas import BLUE, FAINT, GRID, INK, ORANGE, PALE, blank, panel, percent
from digits.experiments.corruptions import CORRUPTIONS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from digits.experiments.conditions import Condition
    from digits.experiments.corruptions import Corruption

__all__ = ["at_reference", "robustness"]

COLUMNS, WIDTH, HEIGHT, ACROSS, DOWN = 5, 1.75, 1.35, 0.35, 0.85  # inches of a panel, and between panels


def at_reference(conditions: Sequence[Condition]) -> dict[str, Condition]:
    """Return what was right at the reference strength of each kind of harm."""
    wanted = {(kind.name, f"{kind.reference:g}") for kind in CORRUPTIONS}
    return {item.kind: item for item in conditions if (item.kind, item.level) in wanted}


def robustness(conditions: Mapping[str, Sequence[Condition]], *, dataset: str) -> Figure:
    """Draw accuracy against the strength of each kind of harm, a line for each family.

    The best family is blue, and so is its name. Orange is the one that keeps most at the reference strengths, if it is
    another one; the others are grey.

    Parameters
    ----------
    conditions
        Family → what it got right under conditions, best family first.
    dataset
        What the heading says.
    """
    best = next(iter(conditions))
    kept = {
        family: float(np.mean([item.accuracy for item in at_reference(items).values()]))
        for family, items in conditions.items()
    }
    steadiest = max(kept, key=lambda family: (kept[family], family == best))
    rows = -(-len(CORRUPTIONS) // COLUMNS)
    n_images = next(item.n_samples for item in conditions[best] if not item.is_handwriting)
    width, height = COLUMNS * (WIDTH + ACROSS), rows * (HEIGHT + DOWN)
    figure = blank(
        width=width + 0.8,
        height=height + 0.35,
        title=f"What is left of harmed images on {dataset}",
        subtitle=f"accuracy on {n_images:,} test images, by strength; compared at the middle one. "
        "Grey: the other families, named in the report's table",
    )
    for number, kind in enumerate(CORRUPTIONS):
        row, column = divmod(number, COLUMNS)
        bottom = 0.75 + (rows - 1 - row) * (HEIGHT + DOWN)
        axes = panel(figure, left=0.65 + column * (WIDTH + ACROSS), bottom=bottom, width=WIDTH, height=HEIGHT)
        for family, items in conditions.items():
            colour, thickness, layer = {steadiest: (ORANGE, 1.8, 3), best: (BLUE, 1.8, 4)}.get(family, (PALE, 1.0, 2))
            shares = [item.accuracy for item in items if item.kind == kind.name]
            axes.plot(shares, color=colour, linewidth=thickness, zorder=layer, marker="o", markersize=2.5)
        _label(axes, kind, first=column == 0)
    legend = [(BLUE, f"{best}, the best: {percent(kept[best], decimals=1)} on average")]
    if steadiest != best:
        legend.append((ORANGE, f"{steadiest}, the steadiest: {percent(kept[steadiest], decimals=1)}"))
    for place, (colour, words) in enumerate(legend):
        figure.text(0.65 / (width + 0.8) + 0.4 * place, 0.02, words, color=colour, fontsize=9, fontweight="bold")
    return figure


def _label(axes: Axes, kind: Corruption, *, first: bool) -> None:
    axes.set_title(kind.name, fontsize=10, color=INK, loc="left", pad=6)
    axes.set_xlabel(kind.unit, fontsize=8, color=FAINT)
    axes.set_xticks(range(len(kind.strengths)), [f"{strength:g}" for strength in kind.strengths], fontsize=8)
    axes.set_xlim(-0.3, len(kind.strengths) - 0.7)
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks([0, 0.5, 1], [percent(share, decimals=0) if first else "" for share in (0, 0.5, 1)], fontsize=8)
    axes.grid(visible=True, axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
