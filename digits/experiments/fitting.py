"""Fitting: from a split and a family to a candidate.

Does not know of MLflow (``tracking``) or of other processes (``workers``): the same call gives the same candidate in
a worker, in the command ``digits fit``, and in a plain script.
"""

from __future__ import annotations

import inspect
import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.experiments.candidate import MODEL, PROBA, Candidate
from digits.experiments.fingerprint import Fingerprint
from digits.experiments.libraries import stale_libraries
from digits.experiments.metrics import Metrics, checked_proba, score
from digits.files import replaced_folder, sha256_of_file
from digits.models import artifact
from digits.models.family import Family
from digits.models.virtual import VirtualExamples

__all__ = ["fit", "fitting", "import_libraries", "refuse_too_few_rows"]

log = logging.getLogger(__name__)


def fit(
    split: Split,
    *,
    family: Family,
    seed: int,
    fingerprint: Fingerprint,
    path: Path,
    members: Sequence[Candidate] = (),
) -> Candidate:
    """Fit a family and write the candidate into `path`, replacing what is there only when the new one is whole.

    The family is fitted once per fold, to score it on rows that it has not seen, and once more on all development
    rows: that one is the candidate. The test rows are not read.

    Parameters
    ----------
    split
        The rows to fit and to validate on.
    family
        The family with its hyper-parameters.
    seed
        Seeds everything that is random in the fit.
    fingerprint
        The fingerprint of what comes out.
    path
        Folder of the candidate.
    members
        For an ensemble: its fitted members, which are not fitted again.

    Raises
    ------
    FitFailed
        The estimator gives probabilities that are none, the fit itself raises, or this process has loaded other
        libraries than the fingerprint names.
    """
    if stale := stale_libraries(fingerprint.libraries):
        raise FitFailed(f"{', '.join(stale)} was replaced after this process had loaded it; start it again")
    with fitting(split, family=family):
        if fingerprint.members:
            return _fit_ensemble(split, family=family, seed=seed, fingerprint=fingerprint, path=path, members=members)
        return _fit_family(split, family=family, seed=seed, fingerprint=fingerprint, path=path)


@contextmanager
def fitting(split: Split, *, family: Family) -> Iterator[None]:
    """Fit the family within, whatever for: with its number of threads, and what the fit raises is `FitFailed`.

    Raises
    ------
    FitFailed
        Whatever the fit raises; or a fold has too few rows for the family, see `refuse_too_few_rows`.
    MissingError
        The images are no longer there.
    """
    try:
        refuse_too_few_rows(family, n_rows=min(len(fold.train) for fold in split.folds()))
        # Not as many threads as happen to be free: sums in another order would be other bits.
        with threadpool_limits(limits=family.threads):
            yield
    except (FitFailed, MissingError):
        raise
    except Exception as error:
        raise FitFailed(f"the fit raised {type(error).__name__}: {error}") from error


def refuse_too_few_rows(family: Family, *, n_rows: int) -> None:
    """Raise `FitFailed` where there are fewer rows to learn from than the family wants principal components."""
    components = getattr(family, "components", None) or 0
    if components > n_rows:
        raise FitFailed(
            f"fit.families.{family.name}.components is {components}; wanted at most {n_rows}, the rows that a fit "
            "learns from: give fewer in params.yaml, or more images"
        )


def import_libraries(*, families: Sequence[Family]) -> None:
    """Import what fits of these families will ask for; importing this module has done most of it."""
    for family in families:
        family.import_libraries()


def _fit_family(split: Split, *, family: Family, seed: int, fingerprint: Fingerprint, path: Path) -> Candidate:
    images, labels = split.snapshot.images(), np.asarray(split.snapshot.labels())
    validation_rows, classes = split.validation(), np.unique(labels)
    proba = np.zeros((len(images), len(classes)))
    history: dict[str, list[float]] = {}
    for number, fold in enumerate(split.folds()):
        held_out = images[fold.validation]
        estimator = family.build(seed=seed)
        _fit_estimator(
            estimator, images[fold.train], labels[fold.train], validation=(held_out, labels[fold.validation])
        )
        columns = np.searchsorted(classes, estimator.classes_)
        given = estimator.predict_proba(held_out)
        checked_proba(given, n_samples=len(held_out), n_classes=len(columns))
        proba[np.ix_(fold.validation, columns)] = given
        history = history if number else _history(estimator)
        log.debug("%s: fold %d done", family.name, number)

    estimator = family.build(seed=seed)
    development = split.development()
    X_train, y_train = images[development], labels[development]
    start = time.perf_counter()
    estimator.fit(X_train, y_train)
    return _write(
        estimator,
        path=path,
        split=split,
        fingerprint=fingerprint,
        proba=proba[validation_rows],
        history=history,
        fit_seconds=time.perf_counter() - start,
    )


