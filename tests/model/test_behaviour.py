"""What a classifier must do whatever its accuracy: stay the same, change in one direction, and know the obvious.

After M. T. Ribeiro et al., "Beyond accuracy: behavioral testing of NLP models with CheckList", ACL 2020: invariance,
directional expectation, and minimum functionality.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from digits.data import idx
from digits.data.images import MNIST_FRAME, frame_picture
from digits.experiments.corruptions import CORRUPTIONS, corrupt
from digits.models.families import FAMILIES

Images = NDArray[np.uint8]
N_TRAIN, N_TEST = 4000, 300
#: What differs from the defaults of a family: what takes long is small, and fitted soon.
SMALL: dict[str, dict[str, Any]] = {
    "gradient_boosting": {"rounds": 50, "copies": 0},
    "dense_network": {"epochs": 8, "batch_size": 64},
    "cnn": {
        "stages": [[32], [64], [96]],
        "strides": [2, 2, 2],
        "normalised": [False, False, False],
        "dropout": 0,
        "epochs": 6,
        "batch_size": 50,
        "learning_rate": 0.01,
    },
    "rnn": {"cell": "gru", "units": 32, "epochs": 8, "batch_size": 64, "learning_rate": 0.02},
}
#: Ensembles ask the kinds that those of MNIST in params.yaml ask.
MEMBERS = ("cnn", "svm", "rnn")
ENSEMBLES = ("voting", "stacking")
READERS = [*(name for name, family in FAMILIES.items() if family.section == "families"), *ENSEMBLES]
#: Strong noise makes a convolutional network surer, strong blur a dense one; nearest neighbours agree a little more
#: about what is slightly blurred: docs/evaluation.md.
SURER = {("cnn", "noise"), ("dense_network", "blur"), ("k_nearest_neighbors", "blur")}
HARMED = [
    pytest.param(
        name,
        kind,
        marks=pytest.mark.xfail(
            (name, kind) in SURER, reason="surer of what is harmed: docs/evaluation.md", strict=True
        ),
    )
    for name in READERS
    for kind in ("noise", "blur")
]
KINDS = {kind.name: kind for kind in CORRUPTIONS}


@pytest.fixture(scope="module")
def mnist_rows(mnist_dir: Path) -> tuple[Images, Images]:
    """Return images to learn from and others, with their labels, all from MNIST's training part."""
    images, labels = (
        idx.decode(idx.read_payload(mnist_dir / f"train-{kind}-ubyte.gz"), dimensions=dimensions, name=kind)
        for kind, dimensions in (("images-idx3", 3), ("labels-idx1", 1))
    )
    return images[: N_TRAIN + N_TEST], labels[: N_TRAIN + N_TEST]


@pytest.fixture(scope="module")
def fitted(mnist_rows: tuple[Images, Images]) -> Callable[[str], Any]:
    """Return a function that gives a family, fitted once."""
    images, labels = (rows[:N_TRAIN] for rows in mnist_rows)

    @cache
    def fit(name: str) -> Any:
        return FAMILIES[name].model_validate(SMALL.get(name, {})).build(seed=0).fit(images, labels)

    return fit


@pytest.fixture(scope="module", params=READERS)
def reader(request: pytest.FixtureRequest, fitted: Callable[[str], Any], mnist_rows: tuple[Images, Images]) -> Any:
    """Return a fitted family, or the ensemble."""
    if request.param not in ENSEMBLES:
        return fitted(request.param)
    images, labels = (rows[:N_TRAIN] for rows in mnist_rows)
    members = {name: fitted(name) for name in MEMBERS}
    proba = np.stack([member.predict_proba(images) for member in members.values()])
    ensemble: Any = FAMILIES[request.param](members=MEMBERS).build(seed=0)
    return ensemble.fit_members_proba(proba, labels).attach(list(members.items()))


@pytest.fixture(scope="module")
def unseen(mnist_rows: tuple[Images, Images]) -> Images:
    """Return images that no reader was fitted on."""
    return mnist_rows[0][N_TRAIN:]


@pytest.fixture(scope="module")
def framed(unseen: Images) -> tuple[Images, Images]:
    """Return large pictures of unseen images as they are framed, light on dark and dark on light."""
    large = [cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC) for image in unseen[:100]]
    light, dark = (
        np.stack([frame_picture(Image.fromarray(picture), frame=MNIST_FRAME) for picture in pictures])
        for pictures in (large, [255 - image for image in large])
    )
    return light, dark


@pytest.mark.parametrize("step", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_a_shift_by_one_pixel_changes_nothing(reader: Any, unseen: Images, step: tuple[int, int]) -> None:
    """Invariance: nearly all images are read as before."""
    shifted = np.roll(unseen, step, axis=(1, 2))
    assert np.mean(reader.predict(shifted) == reader.predict(unseen)) >= 0.95


def test_framing_a_picture_takes_polarity_away(reader: Any, framed: tuple[Images, Images]) -> None:
    """Invariance: light ink on dark is read as dark ink on light, because of the framing; no model knows the latter."""
    np.testing.assert_array_equal(*map(reader.predict, framed))


@pytest.mark.parametrize(("reader", "kind"), HARMED, indirect=["reader"], scope="module")
def test_harm_never_makes_surer(reader: Any, unseen: Images, kind: str) -> None:
    """Direction: the more noise or blur, the lower the mean confidence."""
    harmed = [corrupt(unseen, KINDS[kind], strength, max_value=255) for strength in KINDS[kind].strengths]
    confidence = [float(reader.predict_proba(images).max(axis=1).mean()) for images in (unseen, *harmed)]
    assert confidence == sorted(confidence, reverse=True)


def test_ten_clean_digits_are_read(reader: Any, mnist_rows: tuple[Images, Images]) -> None:
    """Minimum functionality: of each digit the unseen image that is most like the mean of those that were learnt."""
    images, labels = mnist_rows
    seen, unseen = images[:N_TRAIN].astype(float), images[N_TRAIN:]
    clean = []
    for digit in range(10):
        found = unseen[labels[N_TRAIN:] == digit]
        far = np.abs(found - seen[labels[:N_TRAIN] == digit].mean(axis=0)).sum(axis=(1, 2))
        clean.append(found[far.argmin()])
    assert reader.predict(np.stack(clean)).tolist() == list(range(10))
