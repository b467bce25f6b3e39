"""The look that every plot shares: paper, ink, heading, and PNG files that are the same for the same input.

Figures are drawn through matplotlib's object-oriented interface: no pyplot, hence no window, no global state, and
plots may be drawn in several threads. Everything is placed in inches: an automatic layout would draw each plot twice.
Does not know what is plotted (``plots``, ``galleries``).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digits.files import replaced_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import LinearSegmentedColormap
    from matplotlib.figure import Figure

__all__ = [
    "BLUE",
    "DPI",
    "FAINT",
    "GRID",
    "INK",
    "ORANGE",
    "PALE",
    "PAPER",
    "blank",
    "panel",
    "percent",
    "rule",
    "save_png",
    "shades",
]

DPI = 150
COMPRESSION = 2  # zlib's: half the time of its default, files a sixth larger
MARGIN, HEADING = 0.25, 0.8  # inches: around everything; for title and subtitle

INK, FAINT, PALE, GRID, PAPER = "#1b2530", "#66707c", "#bcc4cd", "#e1e5ea", "#f3f5f7"
# Blue and vermilion of the palette that every kind of colour vision tells apart: M. Okabe and K. Ito,
# "Color universal design", 2008.
BLUE, ORANGE = "#0072b2", "#d55e00"


def blank(*, width: float, height: float, title: str, subtitle: str) -> Figure:
    """Return a white figure with a heading; `height` inches are left below the heading for panels."""
    from matplotlib.figure import Figure

    total = height + HEADING
    figure = Figure(figsize=(width, total), dpi=DPI, facecolor="white")
    left = MARGIN / width
    figure.text(left, 1 - MARGIN / total, title, color=INK, fontsize=13, fontweight="bold", va="top")
    figure.text(left, 1 - (MARGIN + 0.27) / total, subtitle, color=FAINT, fontsize=9, va="top")
    return figure


def panel(figure: Figure, *, left: float, bottom: float, width: float, height: float) -> Axes:
    """Return bare axes at a place given in inches: no frame, no ticks, labels in the colour of the ink."""
    whole_width, whole_height = figure.get_size_inches()
    axes = figure.add_axes((left / whole_width, bottom / whole_height, width / whole_width, height / whole_height))
    axes.set_frame_on(False)
    axes.tick_params(length=0, labelsize=9, labelcolor=INK, pad=5)
    return axes


def shades() -> LinearSegmentedColormap:
    """Return the colours of a table: white where nothing is lost, orange where most is."""
    from matplotlib.colors import LinearSegmentedColormap

    return LinearSegmentedColormap.from_list("lost", ["#ffffff", "#fbd9c0", ORANGE])


def rule(axes: Axes, *, rows: int, columns: int) -> None:
    """Draw the lines between the cells of a table."""
    style: dict[str, Any] = {"color": GRID, "linewidth": 0.8, "clip_on": False}
    axes.hlines(np.arange(rows + 1) - 0.5, -0.5, columns - 0.5, **style)
    axes.vlines(np.arange(columns + 1) - 0.5, -0.5, rows - 0.5, **style)


def percent(share: float, *, decimals: int = 2) -> str:
    """Return a share as per cent, with a narrow no-break space before the sign."""
    return f"{100 * share:.{decimals}f}\u202f%"


def save_png(figure: Figure, path: Path) -> None:
    """Write `figure` to `path` as PNG, atomically; the bytes depend on the figure alone, neither on day nor version."""
    with replaced_file(path) as work:
        figure.savefig(
            work, format="png", dpi=DPI, metadata={"Software": None}, pil_kwargs={"compress_level": COMPRESSION}
        )
