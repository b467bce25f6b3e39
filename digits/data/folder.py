"""A folder of labelled pictures, ``PATH/0/*.png … PATH/9/*.png``, brought into MNIST's frame."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from digits.data.images import MNIST_FRAME, read_picture
from digits.errors import BlankPictureError, PictureError, SourceError

__all__ = ["read_folder"]

# What file managers leave behind; hidden files, whose names begin with a dot, are passed over likewise.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
# A picture beside the label folders has no label; a README or a licence there does no harm.
_SUFFIXES = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".ppm", ".pgm", ".pbm", ".avif"}
_LABELS = tuple("0123456789")
# An error names this many of the offenders; the count tells how many there are.
_NAMED = 3


def read_folder(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.uint8], list[str]]:
    """Read every picture in the folders ``0`` to ``9`` of `path`.

    Parameters
    ----------
    path
        Folder of label folders. A digit may be missing; hidden files, and what is no picture beside the
        label folders, are not read.

    Returns
    -------
    tuple
        Images ``(n_samples, 28, 28)`` uint8, a blank picture without any ink, labels ``(n_samples,)`` uint8, and the
        names of the files relative to `path`, sorted: row by row.

    Raises
    ------
    SourceError
        There is no such folder, a folder in it is no digit, a picture has no label, a label folder holds a folder,
        there are no pictures at all, or one of them cannot be read.
    """
    files = _listed(path)
    images: list[NDArray[np.uint8]] = []
    faults: list[str] = []
    for file in _with_progress(files):
        try:
            images.append(read_picture(file, frame=MNIST_FRAME))
        except BlankPictureError:
            images.append(np.zeros((MNIST_FRAME.height, MNIST_FRAME.width), np.uint8))  # validation judges it
        except PictureError as error:
            faults.append(str(error))
    if faults:
        raise SourceError(
            f"{len(faults)} of {len(files)} files in {path} cannot be read as pictures of digits: "
            f"{_first(faults)}; mend them or take them out"
        )
    labels = np.array([int(file.parent.name) for file in files], dtype=np.uint8)
    return np.stack(images), labels, [file.relative_to(path).as_posix() for file in files]


def _listed(path: Path) -> list[Path]:
    """Return the files in the label folders, sorted by their relative names."""
    try:
        top = [entry for entry in path.iterdir() if not _is_litter(entry)]
        folders = [entry for entry in top if entry.is_dir()]
        wrong = sorted(folder.name for folder in folders if folder.name not in _LABELS)
        if wrong:
            raise SourceError(
                f"{len(wrong)} of {len(folders)} folders in {path} are no digits: {_first(wrong)}; wanted 0 to 9 only"
            )
        stray = sorted(entry.name for entry in top if entry.is_file() and entry.suffix.lower() in _SUFFIXES)
        if stray:
            raise SourceError(
                f"{len(stray)} pictures lie outside the label folders of {path}: {_first(stray)}; "
                "move them into 0 to 9 or take them out"
            )
        entries = [entry for folder in folders for entry in folder.iterdir() if not _is_litter(entry)]
    except OSError as error:
        raise SourceError(
            f"cannot read the folder {path} ({error.strerror}); wanted PATH/0/*.png to PATH/9/*.png"
        ) from error
    nested = sorted(entry.relative_to(path).as_posix() for entry in entries if entry.is_dir())
    if nested:
        raise SourceError(
            f"{len(nested)} folders lie inside the label folders of {path}: {_first(nested)}; wanted pictures only"
        )
    if strange := [entry.name for entry in entries if not entry.name.isprintable()]:
        raise SourceError(
            f"{len(strange)} names of files in {path} are no text: {_first([ascii(name) for name in strange])}; "
            "rename them"
        )
    if not entries:
        raise SourceError(f"no pictures in {path}; wanted PATH/0/*.png to PATH/9/*.png")
    return sorted(entries, key=lambda entry: entry.relative_to(path).as_posix())


def _is_litter(entry: Path) -> bool:
    return entry.name.startswith(".") or entry.name.lower() in _LITTER


def _first(names: list[str]) -> str:
    more = f", and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return "; ".join(names[:_NAMED]) + more


def _with_progress(files: list[Path]) -> Iterable[Path]:
    """Return `files` behind a progress bar on standard error, where that is a terminal."""
    from tqdm import tqdm

    return tqdm(files, desc="reading pictures", unit="", disable=not sys.stderr.isatty(), leave=False)
