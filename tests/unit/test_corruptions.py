"""Promises of the harm that is done to images."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_digits

from digits.experiments.corruptions import CORRUPTIONS, Corruption, corrupt
from digits.experiments.strokes import measure

IMAGES = load_digits().images[:40].astype(np.uint8)
KINDS = {kind.name: kind for kind in CORRUPTIONS}
EVERY = pytest.mark.parametrize("kind", CORRUPTIONS, ids=list(KINDS))


@EVERY
def test_harm_is_repeatable_and_leaves_the_original(kind: Corruption) -> None:
    """The same images give the same copies, in the range of the dataset, whatever their number."""
    before = IMAGES.copy()
    harmed = corrupt(IMAGES, kind, kind.reference, max_value=16)
    assert (harmed.shape, harmed.dtype) == (IMAGES.shape, np.uint8)
    assert harmed.max() <= 16
    np.testing.assert_array_equal(IMAGES, before)
    np.testing.assert_array_equal(corrupt(IMAGES[:7], kind, kind.reference, max_value=16), harmed[:7])
    assert corrupt(IMAGES[:0], kind, kind.reference, max_value=16).shape == (0, 8, 8)


@EVERY
def test_more_strength_is_more_harm(kind: Corruption) -> None:
    """The stronger, the further the copies are from the originals, at 8 x 8 and at 28 x 28."""
    large = np.kron(IMAGES[:10], np.ones((3, 3))).astype(np.uint8) * 15
    for images, max_value in ((IMAGES, 16), (np.pad(large, ((0, 0), (2, 2), (2, 2))), 255)):
        copies = [corrupt(images, kind, strength, max_value=max_value) for strength in kind.strengths]
        distances = [np.abs(copy.astype(float) - images).mean() for copy in copies]
        assert distances[0] > 0
        assert distances == sorted(distances)


@pytest.mark.parametrize(
    ("name", "none"),
    [("shift", 0), ("rotation", 0), ("scale", 1), ("shear", 0), ("thick strokes", 0), ("thin strokes", 0)],
)
def test_no_strength_is_no_harm(name: str, none: float) -> None:
    """What is left of an image is what the harm has left, not what a change of its size has."""
    np.testing.assert_array_equal(corrupt(IMAGES, KINDS[name], none, max_value=16), IMAGES)


def test_each_kind_does_what_it_says() -> None:
    """Ink moves, leans, thickens, thins, fades and turns into paper."""
    images = np.pad(IMAGES, ((0, 0), (4, 4), (4, 4)))

    def measured(name: str) -> dict[str, float]:
        harmed = corrupt(images, KINDS[name], KINDS[name].strengths[-1], max_value=16)
        return {key: float(np.abs(value).mean()) for key, value in measure(harmed, max_value=16).items()}

    plain = {key: float(np.abs(value).mean()) for key, value in measure(images, max_value=16).items()}
    assert measured("scale")["size"] < 0.75 * plain["size"]
    assert measured("shear")["slant"] > plain["slant"]
    harmed = {name: corrupt(images, kind, kind.strengths[-1], max_value=16) for name, kind in KINDS.items()}
    np.testing.assert_array_equal(harmed["inversion"], 16 - images)
    assert harmed["contrast"].max() <= 4
    ink = images.sum(dtype=float)
    assert harmed["thick strokes"].sum() > ink > harmed["thin strokes"].sum()
    for name in ("shift", "rotation", "blur"):
        assert harmed[name].sum() == pytest.approx(ink, rel=0.1), name
