"""Fixtures that every kind of test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

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
