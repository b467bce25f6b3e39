"""Where a dataset's results are remembered: on the tracking server that the settings name, or in the local store."""

from __future__ import annotations

from digits.experiments.connection import answering
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.settings import Settings

__all__ = ["known_fits", "tracking"]


def tracking(project: Project, dataset: str, *, settings: Settings) -> Tracking:
    """Return the dataset's experiment; one that is not there yet is made, and runs of dead processes end as killed."""
    settings.give_account()
    uri = settings.mlflow_tracking_uri or project.tracking_uri
    memory = Tracking(uri, dataset=dataset, artifacts=project.tracking_artifacts)
    with answering():
        memory.reconcile()
    return memory


def known_fits(project: Project, dataset: str, *, settings: Settings) -> Tracking | None:
    """Return the dataset's experiment on the tracking server; None when it has none, which is then not made."""
    settings.give_account()
    uri = settings.mlflow_tracking_uri or project.tracking_uri
    return Tracking.existing(uri, dataset=dataset, artifacts=project.tracking_artifacts)
