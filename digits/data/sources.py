"""Where a dataset's images come from: a source is read, checked, and frozen in a snapshot."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import Field

from digits.data.card import Card, read_card
from digits.data.downloads import OpenMLFetch, downloaded
from digits.data.folder import read_folder
from digits.data.images import DIGITS_FRAME, MNIST_FRAME
from digits.data.mnist import MnistCard, read_mnist
from digits.data.snapshot import Batch, Snapshot, write_snapshot
from digits.params import Section

__all__ = ["FolderSource", "IngestParams", "MnistSource", "SklearnSource", "ingest"]

log = logging.getLogger(__name__)


class SklearnSource(Section):
    """scikit-learn's digits, which come with the library; `path` is the folder of their card."""

    source: Literal["sklearn"] = "sklearn"
    path: Path


class MnistSource(Section):
    """MNIST, or a dataset published in the same files; `path` is the folder of its card."""

    source: Literal["mnist"] = "mnist"
    path: Path


class FolderSource(Section):
    """Anyone's own labelled digits; `path` is the folder that holds the folders ``0`` to ``9``."""

    source: Literal["folder"] = "folder"
    path: Path


#: Section ``ingest`` of ``params.yaml``. A relative `path` starts at the project's root.
IngestParams = Annotated[SklearnSource | MnistSource | FolderSource, Field(discriminator="source")]


class _Source(NamedTuple):
    """What is read: batches of images with their labels, the range of their values and what to say about them."""

    batches: Iterable[Batch]
    max_value: int
    description: dict[str, Any]


def ingest(
    params: SklearnSource | MnistSource | FolderSource,
    *,
    dataset: str,
    path: Path,
    root: Path = Path(),
    mnist_dir: Path | None = None,
    downloads: Path | None = None,
    fetch_openml: OpenMLFetch | None = None,
) -> Snapshot:
    """Read a source and freeze its images in a snapshot; after an error the previous snapshot is as it was.

    Parameters
    ----------
    params
        Which source, and where it or its card lies.
    dataset
        Name of the dataset.
    path
        Folder of the snapshot.
    root
        Folder that a relative ``params.path`` starts at.
    mnist_dir
        Folder with the files of MNIST, plain or ``.gz``; when it is given, they are taken from nowhere else.
    downloads
        Folder that keeps downloaded files; ``None`` keeps none.
    fetch_openml
        Stands in for ``sklearn.datasets.fetch_openml`` in tests.

    Raises
    ------
    SourceError
        The source is missing, truncated, corrupt or mislabelled.
    """
    folder = root / params.path.expanduser()
    with _opened(params, folder, mnist_dir=mnist_dir, downloads=downloads, fetch_openml=fetch_openml) as source:
        snapshot = write_snapshot(
            path,
            dataset=dataset,
            batches=source.batches,
            max_value=source.max_value,
            description={"source": params.source, **source.description},
        )
    log.info("ingested %d images of %s, digest %s", snapshot.n_samples, dataset, snapshot.digest[:12])
    return snapshot


@contextmanager
def _opened(
    params: SklearnSource | MnistSource | FolderSource,
    folder: Path,
    *,
    mnist_dir: Path | None,
    downloads: Path | None,
    fetch_openml: OpenMLFetch | None,
) -> Iterator[_Source]:
    """Yield what is in a source; what has to be downloaded for it is here before, what is read may be read later."""
    match params:
        case SklearnSource():
            yield _sklearn(folder)
        case MnistSource():
            card = read_card(folder, model=MnistCard)
            if mnist_dir is not None:
                yield _mnist(card, read_mnist(card, folder=mnist_dir))
                return
            with downloaded(card, downloads=downloads, fetch_openml=fetch_openml) as cache:
                # A plain file that lies in the cache is none of those that were checked.
                yield _mnist(card, read_mnist(card, folder=cache, plain=False))
        case FolderSource():
            images, labels, files = read_folder(folder)
            description = {"title": "A folder of pictures", "files": files}
            yield _Source([(images, labels)], MNIST_FRAME.max_value, description)


def _mnist(card: MnistCard, batches: Iterable[Batch]) -> _Source:
    return _Source(batches, MNIST_FRAME.max_value, card.description())


def _sklearn(folder: Path) -> _Source:
    from sklearn.datasets import load_digits

    card = read_card(folder, model=Card)
    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    return _Source([(images, labels)], DIGITS_FRAME.max_value, card.description())
