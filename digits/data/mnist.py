"""MNIST, from a folder, from mirrors or from OpenML: the same bytes, held against the same MD5s, in any case.

Wherever they come from, the files end in a folder and are read one part after the other: memory holds one part at most.
"""

from __future__ import annotations

import gzip
import logging
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from digits.data import idx
from digits.data.card import Card
from digits.errors import SourceError
from digits.files import replaced_file
from digits.params import Section

__all__ = ["MnistCard", "OpenMLFetch", "read_mnist"]

log = logging.getLogger(__name__)

Images = NDArray[np.uint8]
Labels = NDArray[np.uint8]

#: ``fetch_openml(name, version=…, data_home=…)`` → data ``(n_samples, n_pixels)`` and target ``(n_samples,)``.
OpenMLFetch = Callable[..., tuple[NDArray[Any], NDArray[Any]]]

# Seconds to wait for a mirror to answer, and for its next bytes.
_TIMEOUT = (10, 60)


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


def read_mnist(
    card: MnistCard, *, folder: Path | None, downloads: Path | None, fetch_openml: OpenMLFetch | None = None
) -> Iterator[tuple[Images, Labels]]:
    """Yield the images and labels of one part after the other, in the card's order.

    Parameters
    ----------
    card
        Names and MD5s of the files, mirrors.
    folder
        Where the files lie, plain or ``.gz``. When it is given, nothing else is tried.
    downloads
        Where downloaded files are kept; ``None`` keeps none.
    fetch_openml
        Stands in for ``sklearn.datasets.fetch_openml`` in tests.

    Yields
    ------
    tuple
        Images ``(n_samples, height, width)`` uint8 in ``[0, 255]`` and labels ``(n_samples,)`` uint8.

    Raises
    ------
    SourceError
        A file is missing, truncated, corrupt or another one than the card says, or no source gives the files.
    """
    if folder is not None:
        _refuse_missing(card, folder=folder)
        yield from _parts(card, folder=folder)
        return
    with _kept(downloads) as cache:
        given, faults = _from_mirrors(card, cache=cache)
        if not given:
            given, more = _from_openml(card, cache=cache, fetch=fetch_openml)
            faults += more
        if not given:
            raise SourceError(
                f"no source gives {card.title}: {'; '.join(faults) or 'the card names none'}; "
                "connect to the network, or set DIGITS_MNIST_DIR to a folder with the files"
            )
        yield from _parts(card, folder=cache)


def _parts(card: MnistCard, *, folder: Path) -> Iterator[tuple[Images, Labels]]:
    for part in card.parts:
        yield _read(part, folder=folder)  # held by no name here while the next one is read


def _read(part: Part, *, folder: Path) -> tuple[Images, Labels]:
    images = _checked(_path(folder, name=part.images.name), file=part.images, dimensions=3)
    labels = _checked(_path(folder, name=part.labels.name), file=part.labels, dimensions=1)
    if not len(images) == len(labels) == part.n_samples:
        raise SourceError(
            f"{part.images.name} has {len(images)} images and {part.labels.name} {len(labels)} labels, "
            f"wanted {part.n_samples} of both; mend the source's card"
        )
    return images, labels


def _refuse_missing(card: MnistCard, *, folder: Path) -> None:
    files = card.files()
    if missing := [file.name for file in files if not _path(folder, name=file.name).is_file()]:
        what = "misses" if folder.is_dir() else "does not exist; MNIST needs"
        raise SourceError(
            f"the folder {folder} {what} {len(missing)} of {len(files)} files: {', '.join(missing)}; "
            "wanted each, plain or .gz"
        )


def _path(folder: Path, *, name: str) -> Path:
    plain = folder / name
    return plain if plain.is_file() else folder / f"{name}.gz"


def _checked(path: Path, *, file: File, dimensions: int) -> NDArray[np.uint8]:
    """Return the array in a file, first looking at its form, which tells more than a wrong MD5 does."""
    payload = idx.read_payload(path)
    array = idx.decode(payload, dimensions=dimensions, name=str(path))
    idx.verify(payload, md5=file.md5, name=str(path))
    return array


