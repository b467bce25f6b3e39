"""Promises of the accuracies under conditions: each figure belongs to the harm whose name it bears."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

from digits.data.snapshot import write_snapshot
from digits.data.split import SplitParams, split
from digits.experiments.conditions import corrupted_images, corrupted_rows, n_conditions, of_corruptions
from digits.experiments.corruptions import CORRUPTIONS, corrupt

NAMED = [(kind, strength) for kind in CORRUPTIONS for strength in kind.strengths]


def test_harmed_images_are_in_the_order_of_their_names(tmp_path: Path) -> None:
    """Strength by strength those test images are harmed whose rows and labels are told, evenly spaced."""
    digits = load_digits()
    images, labels = digits.images[:200].astype(np.uint8), digits.target[:200].astype(np.uint8)
    snapshot = write_snapshot(
        tmp_path / "snapshot", dataset="few", batches=[(images, labels)], max_value=16, description={}
    )
    params = {"seed": 0, "test": {"take": "last", "rows": 50}, "validation": {"take": "folds", "folds": 2}}
    rows = split(snapshot, params=SplitParams.model_validate(params), path=tmp_path / "split")
    chosen = corrupted_rows(rows, n_images=8)
    assert chosen.tolist() == [150, 157, 164, 171, 178, 185, 192, 199]
    parts = np.split(corrupted_images(rows, n_images=8), n_conditions())
    for (kind, strength), part in zip(NAMED, parts, strict=True):
        np.testing.assert_array_equal(part, corrupt(images[chosen], kind, strength, max_value=16), err_msg=kind.name)


def test_accuracies_bear_the_names_of_their_harm() -> None:
    """A model that reads another number of images rightly each time is told to have read that number."""
    labels, classes = np.array([3, 5, 3, 7], np.uint8), np.array([3, 5, 7], np.uint8)
    truth = np.eye(3)[np.searchsorted(classes, labels)]
    wrong = np.roll(truth, 1, axis=1)
    n_right = [number % 5 for number in range(n_conditions())]
    proba = [np.where(np.arange(4)[:, np.newaxis] < count, truth, wrong) * 0.8 + 0.2 / 3 for count in n_right]
    found = of_corruptions(np.concatenate(proba), labels, classes=classes)
    assert [(item.kind, item.level) for item in found] == [(kind.name, f"{strength:g}") for kind, strength in NAMED]
    assert [item.n_correct for item in found] == n_right
    assert {item.n_samples for item in found} == {4}
    np.testing.assert_allclose([item.mean_confidence for item in found], 0.8 + 0.2 / 3)
