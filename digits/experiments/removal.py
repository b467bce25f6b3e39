"""The removal of runs from MLflow, with their files: what a kill cuts off is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from digits.experiments.tags import TAG_GARBAGE
from digits.experiments.tracking import Tracking

if TYPE_CHECKING:
    from mlflow.entities import LoggedModel, Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = ["erase", "left_over", "n_bytes"]


def erase(tracking: Tracking, run_id: str) -> None:
    """Mark a run as deleted, and remove its files and its models; after a kill in between `left_over` has it."""
    run = tracking.client.get_run(run_id)
    if run.info.lifecycle_stage == "active":
        tracking.client.set_tag(run_id, TAG_GARBAGE, "true")
        tracking.client.delete_run(run_id)
    for model in _models_of(tracking, run):
        _files_at(model.artifact_location).delete_artifacts()
        tracking.client.delete_logged_model(model.model_id)
    _files_at(run.info.artifact_uri).delete_artifacts()


def left_over(tracking: Tracking) -> list[Run]:
    """Return the runs that `erase` has marked, but whose files are still there."""
    return [run for run in tracking.search(f"tags.`{TAG_GARBAGE}` = 'true'", deleted=True) if n_bytes(tracking, run)]


def n_bytes(tracking: Tracking, run: Run) -> int:
    """Return how many bytes the files of a run and of its models take."""
    places = [run.info.artifact_uri, *(model.artifact_location for model in _models_of(tracking, run))]
    return sum(_bytes_below(_files_at(place)) for place in places)


def _bytes_below(files: ArtifactRepository, path: str | None = None) -> int:
    return sum(
        _bytes_below(files, item.path) if item.is_dir else item.file_size or 0 for item in files.list_artifacts(path)
    )


def _models_of(tracking: Tracking, run: Run) -> list[LoggedModel]:
    """Return the models that a run has made; one that is marked as deleted has lost its files before."""
    from mlflow.exceptions import MlflowException

    models = []
    for output in run.outputs.model_outputs if run.outputs else ():
        try:
            models.append(tracking.client.get_logged_model(output.model_id))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    return models


def _files_at(address: str) -> ArtifactRepository:
    """Return the place of files, also of a run or a model that is marked as deleted."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(address)
