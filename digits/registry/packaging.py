"""A candidate as MLflow packages it: files, signature, input example, requirements, and a card for people."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import digits
from digits.experiments.evaluation import Row
from digits.registry.gate import Decision

if TYPE_CHECKING:
    from digits.data.snapshot import Snapshot

__all__ = ["ARTIFACT", "log_model", "model_card"]

SERVED = Path(__file__).with_name("served.py")
PACKAGE = Path(digits.__file__).parent
MODEL_NAME, ARTIFACT = "model", "model"

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
        signature=ModelSignature(inputs=Schema([TensorSpec(np.dtype(np.uint8), shape)]), outputs=Schema(outputs)),
        input_example=np.asarray(snapshot.images()[:_EXAMPLES]),
        code_paths=[str(PACKAGE)],
        pip_requirements=[f"{name}=={version(name)}" for name in _SERVED_BY],
        validate_serving_input=False,
    )
    return info.model_uri, info.model_id


def model_card(row: Row, *, snapshot: Snapshot, decision: Decision) -> str:
    """Return the version's model card, in Markdown."""
    low, high = row.test.accuracy_interval
    criteria = "\n".join(
        f"| {criterion.name} | {criterion.found:.4f} | {criterion.wanted} | {'yes' if criterion.passed else 'no'} |"
        for criterion in decision.criteria
    )
    return (
        f"**{row.candidate.family}** on {snapshot.dataset}, snapshot `{snapshot.digest[:12]}`: "
        f"test accuracy {row.test.accuracy:.4f} ({row.test.confidence:.0%} interval {low:.4f} to {high:.4f}, "
        f"{row.test.n_samples} images), macro F1 {row.test.macro.f1:.4f}, log loss {row.test.log_loss:.4f}. "
        f"Chosen by validation accuracy, {row.candidate.validation.accuracy:.4f}.\n\n"
        f"| gate | found | wanted | met |\n|---|---|---|---|\n{criteria}\n"
    )
