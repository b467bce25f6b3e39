"""A candidate: one fitted family in a folder of its own, with what it scored on the validation rows.

The folder is self-contained: a machine that has never seen the tracking server can evaluate and serve it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from digits.errors import MissingError
from digits.experiments.fingerprint import Fingerprint
from digits.experiments.metrics import Metrics
from digits.files import sha256_of_file, write_json
from digits.models import artifact

__all__ = ["Candidate"]

MODEL, PROBA, DESCRIPTION = "model", "validation_proba.npy", "candidate.json"
_OWN_DIGEST = "description_digest"


@dataclass(frozen=True)
class Candidate:
    """Reference to a fitted candidate.

    Attributes
    ----------
    path
        Folder that holds ``model/``, ``validation_proba.npy`` and ``candidate.json``.
    dataset, family
        Names of both.
    fingerprint
        What its bits depend on.
    digest
        SHA-256 over the files of the model.
    proba_digest
        SHA-256 of ``validation_proba.npy``.
    validation
        Metrics of the out-of-fold predictions for the validation rows.
    fold_accuracies
        Accuracy of those predictions in each fold of the split, in ``[0, 1]``; one number for a hold-out.
    history
        Curve → value per epoch (``loss``, ``accuracy``, ``val_loss``, ``val_accuracy``); empty where a family has no
        epochs.
    fit_seconds
        Wall time of the fit on all development rows, in seconds.
    run_id
        The MLflow run that remembers it; in the folder, the one that fitted it.
    """

    path: Path
    dataset: str
    family: str
    fingerprint: Fingerprint
    digest: str
    proba_digest: str
    validation: Metrics
    fold_accuracies: Sequence[float]
    history: Mapping[str, Sequence[float]]
    fit_seconds: float
    run_id: str | None = None

    @property
    def cross_validation(self) -> tuple[float, float] | None:
        """Mean and standard deviation (of a sample) of the folds' accuracies; None where the split has one fold."""
        if len(self.fold_accuracies) < 2:
            return None
        return fmean(self.fold_accuracies), stdev(self.fold_accuracies)

    @property
    def summary(self) -> str:
        """A few words for people: how good it is, and what its fit took."""
        return f"validation {self.validation.accuracy:.2%}, {self.fit_seconds:.1f} s"

    @property
    def description_digest(self) -> str:
        """SHA-256 over all that is said of it but the run that remembers it: its scores decide which family wins."""
        said = {name: value for name, value in self._description().items() if name != "run_id"}
        return hashlib.sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    @property
    def model(self) -> Path:
        """Folder of the model's files."""
        return self.path / MODEL

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read the candidate in `path`.

        Raises
        ------
        MissingError
            There is none, or its description cannot be read or was changed.
        """
        try:
            content = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
            content["fingerprint"] = Fingerprint(**content["fingerprint"])
            content["validation"] = Metrics.model_validate(content["validation"])
            wanted = content.pop(_OWN_DIGEST)
            candidate = cls(path=path, **content)
            if candidate.description_digest != wanted:
                raise ValueError("what it says is not what was written")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise MissingError(f"no candidate in {path} ({type(error).__name__}: {error}); run `digits fit`") from error
        return candidate

    def validation_proba(self) -> NDArray[np.float64]:
        """Return the out-of-fold probabilities, ``(n_validation, n_classes)`` float64, rows in the snapshot's order."""
        proba: NDArray[np.float64] = np.load(self.path / PROBA, allow_pickle=False)
        return proba

    def write(self, folder: Path) -> None:
        """Write the description into `folder`, the folder that `path` is or will become."""
        write_json(folder / DESCRIPTION, {**self._description(), _OWN_DIGEST: self.description_digest})

    def _description(self) -> dict[str, Any]:
        content: dict[str, Any] = {**asdict(self), "validation": self.validation.model_dump(mode="json")}
        del content["path"]
        return content

    def fitted_by(self, run_id: str) -> Self:
        """Return the same candidate, fitted by the MLflow run `run_id`, and say so in its folder."""
        candidate = replace(self, run_id=run_id)
        candidate.write(self.path)
        return candidate

    def is_in_place(self) -> bool:
        """Return whether its folder still holds this very candidate, whole."""
        try:
            now = Candidate.load(self.path)
        except MissingError:
            return False
        return now.description_digest == self.description_digest and not now.fault()

    def fault(self) -> str:
        """Return what of its files differs from what the description says, in a few words; empty for a whole one."""
        try:
            if artifact.digest(self.model) != self.digest:
                return "its model's files are damaged"
            if sha256_of_file(self.path / PROBA) != self.proba_digest:
                return f"its {PROBA} is damaged"
        except (MissingError, OSError):
            return "its files are missing"
        return ""
