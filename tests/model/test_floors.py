"""The accuracies on MNIST's official test rows that must hold, of the families that are fitted in seconds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digits.data import idx
from digits.project import Project


@pytest.mark.parametrize(("family", "floor"), [("logistic_regression", 0.989), ("k_nearest_neighbors", 0.987)])
def test_a_family_as_shipped_keeps_its_floor(root: Path, mnist_dir: Path, family: str, floor: float) -> None:
    """Fitted on all 60,000 images with the params of params.yaml, it reads so many of the 10,000 test images."""
    (X, y), (X_test, y_test) = (_part(mnist_dir, name) for name in ("train", "t10k"))
    assert (len(X), len(X_test)) == (60_000, 10_000)
    params = Project(root=root).params("mnist").fit
    estimator = params.families[family].build(seed=params.seed).fit(X, y)
    assert np.mean(estimator.predict(X_test) == y_test) >= floor


def _part(folder: Path, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images and labels of one of MNIST's two parts."""
    images, labels = (
        idx.decode(idx.read_payload(folder / f"{name}-{kind}-ubyte.gz"), dimensions=dimensions, name=kind)
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1))
    )
    return images, labels
