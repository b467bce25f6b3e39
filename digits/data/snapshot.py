"""A snapshot: the images and labels of a dataset, frozen, with a digest that depends on them alone.

Does not know where the images came from (``sources``) or what they must be like (``contract``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits.errors import MissingError
from digits.files import replaced_folder, write_json

__all__ = ["Snapshot", "write_snapshot"]

IMAGES, LABELS, DESCRIPTION = "images.npy", "labels.npy", "snapshot.json"


@dataclass(frozen=True)
class Snapshot:
    """Reference to a snapshot in a folder; cheap to pass on, the arrays are mapped when they are asked for.

    Attributes
    ----------
    path
        Folder that holds ``images.npy``, ``labels.npy`` and ``snapshot.json``.
    dataset
        Name of the dataset.
    digest
        SHA-256 over shapes and bytes of images and labels, 64 hexadecimal digits.
    n_samples, height, width
        Shape of the images.
    max_value
        Largest value that a pixel of this dataset can take: 255 for MNIST, 16 for scikit-learn's digits.
    """

    path: Path
    dataset: str
    digest: str
    n_samples: int
    height: int
    width: int
    max_value: int

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the description of the snapshot in `path`.

        Raises
        ------
        MissingError
            There is no snapshot, or its description cannot be read.
        """
        try:
            content = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
            return cls(path=path, **{name: content[name] for name in _FIELDS})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingError(
                f"no snapshot in {path} ({type(error).__name__}: {error}); run `digits ingest {path.name}`"
            ) from error

    def images(self) -> NDArray[np.uint8]:
        """Return the images, ``(n_samples, height, width)`` uint8 in ``[0, max_value]``, mapped read-only."""
        return self._mapped(IMAGES)

    def labels(self) -> NDArray[np.uint8]:
        """Return the labels, ``(n_samples,)`` uint8 in ``[0, 9]``, mapped read-only."""
        return self._mapped(LABELS)

    def verify(self) -> None:
        """Raise `MissingError` when the arrays are not those that the digest was taken of."""
        found = digest_of(self.images(), self.labels())
        if found != self.digest:
            raise MissingError(
                f"snapshot {self.path} is damaged: digest {found[:12]}, wanted {self.digest[:12]}; "
                f"run `digits ingest {self.dataset}`"
            )

    def _mapped(self, name: str) -> NDArray[np.uint8]:
        try:
            array: NDArray[np.uint8] = np.load(self.path / name, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise MissingError(
                f"cannot read {self.path / name} ({error}); run `digits ingest {self.dataset}`"
            ) from error
        return array


_FIELDS = ("dataset", "digest", "n_samples", "height", "width", "max_value")


def digest_of(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> str:
    """Return the SHA-256 over shapes and bytes of images and labels."""
    digest = hashlib.sha256()
    for array in (images, labels):
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def write_snapshot(
    path: Path,
    *,
    dataset: str,
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    max_value: int,
    description: Mapping[str, Any],
) -> Snapshot:
    """Write a snapshot into `path`, replacing the one that is there only when the new one is whole.

    Parameters
    ----------
    path
        Folder of the snapshot.
    dataset
        Name of the dataset.
    images
        ``(n_samples, height, width)`` uint8 in ``[0, max_value]``.
    labels
        ``(n_samples,)`` uint8.
    max_value
        Largest value that a pixel can take.
    description
        What else to say about the images (title, licence, source); must not depend on the day or the machine.
    """
    n_samples, height, width = images.shape
    digest = digest_of(images, labels)
    counts = np.bincount(labels, minlength=10)
    with replaced_folder(path) as work:
        np.save(work / IMAGES, np.ascontiguousarray(images), allow_pickle=False)
        np.save(work / LABELS, np.ascontiguousarray(labels), allow_pickle=False)
        write_json(
            work / DESCRIPTION,
            {
                "dataset": dataset,
                "digest": digest,
                "n_samples": n_samples,
                "height": height,
                "width": width,
                "max_value": max_value,
                "value_range": [int(images.min()), int(images.max())],
                "label_counts": {str(label): int(count) for label, count in enumerate(counts)},
                **description,
            },
        )
    return Snapshot.load(path)
