"""A candidate as MLflow's UI lists models: a `LoggedModel` of its run, which its figures are linked to.

The files of the model are logged there by whoever registers it (``registry.packaging``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["create_logged_model", "logged_model_of"]


def create_logged_model(client: MlflowClient, run_id: str, *, name: str) -> str:
    """Make a model an output of a run, with the run's params, and return its id."""
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id, name=name, source_run_id=run_id, params=dict(run.data.params)
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    client.finalize_logged_model(model.model_id, "READY")
    return str(model.model_id)


def logged_model_of(run: Run) -> str | None:
    """Return the id of the model that is the run's output, the newest if there are several; None without one."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return str(outputs[-1].model_id) if outputs else None
