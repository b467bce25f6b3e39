"""Known label errors: rows of which somebody has found that their label is wrong."""

from __future__ import annotations

import logging
from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray

from digits.data.split import Split
from digits.errors import ParamsError

__all__ = ["ensure_label_errors", "wrong_labels"]

log = logging.getLogger(__name__)


def wrong_labels(split: Split, rows: Collection[int]) -> NDArray[np.bool_]:
    """Return which test rows are among those of the snapshot that are named, ``(n_test,)`` bool."""
    return np.asarray(np.isin(split.test(), list(rows)))


def ensure_label_errors(split: Split, rows: Collection[int]) -> None:
    """Raise `ParamsError` where the snapshot has no such rows, and warn of those that are no test rows."""
    dataset, n_samples, named = split.snapshot.dataset, split.snapshot.n_samples, set(rows)
    if beyond := sorted(row for row in named if row >= n_samples):
        raise ParamsError(
            f"label_errors of {dataset} hold {', '.join(map(str, beyond))}, wanted rows of the snapshot, 0 to "
            f"{n_samples - 1}; mend datasets.{dataset}.evaluate.label_errors in params.yaml"
        )
    if others := len(named) - int(wrong_labels(split, named).sum()):
        log.warning(
            "%d of the %d label_errors of %s are no test rows: no figure counts them", others, len(named), dataset
        )
