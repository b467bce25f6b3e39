"""A fit: what is refused before anything is fitted, and what is kept of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digits.data.snapshot import write_snapshot
from digits.data.split import Split, SplitParams, split
from digits.errors import FitFailed
from digits.experiments.fingerprint import fingerprint
from digits.experiments.fitting import fit
from digits.models.families import FAMILIES


@pytest.fixture
def rows(tmp_path: Path) -> Split:
    """Return 60 made images, 50 of them in five folds."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    snapshot = write_snapshot(tmp_path / "s", dataset="mine", batches=[(images, labels)], max_value=255, description={})
    wanted = {"seed": 0, "test": {"take": "last", "rows": 10}, "validation": {"take": "folds", "folds": 5}}
    return split(snapshot, params=SplitParams.model_validate(wanted), path=tmp_path / "split")


def test_more_components_than_rows_name_the_param(rows: Split, tmp_path: Path) -> None:
    """A small dataset is told which param is too large for it, and how large it may be."""
    svm = FAMILIES["svm"].model_validate({"components": 80})
    with pytest.raises(FitFailed, match=r"fit\.families\.svm\.components is 80; wanted at most 40"):
        fit(rows, family=svm, seed=0, fingerprint=fingerprint(svm, data=rows.digest, seed=0), path=tmp_path / "c")


@pytest.mark.parametrize("copies", [0, 1])
def test_the_loss_of_each_epoch_is_kept(rows: Split, tmp_path: Path, copies: int) -> None:
    """For the curve in MLflow, by whatever images the classifier was fitted."""
    mlp = FAMILIES["mlp"].model_validate({"epochs": 3, "components": 10, "batch_size": 10, "copies": copies})
    known = fingerprint(mlp, data=rows.digest, seed=0)
    candidate = fit(rows, family=mlp, seed=0, fingerprint=known, path=tmp_path / "c")
    assert len(candidate.history["loss"]) == 3
