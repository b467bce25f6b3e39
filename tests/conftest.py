"""Fixtures that every kind of test may use."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from digits.data import idx
from digits.data.sources import MnistSource

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def root() -> Path:
    """Return the folder of this checkout."""
    return ROOT


@pytest.fixture(scope="session")
def mnist_dir() -> Path:
    """Return the folder with the four files of MNIST, or skip."""
    folder = os.environ.get("DIGITS_MNIST_DIR")
    if not folder:
        pytest.skip("DIGITS_MNIST_DIR is not set")
    return Path(folder)


@dataclass(frozen=True)
class SmallMnist:
    """A dataset of 50 made images, published as MNIST is: four IDX files and a card with their MD5s."""

    card: Path
    images: NDArray[np.uint8]
    labels: NDArray[np.uint8]

    @property
    def params(self) -> MnistSource:
        """Section ``ingest`` for this dataset."""
        return MnistSource(path=self.card)

    def files(self) -> dict[str, bytes]:
        """Return the decompressed files, name → bytes: 30 training rows, then 20 test rows."""
        parts = {"train": slice(0, 30), "t10k": slice(30, 50)}
        kinds = {"images-idx3": self.images, "labels-idx1": self.labels}
        return {
            f"{part}-{kind}-ubyte": idx.encode(array[rows])
            for part, rows in parts.items()
            for kind, array in kinds.items()
        }

    def write(self, folder: Path, *, compress: bool = True) -> None:
        """Write the four files into a folder, as ``.gz`` or plain."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, payload in self.files().items():
            path = folder / (f"{name}.gz" if compress else name)
            path.write_bytes(gzip.compress(payload) if compress else payload)

    def write_card(self, *, mirrors: Sequence[str] = ()) -> None:
        """Write the card, with these mirrors."""
        files = {
            name: {"name": name, "md5": hashlib.md5(payload, usedforsecurity=False).hexdigest()}
            for name, payload in self.files().items()
        }
        parts = [
            {"n_samples": n, "images": files[f"{part}-images-idx3-ubyte"], "labels": files[f"{part}-labels-idx1-ubyte"]}
            for part, n in (("train", 30), ("t10k", 20))
        ]
        words = {"title": "Small", "homepage": "https://example.org", "licence": "CC0", "citation": "nobody"}
        content = {**words, "parts": parts, "mirrors": list(mirrors), "openml": {"name": "small", "version": 1}}
        self.card.mkdir(exist_ok=True)
        (self.card / "source.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")

    def openml(self, *_: Any, **__: Any) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the rows as OpenML gives them: floats in two dimensions, and labels that are text."""
        return self.images.reshape(50, 784).astype(np.float64), self.labels.astype(str).astype(object)


@pytest.fixture
def small_mnist(tmp_path: Path) -> SmallMnist:
    """Return 50 made images that are published as MNIST is."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (50, 28, 28), dtype=np.uint8)
    small = SmallMnist(card=tmp_path / "small-card", images=images, labels=np.arange(50, dtype=np.uint8) % 10)
    small.write_card()
    return small
