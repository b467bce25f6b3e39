"""What a classifier must do whatever its accuracy: stay the same, change in one direction, and know the obvious.

After M. T. Ribeiro et al., "Beyond accuracy: behavioral testing of NLP models with CheckList", ACL 2020: invariance,
directional expectation, and minimum functionality.
"""

from __future__ import annotations

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
#: Families with what differs from their defaults. Convolutional networks are surer of strong noise: docs/evaluation.md.
MEMBERS: dict[str, dict[str, Any]] = {
    "logistic_regression": {},
    "svm": {},
    "mlp": {},
    "dense_network": {"epochs": 10},
}
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
def members(mnist_rows: tuple[Images, Images]) -> dict[str, Any]:
    """Return a linear family, one with a kernel and two networks, fitted."""
    images, labels = mnist_rows
    return {
        name: FAMILIES[name].model_validate(params).build(seed=0).fit(images[:N_TRAIN], labels[:N_TRAIN])
        for name, params in MEMBERS.items()
    }


@pytest.fixture(scope="module", params=[*MEMBERS, "voting"])
def reader(request: pytest.FixtureRequest, members: dict[str, Any], mnist_rows: tuple[Images, Images]) -> Any:
    """Return one of them, or the ensemble of all: of that kind is what serves."""
    if request.param in members:
        return members[request.param]
    images, labels = (rows[:N_TRAIN] for rows in mnist_rows)
    proba = np.stack([member.predict_proba(images) for member in members.values()])
    voting: Any = FAMILIES["voting"](members=tuple(MEMBERS)).build(seed=0)
    return voting.fit_members_proba(proba, labels).attach(list(members.items()))


@pytest.fixture(scope="module")
def unseen(mnist_rows: tuple[Images, Images]) -> Images:
    """Return images that no reader was fitted on."""
    return mnist_rows[0][N_TRAIN:]


@pytest.mark.parametrize("step", [(0, 1), (0, -1), (1, 0), (-1, 0)])
def test_a_shift_by_one_pixel_changes_nothing(reader: Any, unseen: Images, step: tuple[int, int]) -> None:
    """Invariance: nearly all images are read as before."""
    shifted = np.roll(unseen, step, axis=(1, 2))
    assert np.mean(reader.predict(shifted) == reader.predict(unseen)) >= 0.95


def test_framing_a_picture_takes_polarity_away(reader: Any, unseen: Images) -> None:
    """Invariance: light ink on dark is read as dark ink on light, because of the framing; no model knows the latter."""
    large = [cv2.resize(image, None, fx=8, fy=8, interpolation=cv2.INTER_CUBIC) for image in unseen[:100]]
    framed = [
        np.stack([frame_picture(Image.fromarray(picture), frame=MNIST_FRAME) for picture in pictures])
        for pictures in (large, [255 - image for image in large])
    ]
    np.testing.assert_array_equal(*(reader.predict(images) for images in framed))


@pytest.mark.parametrize("kind", ["noise", "blur"])
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
