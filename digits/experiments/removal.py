"""The removal of runs from MLflow, with their files: what a kill cuts off is found again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from digits.experiments.tracking import TAG_GARBAGE, Tracking

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.store.artifact.artifact_repo import ArtifactRepository

__all__ = ["erase", "left_over", "n_bytes"]


def erase(tracking: Tracking, run_id: str) -> None:
    """Mark a run as deleted, and remove its files; after a kill in between `left_over` has it."""
    run = tracking.client.get_run(run_id)
    if run.info.lifecycle_stage == "active":
        tracking.client.set_tag(run_id, TAG_GARBAGE, "true")
        for output in run.outputs.model_outputs if run.outputs else ():
            tracking.client.delete_logged_model(output.model_id)
        tracking.client.delete_run(run_id)
    _files_of(run).delete_artifacts()


def left_over(tracking: Tracking) -> list[Run]:
    """Return the runs that `erase` has marked, but whose files are still there."""
    return [run for run in tracking.search(f"tags.`{TAG_GARBAGE}` = 'true'", deleted=True) if n_bytes(run)]


def n_bytes(run: Run) -> int:
    """Return how many bytes the files of a run take."""
    files = _files_of(run)

    def below(path: str | None) -> int:
        return sum(below(item.path) if item.is_dir else item.file_size or 0 for item in files.list_artifacts(path))

    return below(None)


def _files_of(run: Run) -> ArtifactRepository:
    """Return the place of a run's files, also of one that is marked as deleted."""
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    return get_artifact_repository(run.info.artifact_uri)
