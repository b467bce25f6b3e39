"""A snapshot: the images and labels of a dataset, frozen, with a digest that depends on them alone.

Does not know where the images came from (``sources``) or what they must be like (``contract``).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from digits.errors import MissingError
from digits.files import replaced_folder, write_json

__all__ = ["Batch", "Snapshot", "write_snapshot"]

#: Images ``(n_samples, height, width)`` with their labels ``(n_samples,)``, both uint8.
Batch = tuple[NDArray[np.uint8], NDArray[np.uint8]]

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
    batches: Iterable[Batch],
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
    batches
        Images in ``[0, max_value]`` and labels, at least one batch; each is let go of before the next is asked for.
    max_value
        Largest value that a pixel can take.
    description
        What else to say about the images (title, licence, source); must not depend on the day or the machine.

    Raises
    ------
    ValueError
        There is no batch, or one whose images have another size or type than those of the first.
    """
    with replaced_folder(path) as work:
        with (work / IMAGES).open("wb") as file:
            labels, value_range = _write_images(file, batches)
        np.save(work / LABELS, labels, allow_pickle=False)
        images = np.load(work / IMAGES, mmap_mode="r", allow_pickle=False)
        n_samples, height, width = images.shape
        counts = np.bincount(labels, minlength=10)
        write_json(
            work / DESCRIPTION,
            {
                "dataset": dataset,
                "digest": digest_of(images, labels),
                "n_samples": n_samples,
                "height": height,
                "width": width,
                "max_value": max_value,
                "value_range": value_range,
                "label_counts": {str(label): int(count) for label, count in enumerate(counts)},
                **description,
            },
        )
    return Snapshot.load(path)


def _write_images(file: BinaryIO, batches: Iterable[Batch]) -> tuple[NDArray[np.uint8], list[int]]:
    """Write the images of all batches as one array; return all labels, and the least and the largest pixel."""
    all_labels: list[NDArray[np.uint8]] = []
    extremes: list[int] = []
    n_samples = 0
    for images, labels in batches:
        if not all_labels:
            size, dtype = images.shape[1:], images.dtype
            _write_header(file, dtype, shape=(0, *size))
        if images.shape[1:] != size or images.dtype != dtype:
            raise ValueError(f"found images of {images.shape[1:]} {images.dtype}, wanted all like {size} {dtype}")
        file.write(np.ascontiguousarray(images).data)
        n_samples += len(images)
        all_labels.append(labels)
        extremes += [int(images.min()), int(images.max())]
        del images, labels  # before the next batch is read
    if not all_labels:
        raise ValueError("found no images, wanted at least one batch of them")
    file.seek(0)
    _write_header(file, dtype, shape=(n_samples, *size))
    return np.concatenate(all_labels), [min(extremes), max(extremes)]


def _write_header(file: BinaryIO, dtype: np.dtype[Any], *, shape: tuple[int, ...]) -> None:
    """Write the header of ``images.npy``; NumPy leaves room in it, so that it is as long for any number of rows."""
    header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