@contextmanager
def _kept(downloads: Path | None) -> Iterator[Path]:
    if downloads is not None:
        yield downloads
    else:
        with tempfile.TemporaryDirectory(prefix="digits-") as folder:
            yield Path(folder)


def _from_mirrors(card: MnistCard, *, cache: Path) -> tuple[bool, list[str]]:
    """Bring all files into the cache; return whether some mirror had each, and what went wrong on the way."""
    wanted = card.files()
    faults: list[str] = []
    for mirror in card.mirrors:
        try:
            for file, dimensions in list(wanted.items()):
                _download(file, dimensions=dimensions, mirror=mirror.rstrip("/"), cache=cache)
                del wanted[file]
            return True, faults
        except (OSError, ValueError, SourceError) as error:
            # OSError is the base of what requests raises; ValueError is how pooch refuses an unknown protocol.
            faults.append(f"{mirror} ({error})")
            log.warning("mirror %s does not give the files (%s); trying the next source", mirror, error)
    return False, faults


def _download(file: File, *, dimensions: int, mirror: str, cache: Path) -> None:
    """Bring a file into the cache from a mirror, unless it is there; what is wrong does not stay in the cache."""
    import pooch

    pooch.get_logger().setLevel(logging.WARNING)  # it would print the hash of every file
    name = f"{file.name}.gz"
    kept = cache / name
    if kept.exists():
        try:
            _checked(kept, file=file, dimensions=dimensions)
            return
        except SourceError as error:
            log.warning("%s; downloading it anew", error)
            kept.unlink()
    log.info("downloading %s from %s", name, mirror)
    # Of Pooch: the download beside, the rename, the progress bar (on standard error, where that is a terminal).
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT)
    pooch.retrieve(f"{mirror}/{name}", known_hash=None, fname=name, path=cache, downloader=downloader)
    try:
        _checked(kept, file=file, dimensions=dimensions)
    except SourceError:
        kept.unlink(missing_ok=True)
        raise


def _from_openml(card: MnistCard, *, cache: Path, fetch: OpenMLFetch | None) -> tuple[bool, list[str]]:
    """Rebuild all files from OpenML's arrays in the cache; return whether that could be, and what went wrong."""
    if card.openml is None:
        return False, []
    name = f"OpenML {card.openml.name} version {card.openml.version}"
    log.info("downloading %s", name)
    try:
        data, target = (fetch or _fetch_openml)(
            card.openml.name, version=card.openml.version, data_home=cache / "openml"
        )
        _write_files(card, images=_squares(data), labels=np.asarray(target).astype(np.uint8), cache=cache)
    except (OSError, ValueError, EOFError, HTTPException, zlib.error, SourceError) as error:
        # OSError is the base of urllib's errors; ValueError is how scikit-learn names data that it does not understand;
        # the others come of a download that was cut off.
        log.warning("%s does not give the files (%s)", name, error)
        return False, [f"{name} ({error})"]
    return True, []


def _fetch_openml(name: str, *, version: int, data_home: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import fetch_openml

    data, target = fetch_openml(name, version=version, data_home=data_home, as_frame=False, return_X_y=True)
    return data, target


def _squares(data: NDArray[Any]) -> Images:
    """Return rows of pixels, ``(n_samples, side * side)`` in ``[0, 255]`` of any type, as square images of uint8."""
    pixels = np.asarray(data).astype(np.uint8)
    side = round(pixels.shape[-1] ** 0.5)
    return pixels.reshape(-1, side, side)


def _write_files(card: MnistCard, *, images: Images, labels: Labels, cache: Path) -> None:
    """Cut the rows into the card's parts and write them as IDX files, held against their MD5s."""
    start = 0
    for part in card.parts:
        rows = slice(start, start + part.n_samples)
        for file, array in ((part.images, images[rows]), (part.labels, labels[rows])):
            payload = idx.encode(array)
            idx.verify(payload, md5=file.md5, name=file.name)
            with replaced_file(cache / f"{file.name}.gz") as work:
                work.write_bytes(gzip.compress(payload, compresslevel=1))
        start = rows.stop
