"""Distortions of training images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from digits.models import tensorflow_runtime
from digits.models.augmentation import distort, random_transforms

NONE = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}


def distorted(images: NDArray[np.float32], *, seed: int = 0, **bounds: float) -> NDArray[np.float32]:
    """Distort images of shape (n_samples, side, side)."""
    tf, _ = tensorflow_runtime.start(threads=1)
    rng = np.random.default_rng(seed)
    transforms = random_transforms(len(images), side=images.shape[1], rng=rng, **(NONE | bounds))
    return np.asarray(distort(tf, images[..., None], transforms=transforms))[..., 0]


@pytest.fixture
def images() -> NDArray[np.float32]:
    """Return five images of noise, from 0 to 1."""
    return np.random.default_rng(0).random((5, 9, 9), dtype=np.float32)


def test_no_distortion_returns_the_image(images: NDArray[np.float32]) -> None:
    """Bounds of zero leave every pixel as it was."""
    np.testing.assert_array_equal(images, distorted(images))


@settings(max_examples=25, deadline=None)
@given(
    bounds=st.fixed_dictionaries(
        {
            "rotation": st.floats(0, 45),
            "scale": st.floats(0, 0.5),
            "shear": st.floats(0, 45),
            "shift": st.floats(0, 0.5),
        }
    ),
    side=st.integers(2, 12),
    seed=st.integers(0, 2**32 - 1),
)
def test_distortion_keeps_shape_dtype_and_range(bounds: dict[str, float], side: int, seed: int) -> None:
    """Whatever the bounds, an image stays an image of its size, with values between 0 and its largest."""
    images = np.random.default_rng(0).random((4, side, side), dtype=np.float32)
    result = distorted(images, seed=seed, **bounds)
    assert images.shape == result.shape
    assert np.float32 == result.dtype
    assert result.min() >= 0
    assert result.max() <= images.max() + 1e-6


def test_distortion_is_seeded(images: NDArray[np.float32]) -> None:
    """The same seed gives the same images, another seed gives others, and no two images are distorted alike."""
    bounds = {"rotation": 20.0, "scale": 0.1, "shear": 10.0, "shift": 0.1}
    first = distorted(images, **bounds)
    np.testing.assert_array_equal(first, distorted(images, **bounds))
    assert not np.array_equal(first, distorted(images, seed=1, **bounds))
    copies = distorted(np.repeat(images[:1], 5, axis=0), **bounds)
    assert len(copies) == len(np.unique(copies, axis=0))


@pytest.mark.parametrize(("name", "bound"), [("rotation", 30.0), ("scale", 0.3), ("shear", 30.0)])
def test_centre_stays_where_it_is(name: str, bound: float) -> None:
    """Turning, stretching and leaning happen about the centre of the frame."""
    images = np.zeros((20, 9, 9), np.float32)
    images[:, 4, 4] = 1
    result = distorted(images, **{name: bound})
    np.testing.assert_allclose(1, result[:, 4, 4], atol=1e-5)
    assert not np.array_equal(images, distorted(np.ones_like(images), **{name: bound}))


def test_shift_stays_within_its_bound() -> None:
    """A dot moves by no more than the given share of the frame, and does move."""
    images = np.zeros((200, 10, 10), np.float32)
    images[:, 5, 5] = 1
    ink: Any = distorted(images, shift=0.2)
    offsets = (ink * np.arange(10)).sum(axis=(1, 2)) / ink.sum(axis=(1, 2)) - 5
    assert np.abs(offsets).max() <= 2 + 1e-5
    assert np.abs(offsets).max() > 1.5
