"""What is refused before anything is fitted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from digits.data.snapshot import write_snapshot
from digits.data.split import SplitParams, split
from digits.errors import FitFailed
from digits.experiments.fingerprint import fingerprint
from digits.experiments.fitting import fit
from digits.models.families import FAMILIES


def test_more_components_than_rows_name_the_param(tmp_path: Path) -> None:
    """A small dataset is told which param is too large for it, and how large it may be."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    snapshot = write_snapshot(tmp_path / "s", dataset="mine", batches=[(images, labels)], max_value=255, description={})
    wanted = {"seed": 0, "test": {"take": "last", "rows": 10}, "validation": {"take": "folds", "folds": 5}}
    rows = split(snapshot, params=SplitParams.model_validate(wanted), path=tmp_path / "split")
    svm = FAMILIES["svm"].model_validate({"components": 80})
    with pytest.raises(FitFailed, match=r"fit\.families\.svm\.components is 80; wanted at most 40"):
        fit(rows, family=svm, seed=0, fingerprint=fingerprint(svm, data=rows.digest, seed=0), path=tmp_path / "c")
