"""What a model costs to use is measured on the estimator that is asked."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.experiments.cost import measure


class _Slow:
    """Takes a tenth of a second at its first call, then two milliseconds for every call, however many images."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def predict_proba(self, images: NDArray[Any]) -> NDArray[np.float64]:
        time.sleep(0.002 if self.asked else 0.1)
        self.asked.append(len(images))
        return np.full((len(images), 10), 0.1)


def test_cost_is_measured_alone_and_in_a_batch(tmp_path: Path) -> None:
    """The first call counts for nothing, a batch is divided by its images, and every file of the model counts."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/weights").write_bytes(b"12345")
    (tmp_path / "model").write_bytes(b"123")
    estimator = _Slow()
    cost = measure(estimator, np.zeros((50, 8, 8), np.uint8), model=tmp_path)
    assert cost.model_bytes == 8
    assert 0.002 <= cost.single_seconds < 0.05
    assert 0.002 / 50 <= cost.batch_seconds < 0.05 / 50
    assert estimator.asked == [1, *[1] * 20, *[50] * 5]
