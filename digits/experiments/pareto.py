"""The picture of what accuracy costs: every family's test accuracy against its time per image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from digits.experiments.canvas import BLUE, FAINT, GRID, INK, ORANGE, blank, panel
from digits.experiments.standings import known_accuracies

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from digits.experiments.cost import Cost

__all__ = ["Priced", "pareto"]

MICROSECONDS = 1e6

#: Decades of the shortest axis: on any such a number that a reader knows has its place.
SHORTEST = 0.6


class Priced(Protocol):
    """What `pareto` reads of a family."""

    @property
    def family(self) -> str:
        """Name of the family."""

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test images, in ``[0, 1]``."""

    @property
    def cost(self) -> Cost:
        """What it costs to use."""


def pareto(families: Sequence[Priced], *, dataset: str, n_test: int) -> Figure:
    """Draw accuracy against time per image, with the line of those that no other family beats in both.

    The accuracy's axis is logarithmic in the error rate, as that of the leaderboard.

    Parameters
    ----------
    families
        One or more.
    dataset
        What the heading says.
    n_test
        Number of test images. An error rate below half an image is drawn as half an image.
    """
    width, height, left = 6.6, 4.4, 0.95
    figure = blank(
        width=left + width + 2.2,
        height=height + 0.95,
        title=f"What accuracy costs on {dataset}",
        subtitle=f"{n_test:,} test images; time per image of a batch on this machine, with each family's threads",
    )
    axes = panel(figure, left=left, bottom=0.7, width=width, height=height)
    times = np.array([item.cost.batch_seconds * MICROSECONDS for item in families])
    errors = np.array([max(1 - item.test_accuracy, 0.5 / n_test) for item in families])
    best = [
        number
        for number in range(len(families))
        if not any(
            (times <= times[number])
            & (errors <= errors[number])
            & ((times < times[number]) | (errors < errors[number]))
        )
    ]
    best.sort(key=lambda number: times[number])
    _scale(axes, times=times, errors=errors)
    axes.plot(times[best], errors[best], color=ORANGE, linewidth=1.2, drawstyle="steps-post", zorder=2)
    _number(axes, families, places=list(zip(times, errors, strict=True)), bold=best)
    return figure


def _scale(axes: Axes, *, times: NDArray[np.float64], errors: NDArray[np.float64]) -> None:
    """Make both axes logarithmic, more accurate higher, and write on them what a reader knows."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(*_around(times))
    low, high = _around(errors)
    axes.set_ylim(high, low)
    ticks = known_accuracies(-np.log10(high), -np.log10(low))
    axes.set_yticks([10**-place for place in ticks], list(ticks.values()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_locator(LogLocator(subs=(2, 5)))
    for choose in (axes.xaxis.set_major_formatter, axes.xaxis.set_minor_formatter):
        choose(FuncFormatter(lambda value, _: f"{value:,.10g} µs"))
    axes.tick_params(axis="x", which="minor", length=0, labelsize=8, labelcolor=FAINT)
    axes.grid(visible=True, which="both", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.set_xlabel("time per image", fontsize=9, color=FAINT)
    axes.set_ylabel("accuracy, on an axis logarithmic in the error rate", fontsize=9, color=FAINT)


def _around(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the ends of a logarithmic axis that holds the values and is `SHORTEST` at least."""
    start, end = np.log10([values.min(), values.max()])
    pad = max(0.05 * (end - start), (SHORTEST - (end - start)) / 2)
    return float(10 ** (start - pad)), float(10 ** (end + pad))


def _number(
    axes: Axes, families: Sequence[Priced], *, places: Sequence[tuple[float, float]], bold: Sequence[int]
) -> None:
    """Draw a numbered dot for every family, and the names beside the axes, most accurate first."""
    order = sorted(range(len(families)), key=lambda number: places[number][::-1])
    for place, number in enumerate(order):
        # The most accurate are drawn last: where dots lie on each other, theirs are read.
        layer, weight = 4 + len(order) - place, "bold" if number in bold else "normal"
        axes.plot(*places[number], "o", color=BLUE, markersize=11, markeredgecolor="white", zorder=layer)
        dot: dict[str, Any] = {
            "xytext": (0, -0.5),
            "textcoords": "offset points",
            "ha": "center",
            "va": "center",
            "zorder": layer,
        }
        axes.annotate(str(place + 1), places[number], fontsize=7, color="white", fontweight="bold", **dot)
        height = 0.98 - 0.96 * place / max(1, len(order) - 1)
        axes.text(
            1.07, height, f"{place + 1}", transform=axes.transAxes, fontsize=9, color=BLUE, ha="right", va="center"
        )
        axes.text(
            1.085,
            height,
            families[number].family,
            transform=axes.transAxes,
            fontsize=9,
            color=INK,
            va="center",
            fontweight=weight,
        )
