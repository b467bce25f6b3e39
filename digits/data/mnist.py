"""MNIST's card and files: read one part after the other, each held against the MD5 that the card says.

Does not know where the files came from (``downloads``).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from digits.data import idx
from digits.data.card import Card
from digits.data.snapshot import Batch
from digits.errors import SourceError
from digits.params import Section

__all__ = ["File", "MnistCard", "OpenML", "checked", "read_mnist", "zipped"]


class File(Section):
    """One IDX file: its name without ``.gz``, and the MD5 of its decompressed bytes."""

    name: str = Field(min_length=1, pattern=r"^[^/\\]+$")
    md5: str = Field(pattern="^[0-9a-f]{32}$")


class Part(Section):
    """Images, how many they are, and the labels that belong to them."""

    n_samples: int = Field(ge=1)
    images: File
    labels: File


class OpenML(Section):
    """A dataset of OpenML that holds the same images."""

    name: str
    version: int = Field(ge=1)


class MnistCard(Card):
    """The card of MNIST, or of any dataset published in the same four files.

    Attributes
    ----------
    parts
        The files in the order of the snapshot's rows.
    mirrors
        URLs of folders that hold the files with ``.gz`` behind their names; tried in turn.
    openml
        Where to ask when no mirror gives the files.
    """

    parts: tuple[Part, ...] = Field(min_length=1)
    mirrors: tuple[str, ...] = ()
    openml: OpenML | None = None

    def files(self) -> dict[File, int]:
        """Return every file with the number of its dimensions: 3 for images, 1 for labels."""
        return {file: dimensions for part in self.parts for file, dimensions in ((part.images, 3), (part.labels, 1))}


def read_mnist(card: MnistCard, *, folder: Path, plain: bool = True) -> Iterator[Batch]:
    """Return an iterator over the images and labels of one part after the other, in the card's order.

    Parameters
    ----------
    card
        Names and MD5s of the files.
    folder
        Where they lie.
    plain
        Whether a plain file is read before one of its name that ends in ``.gz``; else only the latter are.

    Returns
    -------
    Iterator
        Of images ``(n_samples, height, width)`` uint8 in ``[0, 255]`` with labels ``(n_samples,)`` uint8. A part is
        read when it is asked for, and let go of before the next one is read.

    Raises
    ------
    SourceError
        A file is missing; or, when its part is asked for, it is truncated, corrupt or another one than the card says,
        or its images are not as large as the first part's.
    """
    files = card.files()
    if missing := [file.name for file in files if not _path(folder, file, plain=plain).is_file()]:
        what = "misses" if folder.is_dir() else "does not exist; MNIST needs"
        raise SourceError(
            f"the folder {folder} {what} {len(missing)} of {len(files)} files: {', '.join(missing)}; "
            f"wanted each, {'plain or ' if plain else ''}.gz"
        )
    return _parts(card, folder=folder, plain=plain)


def _parts(card: MnistCard, *, folder: Path, plain: bool) -> Iterator[Batch]:
    size: tuple[int, ...] = ()
    for part in card.parts:
        images = checked(_path(folder, part.images, plain=plain), file=part.images, dimensions=3)
        labels = checked(_path(folder, part.labels, plain=plain), file=part.labels, dimensions=1)
        if not len(images) == len(labels) == part.n_samples:
            raise SourceError(
                f"{part.images.name} has {len(images)} images and {part.labels.name} {len(labels)} labels, "
                f"wanted {part.n_samples} of both; mend the source's card"
            )
        size = size or images.shape[1:]
        if images.shape[1:] != size:
            raise SourceError(
                f"{part.images.name} has images of {_pixels(images.shape[1:])} pixels, wanted {_pixels(size)} as in "
                f"{card.parts[0].images.name}; mend the source's card"
            )
        yield images, labels
        del images, labels  # before the next part is read


def _pixels(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))


def zipped(folder: Path, file: File) -> Path:
    """Return where a file lies as ``.gz``."""
    return folder / f"{file.name}.gz"


def _path(folder: Path, file: File, *, plain: bool) -> Path:
    return path if plain and (path := folder / file.name).is_file() else zipped(folder, file)


def checked(path: Path, *, file: File, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in a file, first looking at its form, which tells more than a wrong MD5 does.

    Raises
    ------
    SourceError
        The file is truncated, corrupt or another one than the card says.
    """
    payload = idx.read_payload(path)
    array = idx.decode(payload, dimensions=dimensions, name=str(path))
    idx.verify(payload, md5=file.md5, name=str(path))
    return array
