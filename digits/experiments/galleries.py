"""Pictures of the images themselves: what a dataset looks like, and what a family gets wrong.

A gallery is drawn as one tiled image, every pixel of a digit as a whole number of pixels of the picture: sharp, and
many times faster than axes for each digit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from digits.experiments.canvas import DPI, FAINT, INK, MARGIN, ORANGE, PAPER, blank, panel

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["misclassified", "sample_grid"]

# Dots: the wanted side of a tile without and with a caption, the space between tiles, the text below a tile.
TILE, CAPTIONED_TILE, GAP, CAPTION = 84, 112, 16, 26
WHITE = 255


def misclassified(
    images: NDArray[np.uint8],
    *,
    y_true: ArrayLike,
    y_proba: ArrayLike,
    classes: Sequence[int] | NDArray[Any],
    max_value: int,
    dataset: str,
    family: str,
    split: str,
    limit: int = 40,
    columns: int = 10,
) -> Figure:
    """Draw the images that were taken for another digit, the most confident mistakes first.

    Parameters
    ----------
    images
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``, the rows that were scored.
    y_true
        ``(n_samples,)`` labels.
    y_proba
        ``(n_samples, n_classes)`` probabilities; the most probable class is the prediction.
    classes
        The labels, in the order of the columns of `y_proba`.
    max_value
        Value of full ink: 255 for MNIST, 16 for scikit-learn's digits.
    dataset, family, split
        What the heading says.
    limit
        Largest number of images to draw.
    columns
        Number of images in a row.
    """
    proba, truth = np.asarray(y_proba), np.asarray(y_true)
    predicted = np.asarray(classes)[proba.argmax(axis=1)]
    confidence = proba.max(axis=1)
    wrong = np.flatnonzero(predicted != truth)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][:limit]

    subtitle = f"{f'{len(wrong):,}' if len(wrong) else 'none'} of {len(truth):,} {split} images"
    if len(wrong) > len(shown):
        subtitle += f", the {len(shown)} most confident mistakes"
    if len(wrong):
        subtitle += ": true → predicted, and its probability in %"
    gallery = _Gallery(images[shown], n_columns=columns, caption=CAPTION, max_value=max_value)
    figure = gallery.figure(title=f"What {family} gets wrong on {dataset}", subtitle=subtitle)
    axes = gallery.draw(figure)
    style: dict[str, Any] = {"fontsize": 9, "va": "top"}
    for number, row in enumerate(shown):
        left, bottom = gallery.corner(number)
        y, right = bottom + 6, left + gallery.tile
        axes.text(left, y, f"{truth[row]} →", color=INK, **style)
        axes.text(left + 38, y, f"{predicted[row]}", color=ORANGE, fontweight="bold", **style)
        axes.text(right, y, _probability(confidence[row]), color=FAINT, ha="right", **style)
    return figure


def sample_grid(
    images: NDArray[np.uint8], labels: ArrayLike, *, max_value: int, dataset: str, columns: int = 12
) -> Figure:
    """Draw some images of every class, evenly spaced over its rows.

    Parameters
    ----------
    images
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``; a mapped array is read only where it is drawn.
    labels
        ``(n_samples,)`` labels.
    max_value
        Value of full ink: 255 for MNIST, 16 for scikit-learn's digits.
    dataset
        What the heading says.
    columns
        Number of images of a class.
    """
    truth = np.asarray(labels)
    classes, counts = np.unique(truth, return_counts=True)
    height, width = images.shape[1:]
    chosen = np.full((len(classes), columns), -1)
    for line, label in enumerate(classes):
        rows = np.flatnonzero(truth == label)
        places = np.unique(np.linspace(0, len(rows) - 1, columns).astype(int))
        chosen[line, : len(places)] = rows[places]
    gallery = _Gallery(images[chosen.ravel()], n_columns=columns, caption=0, max_value=max_value, margin=0.95)
    gallery.hide(np.flatnonzero(chosen.ravel() < 0))
    subtitle = f"{len(truth):,} images of {height} \u00d7 {width} pixels; the number of images beside each class"
    figure = gallery.figure(title=f"Samples of {dataset}", subtitle=subtitle)
    axes = gallery.draw(figure)
    for line, (label, count) in enumerate(zip(classes, counts, strict=True)):
        y = gallery.corner(line * columns)[1] - gallery.tile / 2
        axes.text(-80, y, f"{label}", color=INK, fontsize=13, fontweight="bold", ha="right", va="center")
        axes.text(-16, y, f"{count:,}", color=FAINT, fontsize=9, ha="right", va="center")
    return figure


class _Gallery:
    """Tiles on a grid, in a coordinate system of dots whose origin is the upper left corner of the first tile."""

    def __init__(
        self, images: NDArray[np.uint8], *, n_columns: int, caption: int, max_value: int, margin: float = MARGIN
    ) -> None:
        zoom = max(1, round((CAPTIONED_TILE if caption else TILE) / max(images.shape[1:])))
        self.tiles = _tinted(images, max_value=max_value).repeat(zoom, axis=1).repeat(zoom, axis=2)
        self.tile = self.tiles.shape[1]
        self.n_columns, self.margin = n_columns, margin
        self.steps = (self.tile + GAP + caption, self.tiles.shape[2] + GAP)
        n_rows = -(-len(images) // n_columns)
        self.shape = (max(0, n_rows * self.steps[0] - GAP), n_columns * self.steps[1] - GAP)

    def hide(self, numbers: NDArray[np.int64]) -> None:
        """Leave the places of these tiles empty."""
        self.tiles[numbers] = WHITE

    def corner(self, number: int) -> tuple[int, int]:
        """Return the lower left corner of a tile: dots from the left, dots from the top."""
        row, column = divmod(number, self.n_columns)
        return column * self.steps[1], row * self.steps[0] + self.tile

    def figure(self, *, title: str, subtitle: str) -> Figure:
        """Return a figure that has room for the tiles."""
        height, width = (side / DPI for side in self.shape)
        return blank(width=self.margin + width + MARGIN, height=height + MARGIN, title=title, subtitle=subtitle)

    def draw(self, figure: Figure) -> Axes:
        """Draw the tiles below the heading and return axes for the captions, measured in dots."""
        height, width = self.shape
        sheet = np.full((max(height, 1), width, 3), WHITE, dtype=np.uint8)
        for number, tile in enumerate(self.tiles):
            left, bottom = self.corner(number)
            sheet[bottom - self.tile : bottom, left : left + tile.shape[1]] = tile
        # As many dots as the picture has there, so that no tile is resampled.
        axes = panel(figure, left=self.margin, bottom=MARGIN, width=width / DPI, height=sheet.shape[0] / DPI)
        axes.set_axis_off()
        axes.imshow(sheet, interpolation="nearest", aspect="auto", extent=(0, width, sheet.shape[0], 0))
        return axes


def _tinted(images: NDArray[np.uint8], *, max_value: int) -> NDArray[np.uint8]:
    """Return ``(n, height, width)`` images as ``(n, height, width, 3)`` colours between those of paper and ink."""
    from matplotlib.colors import to_rgb

    paper, ink = (255 * np.array(to_rgb(colour)) for colour in (PAPER, INK))
    strength = np.linspace(0, 1, max_value + 1)[:, np.newaxis]
    palette = np.rint(paper + strength * (ink - paper)).astype(np.uint8)
    tinted: NDArray[np.uint8] = palette[images]
    return tinted


def _probability(value: float) -> str:
    return ">99" if value > 0.99 else f"{100 * value:.0f}"
