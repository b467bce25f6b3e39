"""A fit: what is refused before anything is fitted, and what is kept of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from digits.data.snapshot import write_snapshot
from digits.data.split import Split, SplitParams, split
from digits.errors import FitFailed
from digits.experiments.fingerprint import fingerprint
from digits.experiments.fitting import fit
from digits.experiments.tuning import score_fold
from digits.models.families import FAMILIES
from digits.models.family import Family
from digits.reference.measured import measure


@pytest.fixture
def rows(tmp_path: Path) -> Split:
    """Return 60 made images, 50 of them in five folds."""
    images = np.random.default_rng(0).integers(0, 256, (60, 28, 28), dtype=np.uint8)
    labels = np.arange(60, dtype=np.uint8) % 10
    snapshot = write_snapshot(tmp_path / "s", dataset="mine", batches=[(images, labels)], max_value=255, description={})
    wanted = {"seed": 0, "test": {"take": "last", "rows": 10}, "validation": {"take": "folds", "folds": 5}}
    return split(snapshot, params=SplitParams.model_validate(wanted), path=tmp_path / "split")


def _fit(rows: Split, *, family: Family, path: Path) -> None:
    fit(rows, family=family, seed=0, fingerprint=fingerprint(family, data=rows.digest, seed=0), path=path)


#: Whoever fits: a candidate, a trial of `digits tune`, a row of `digits bench mnist`.
FITS: dict[str, Callable[..., object]] = {
    "fit": _fit,
    "tune": lambda rows, *, family, path: score_fold(rows, family=family, seed=0, number=0),
    "bench": lambda rows, *, family, path: measure(rows, family=family, seed=0),
}


@pytest.mark.parametrize("fits", FITS.values(), ids=FITS)
def test_more_components_than_rows_name_the_param(rows: Split, tmp_path: Path, fits: Callable[..., object]) -> None:
    """A small dataset is told which param is too large for it, and how large it may be."""
    svm = FAMILIES["svm"].model_validate({"components": 80})
    with pytest.raises(FitFailed, match=r"fit\.families\.svm\.components is 80; wanted at most 40"):
        fits(rows, family=svm, path=tmp_path / "c")


@pytest.mark.parametrize("fits", FITS.values(), ids=FITS)
def test_what_a_fit_raises_is_a_failed_fit(rows: Split, tmp_path: Path, fits: Callable[..., object]) -> None:
    """It costs a run its family, a search its trial, and the bench ends with one line."""
    neighbors = FAMILIES["k_nearest_neighbors"].model_validate({"components": None, "neighbors": 60})
    with pytest.raises(FitFailed, match="the fit raised ValueError: Expected n_neighbors <= n_samples_fit"):
        fits(rows, family=neighbors, path=tmp_path / "c")


@pytest.mark.parametrize("name", ["logistic_regression", "sgd"])
def test_linear_families_are_fitted_to_few_rows(rows: Split, tmp_path: Path, name: str) -> None:
    """As they come they want no more images than there are."""
    _fit(rows, family=FAMILIES[name].model_validate({}), path=tmp_path / "c")


@pytest.mark.parametrize("copies", [0, 1])
def test_the_loss_of_each_epoch_is_kept(rows: Split, tmp_path: Path, copies: int) -> None:
    """For the curve in MLflow, by whatever images the classifier was fitted."""
    mlp = FAMILIES["mlp"].model_validate({"epochs": 3, "components": 10, "batch_size": 10, "copies": copies})
    known = fingerprint(mlp, data=rows.digest, seed=0)
    candidate = fit(rows, family=mlp, seed=0, fingerprint=known, path=tmp_path / "c")
    assert len(candidate.history["loss"]) == 3
