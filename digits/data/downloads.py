"""MNIST's files brought to this machine, from mirrors or from OpenML: the same bytes, held against the same MD5s.

A mirror's files are checked one by one; OpenML's images come all at once, and are in memory until they are written.
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

from digits.data import idx
from digits.data.mnist import File, MnistCard, OpenML, checked, zipped
from digits.errors import SourceError
from digits.files import replaced_file

__all__ = ["OpenMLFetch", "downloaded"]

log = logging.getLogger(__name__)

#: ``fetch_openml(name, version=…, data_home=…)`` → data ``(n_samples, n_pixels)`` and target ``(n_samples,)``.
OpenMLFetch = Callable[..., tuple[NDArray[Any], NDArray[Any]]]

# Seconds to wait for a mirror to answer, and for its next bytes.
_TIMEOUT = (10, 60)


@contextmanager
def downloaded(card: MnistCard, *, downloads: Path | None, fetch_openml: OpenMLFetch | None = None) -> Iterator[Path]:
    """Yield a folder in which all files of the card lie as ``.gz``: those kept before, and the others downloaded.

    Parameters
    ----------
    card
        Names and MD5s of the files, mirrors.
    downloads
        Where downloaded files are kept; ``None`` keeps none.
    fetch_openml
        Stands in for ``sklearn.datasets.fetch_openml`` in tests.

    Raises
    ------
    SourceError
        No source gives the files.
    """
    with _kept(downloads) as cache:
        given, faults = _from_mirrors(card, cache=cache)
        if not given:
            given, more = _from_openml(card, cache=cache, fetch=fetch_openml or _fetch_openml)
            faults += more
        if not given:
            raise SourceError(
                f"no source gives {card.title}: {'; '.join(faults) or 'the card names none'}; "
                "connect to the network, or set DIGITS_MNIST_DIR to a folder with the files"
            )
        yield cache


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
    kept = zipped(cache, file)
    if kept.exists():
        try:
            checked(kept, file=file, dimensions=dimensions)
            return
        except SourceError as error:
            log.warning("%s; downloading it anew", error)
            kept.unlink()
    log.info("downloading %s from %s", kept.name, mirror)
    # Of Pooch: the download beside, the rename, the progress bar (on standard error, where that is a terminal).
    downloader = pooch.HTTPDownloader(progressbar=sys.stderr.isatty(), timeout=_TIMEOUT)
    pooch.retrieve(f"{mirror}/{kept.name}", known_hash=None, fname=kept.name, path=cache, downloader=downloader)
    try:
        checked(kept, file=file, dimensions=dimensions)
    except SourceError:
        kept.unlink(missing_ok=True)
        raise


def _from_openml(card: MnistCard, *, cache: Path, fetch: OpenMLFetch) -> tuple[bool, list[str]]:
    """Rebuild all files from OpenML's arrays in the cache; return whether that could be, and what went wrong."""
    if card.openml is None:
        return False, []
    name = f"OpenML {card.openml.name} version {card.openml.version}"
    log.info("downloading %s", name)
    try:
        payloads = _payloads(card, source=card.openml, fetch=fetch, data_home=cache / "openml")
    except (OSError, ValueError, EOFError, HTTPException, zlib.error, SourceError) as error:
        # OSError is the base of urllib's errors; ValueError is how scikit-learn names data that it does not understand;
        # the others come of a download that was cut off.
        log.warning("%s does not give the files (%s)", name, error)
        return False, [f"{name} ({error})"]
    for file, payload in payloads.items():  # not above: a full disk is no fault of OpenML
        with replaced_file(zipped(cache, file)) as work:
            work.write_bytes(gzip.compress(payload, compresslevel=1))
    return True, []


def _payloads(card: MnistCard, *, source: OpenML, fetch: OpenMLFetch, data_home: Path) -> dict[File, bytes]:
    """Cut OpenML's rows into the card's parts and return the bytes of each file, held against its MD5."""
    data, target = fetch(source.name, version=source.version, data_home=data_home)
    images, labels = _squares(data), np.asarray(target).astype(np.uint8)
    payloads: dict[File, bytes] = {}
    start = 0
    for part in card.parts:
        rows = slice(start, start + part.n_samples)
        payloads |= {part.images: idx.encode(images[rows]), part.labels: idx.encode(labels[rows])}
        start = rows.stop
    for file, payload in payloads.items():
        idx.verify(payload, md5=file.md5, name=file.name)
    return payloads


def _fetch_openml(name: str, *, version: int, data_home: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    from sklearn.datasets import fetch_openml

    data, target = fetch_openml(name, version=version, data_home=data_home, as_frame=False, return_X_y=True)
    return data, target


def _squares(data: NDArray[Any]) -> NDArray[np.uint8]:
    """Return rows of pixels, ``(n_samples, side * side)`` in ``[0, 255]`` of any type, as square images of uint8."""
    pixels = np.asarray(data).astype(np.uint8)
    side = round(pixels.shape[-1] ** 0.5)
    return pixels.reshape(-1, side, side)