def _fit_ensemble(
    split: Split, *, family: Family, seed: int, fingerprint: Fingerprint, path: Path, members: Sequence[Candidate]
) -> Candidate:
    ensemble = family.build(seed=seed)
    member_proba = np.stack([member.validation_proba() for member in members])
    labels, rows = np.asarray(split.snapshot.labels()), split.validation()
    y_validation, folds = labels[rows], np.zeros(len(labels), dtype=np.int64)
    for number, fold in enumerate(split.folds()):
        folds[fold.validation] = number
    start = time.perf_counter()
    proba = ensemble.out_of_fold_proba(member_proba, y_validation, folds[rows])
    ensemble.fit_members_proba(member_proba, y_validation)
    ensemble.attach([(member.family, artifact.load(member.model)) for member in members])
    return _write(
        ensemble,
        path=path,
        split=split,
        fingerprint=fingerprint,
        proba=proba,
        history={},
        fit_seconds=time.perf_counter() - start,
    )


def _write(
    estimator: Any,
    *,
    path: Path,
    split: Split,
    fingerprint: Fingerprint,
    proba: NDArray[np.float64],
    history: dict[str, list[float]],
    fit_seconds: float,
) -> Candidate:
    validation = score_validation(split, proba)
    with replaced_folder(path) as work:
        artifact.save(estimator, work / MODEL)
        np.save(work / PROBA, proba, allow_pickle=False)
        candidate = Candidate(
            path=path,
            dataset=split.snapshot.dataset,
            family=fingerprint.family,
            fingerprint=fingerprint,
            digest=artifact.digest(work / MODEL),
            proba_digest=sha256_of_file(work / PROBA),
            validation=validation,
            fold_accuracies=_fold_accuracies(split, proba),
            history=history,
            fit_seconds=fit_seconds,
        )
        candidate.write(work)
    return candidate


def score_validation(split: Split, proba: NDArray[np.float64]) -> Metrics:
    """Score out-of-fold probabilities, ``(n_validation, n_classes)``, against the labels of the validation rows."""
    labels = np.asarray(split.snapshot.labels())
    return score(labels[split.validation()], proba, classes=np.unique(labels).tolist())


def _fold_accuracies(split: Split, proba: NDArray[np.float64]) -> list[float]:
    """Return the accuracy in each fold of out-of-fold probabilities, ``(n_validation, n_classes)``."""
    rows, labels = split.validation(), np.asarray(split.snapshot.labels())
    right = np.unique(labels)[proba.argmax(axis=1)] == labels[rows]
    return [float(right[np.isin(rows, fold.validation)].mean()) for fold in split.folds()]


def _fit_estimator(estimator: Any, X: Any, y: Any, *, validation: tuple[Any, Any]) -> None:
    """Fit; an estimator with epochs also scores `validation` after each, for its curves alone: nothing stops on it."""
    if "validation_data" in inspect.signature(estimator.fit).parameters:
        estimator.fit(X, y, validation_data=validation)
    else:
        estimator.fit(X, y)


def _history(estimator: Any) -> dict[str, list[float]]:
    """Return curve → value per epoch of a fitted estimator."""
    pipeline = estimator.estimator_ if isinstance(estimator, VirtualExamples) else estimator
    last = pipeline[-1] if hasattr(pipeline, "steps") else pipeline
    if hasattr(last, "history_"):
        return {curve: [float(value) for value in values] for curve, values in last.history_.items()}
    if hasattr(last, "loss_curve_"):
        return {"loss": [float(value) for value in last.loss_curve_]}
    return {}
