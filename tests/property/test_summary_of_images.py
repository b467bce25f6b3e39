"""The measures of an image are what their definitions say, pixel by pixel."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from digits.data.summary import ink_distance, label_distance, summarise, summarise_classes

# Few values and small images, so that blank images, ties and copies are common.
IMAGES = st.tuples(st.integers(1, 8), st.integers(1, 4), st.integers(1, 4)).flatmap(
    lambda shape: arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 4, 5, 16]))
)
LEVEL, MAX_VALUE = 0.25, 16


def _naive(image: NDArray[np.uint8]) -> dict[str, float]:
    """Measure one image the slow way."""
    height, width = image.shape
    pixels = {(y, x): int(image[y, x]) for y in range(height) for x in range(width)}
    inked = [place for place, value in pixels.items() if value > LEVEL * MAX_VALUE]
    mass = sum(pixels.values())
    measures = {
        "ink": mass / (MAX_VALUE * len(pixels)),
        "lowest": min(pixels.values()),
        "highest": max(pixels.values()),
        "inked": len(inked) / len(pixels),
        "size": math.nan,
        "centre_y": math.nan,
        "centre_x": math.nan,
        "offset": math.nan,
    }
    if inked:
        ys, xs = zip(*inked, strict=True)
        measures |= {"box_top": min(ys), "box_left": min(xs)}
        measures |= {"box_height": max(ys) - min(ys) + 1, "box_width": max(xs) - min(xs) + 1}
        measures["size"] = max(measures["box_height"] / height, measures["box_width"] / width)
    if mass:
        measures["centre_y"] = sum((y + 0.5) * value for (y, _), value in pixels.items()) / mass / height
        measures["centre_x"] = sum((x + 0.5) * value for (_, x), value in pixels.items()) / mass / width
        measures["offset"] = max(abs(measures["centre_y"] - 0.5), abs(measures["centre_x"] - 0.5))
    return measures


def _summary(images: NDArray[Any], labels: NDArray[Any], **options: Any) -> Any:
    """Return the measures of all images; their index is that of the images."""
    return pd.concat(summarise(images, labels, max_value=MAX_VALUE, ink_level=LEVEL, **options))


@given(IMAGES)
@settings(max_examples=60, deadline=None)
def test_measures_are_those_of_the_definitions(images: NDArray[np.uint8]) -> None:
    """Every measure of every image is the same as when it is taken pixel by pixel."""
    frame = _summary(images, np.zeros(len(images), np.uint8))
    assert frame["row"].tolist() == list(range(len(images)))
    for row, image in enumerate(images):
        for name, value in _naive(image).items():
            assert frame[name][row] == pytest.approx(value, nan_ok=True), name


@given(IMAGES, st.data())
@settings(max_examples=60, deadline=None)
def test_copies_are_found_by_comparing_every_pair(images: NDArray[np.uint8], data: st.DataObject) -> None:
    """Other labels and repeats are what comparing every image with every other one finds, in whatever batch it is."""
    n_samples = len(images)
    labels = data.draw(arrays(np.uint8, n_samples, elements=st.integers(0, 2)))
    test_rows, batch_rows = data.draw(st.integers(1, n_samples)), data.draw(st.integers(1, n_samples))
    same = [[bool((one == other).all()) for other in images] for one in images]
    frame = _summary(images, labels, batch_rows=batch_rows)
    leaks = _summary(images, labels, batch_rows=batch_rows, test_rows=test_rows)
    for row in range(n_samples):
        copies = [other for other in range(n_samples) if same[row][other]]
        assert frame["other_labels"][row] == len({int(labels[copy]) for copy in copies}) - 1
        assert frame["repeats"][row] == sum(copy < row for copy in copies)
        first_test = n_samples - test_rows
        in_test = sum(copy >= first_test for copy in copies)
        assert leaks["repeats"][row] == (in_test if row < first_test else 0)


@given(IMAGES)
@settings(max_examples=30, deadline=None)
def test_measures_of_an_image_do_not_depend_on_its_neighbours(images: NDArray[np.uint8]) -> None:
    """An image measured alone has the same measures as among others, but for the order in which floats are added."""
    names = ["ink", "inked", "size", "offset", "box_top", "box_width"]
    together = _summary(images, np.zeros(len(images), np.uint8))[names]
    alone = _summary(images[-1:], np.zeros(1, np.uint8))[names]
    np.testing.assert_allclose(together.to_numpy()[-1], alone.to_numpy()[0], rtol=1e-12)


def test_measures_do_not_change_where_a_chunk_ends() -> None:
    """Ten thousand images, read in chunks and batches that do not end together, are measured as all at once."""
    images = np.random.default_rng(0).integers(0, 17, (10_000, 3, 2), dtype=np.uint8)
    frame = _summary(images, np.zeros(len(images), np.uint8), batch_rows=5_000)
    np.testing.assert_allclose(frame["ink"], images.mean(axis=(1, 2)) / MAX_VALUE)
    _, first = np.unique(images.reshape(len(images), -1), axis=0, return_index=True)
    np.testing.assert_array_equal(np.flatnonzero(frame["repeats"] == 0), np.sort(first))


@given(arrays(np.uint8, st.integers(1, 50), elements=st.integers(0, 11)))
@settings(max_examples=40, deadline=None)
def test_distance_of_labels_is_a_distance(labels: NDArray[np.uint8]) -> None:
    """It is zero for the labels' own shares, never above one, and counts what is no digit."""
    classes = summarise_classes(labels)
    shares = np.bincount(labels, minlength=12)[:10] / len(labels)
    outside = float(np.mean(labels > 9))
    assert classes["share"].fillna(0).tolist() == pytest.approx(shares.tolist())
    assert label_distance(labels, shares=tuple(shares)) == pytest.approx(outside / 2)
    assert 0 <= label_distance(labels, shares=(1.0, *[0.0] * 9)) <= 1 + 1e-12


@given(arrays(np.float64, st.integers(1, 50), elements=st.floats(0, 1)), st.floats(0, 1))
@settings(max_examples=40, deadline=None)
def test_distance_of_ink_is_the_largest_gap_at_the_deciles(ink: NDArray[np.float64], shift: float) -> None:
    """It is the largest gap between the share of images up to a decile and the tenths, never above 0.9."""
    deciles = tuple(np.linspace(0.1, 0.9, 9) * shift)
    gaps = [abs(float(np.mean(ink <= decile)) - (k + 1) / 10) for k, decile in enumerate(deciles)]
    assert ink_distance(ink, deciles=deciles) == pytest.approx(max(gaps))
    assert ink_distance(ink, deciles=deciles) <= 0.9 + 1e-12
