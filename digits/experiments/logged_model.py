"""A candidate as MLflow's UI lists models: a `LoggedModel` of its run, which its figures are linked to.

It is ready once its run has the candidate's files, which the tag ``files`` names. Files of its own, by which MLflow
serves it, are logged by whoever registers it (``registry.packaging``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.tracking import MlflowClient

__all__ = ["create_logged_model", "finalize", "logged_model_of"]


TAG_FILES = "files"


def create_logged_model(client: MlflowClient, run_id: str, *, name: str, files: str) -> str:
    """Make a model an output of a run, with the run's params, and return its id; it is not ready yet.

    Parameters
    ----------
    client, run_id
        Whose output.
    name
        What it is called in the UI.
    files
        Folder of the candidate's files among the run's artifacts.
    """
    from mlflow.entities import LoggedModelOutput

    run = client.get_run(run_id)
    model = client.create_logged_model(
        run.info.experiment_id,
        name=name,
        source_run_id=run_id,
        params=dict(run.data.params),
        tags={TAG_FILES: f"runs:/{run_id}/{files}"},
    )
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, step=0)])
    return str(model.model_id)


def finalize(client: MlflowClient, model_id: str) -> None:
    """Say that the model's files are there."""
    client.finalize_logged_model(model_id, "READY")


def logged_model_of(run: Run) -> str | None:
    """Return the id of the model that is the run's output, the newest if there are several; None without one."""
    outputs = run.outputs.model_outputs if run.outputs else []
    return str(outputs[-1].model_id) if outputs else None
