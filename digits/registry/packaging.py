"""A candidate as MLflow packages it: files, signature, input example, requirements."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import digits
from digits.experiments.leaderboard import Row

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot

__all__ = ["ARTIFACT", "log_model"]

SERVED = Path(__file__).with_name("served.py")
PACKAGE = Path(digits.__file__).parent
MODEL_NAME, ARTIFACT, DIGEST = "model", "model", "sha256"

#: What the served model imports. The package itself travels with the model: on public indexes others may own its name.
_SERVED_BY = (
    "mlflow",
    "keras",
    "numpy",
    "opencv-python-headless",
    "pandas",
    "pydantic",
    "scikit-learn",
    "scipy",
    "skops",
    "tensorflow",
)

#: Number of images in the input example: enough to see, few enough to show.
_EXAMPLES = 2


class _PyfuncUntried:
    """MLflow's pyfunc flavour without the trial of the input example, which would load TensorFlow here; a test does it.

    `Model.log` knows the option, the flavour's own `save_model` refuses it.
    """

    @staticmethod
    def save_model(*, validate_serving_input: bool, **arguments: Any) -> None:
        """Save the model; the option has done its work."""
        import mlflow

        mlflow.pyfunc.save_model(**arguments)


def log_model(row: Row, *, snapshot: Snapshot, experiment_id: str) -> tuple[str, str]:
    """Log the candidate's model, to which MLflow adds its run's metrics; return its address and id."""
    import mlflow
    from mlflow.models import Model, ModelSignature
    from mlflow.types import ColSpec, Schema, TensorSpec

    shape = (-1, snapshot.height, snapshot.width)
    outputs = [ColSpec("long", "digit"), *(ColSpec("double", f"probability_{label}") for label in row.test.classes)]
    # Not `mlflow.pyfunc.log_model`: it would open the candidate's finished run again. `Model.log` takes the run's id,
    # but puts the model's files into the experiment that is set.
    mlflow.set_experiment(experiment_id=experiment_id)
    info = Model.log(
        artifact_path=None,
        name=MODEL_NAME,
        flavor=_PyfuncUntried,
        run_id=row.candidate.run_id,
        python_model=str(SERVED),
        artifacts={ARTIFACT: str(row.candidate.model)},
        model_config={DIGEST: row.candidate.digest},
        signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.uint8), shape)]), outputs=Schema(outputs)),
        input_example=np.asarray(snapshot.images()[:_EXAMPLES]),
        code_paths=[str(PACKAGE)],
        pip_requirements=[f"{name}=={version(name)}" for name in _SERVED_BY],
        validate_serving_input=False,
    )
    return info.model_uri, info.model_id
