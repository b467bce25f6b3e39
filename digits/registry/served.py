"""The model as MLflow serves it: raw images in, digits and probabilities out.

MLflow runs this file when it loads a registered version ("models from code"), so nothing is unpickled; the model's
own files are loaded by `digits.models.artifact`, which trusts only this project's types.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - MLflow runs this file, and has been imported by then
import numpy as np
import pandas as pd

ARTIFACT, DIGEST = "model", "sha256"


class DigitClassifier(mlflow.pyfunc.PythonModel):  # type: ignore[misc]  # MLflow's class carries no types
    """Adapter from MLflow's interface to a fitted estimator."""

    def load_context(self, context: Any) -> None:
        """Load the estimator from the version's own files, after they were held against the digest of the candidate.

        Raises
        ------
        MissingError
            They are not those that were registered.
        """
        from digits.errors import MissingError
        from digits.models import artifact

        folder = Path(context.artifacts[ARTIFACT])
        found, wanted = artifact.digest(folder), context.model_config[DIGEST]
        if found != wanted:
            raise MissingError(f"the model in {folder} was changed: SHA-256 {found[:12]}, wanted {wanted[:12]}")
        self.estimator = artifact.load(folder)

    def predict(
        self,
        context: Any,
        model_input: np.ndarray,  # MLflow warns of any other hint, and of none
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Read images.

        Parameters
        ----------
        context
            MLflow's; not used.
        model_input
            ``(n_samples, height, width)`` uint8, raw.
        params
            MLflow's; not used.

        Returns
        -------
        DataFrame
            One row per image: ``digit`` int64, and ``probability_0`` … ``probability_9`` float64 that sum to 1.
        """
        proba = self.estimator.predict_proba(np.asarray(model_input))
        classes = self.estimator.classes_
        columns = {f"probability_{label}": proba[:, index] for index, label in enumerate(classes)}
        return pd.DataFrame({"digit": classes[proba.argmax(axis=1)].astype(np.int64), **columns})


mlflow.models.set_model(DigitClassifier())
