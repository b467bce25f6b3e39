"""More images than a dataset has: its own again and again, each time distorted otherwise, published as MNIST is."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray

from digits.data import idx
from digits.data.card import CARD
from digits.data.images import MNIST_FRAME
from digits.data.snapshot import Batch, Snapshot
from digits.models.augmentation import random_transforms
from digits.models.networks import Augmentation

__all__ = ["BATCH_ROWS", "distorted", "publish"]

#: So many images are distorted at a time, and stand in one file.
BATCH_ROWS = 7_000


def distorted(snapshot: Snapshot, *, n_images: int, seed: int) -> Iterator[Batch]:
    """Yield images of a snapshot in batches, round and round, distorted as the networks' training images are.

    The first so many images are the same however many are asked for.

    Parameters
    ----------
    snapshot
        Of square images, which are brought to the range of MNIST's values.
    n_images
        How many there are to be.
    seed
        Seeds the distortions.

    Yields
    ------
    tuple
        Images ``(n, side, side)`` uint8 in ``[0, 255]`` and labels ``(n,)`` uint8; `BATCH_ROWS`, and in the end fewer.
    """
    images, labels, side = snapshot.images(), snapshot.labels(), snapshot.width
    for number, start in enumerate(range(0, n_images, BATCH_ROWS)):
        rng = np.random.default_rng([seed, number])
        transforms = random_transforms(BATCH_ROWS, side=side, rng=rng, **Augmentation().model_dump())
        rows = np.arange(start, min(start + BATCH_ROWS, n_images)) % snapshot.n_samples
        full = np.rint(images[rows] * (MNIST_FRAME.max_value / snapshot.max_value)).astype(np.uint8)
        maps = transforms[: len(rows), :6].reshape(-1, 2, 3)
        yield np.stack([_distort(image, back) for image, back in zip(full, maps, strict=True)]), labels[rows]


def _distort(image: NDArray[np.uint8], back: NDArray[np.float32]) -> NDArray[np.uint8]:
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(image, back, image.shape[::-1], flags=flags), dtype=np.uint8)


def publish(batches: Iterator[Batch], *, title: str, files: Path, card: Path) -> None:
    """Write a batch as two IDX files in a new folder `files`, and in another, `card`, the card with their MD5s."""
    parts = []
    for folder in (files, card):
        folder.mkdir(parents=True)
    for number, (images, labels) in enumerate(batches):
        part: dict[str, object] = {"n_samples": len(images)}
        for kind, array in (("images", images), ("labels", labels)):
            payload = idx.encode(array)
            name = f"{number:05d}-{kind}-idx{array.ndim}-ubyte"
            (files / name).write_bytes(payload)
            part[kind] = {"name": name, "md5": hashlib.md5(payload, usedforsecurity=False).hexdigest()}
        parts.append(part)
    words = dict.fromkeys(("homepage", "licence", "citation"), "as of the images that were distorted")
    content = {"title": title, **words, "parts": parts}
    (card / CARD).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
