"""Where fits take place: in the worker processes of this machine, or on a Dask cluster; the flow reads the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Protocol
from uuid import UUID

from digits.data.split import Split
from digits.experiments.tracking import Tracking
from digits.experiments.workers import Workers
from digits.project import Project
from digits.settings import Settings
from digits.steps import candidates
from digits.steps.candidates import Fitted

__all__ = ["Order", "Place", "place_of_fits"]

#: Fits a family as part of a pipeline run, unless MLflow remembers the result: called with its name and the run's id.
Order = Callable[[str, str], Fitted]


class Place(Protocol):
    """Somewhere fits take place."""

    def alone(self, project: Project, dataset: str) -> AbstractContextManager[None]:
        """Return what is held while a dataset's families are fitted, so that two flows do not fit the same."""

    def order(self, family: str, *, project: Project, rows: Split, memory: Tracking) -> Order:
        """Return what does the fit of a family when it is called there."""

    def reason(self, error: Exception, *, family: str, task_run: UUID) -> str:
        """Return in a line why a family could not be fitted; what the place knows alone, it reports."""


class _Here:
    """The worker processes of this machine."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers

    def alone(self, project: Project, dataset: str) -> AbstractContextManager[None]:
        """Return nothing to hold: each fit holds a lock of its own."""
        del project, dataset
        return nullcontext()

    def order(self, family: str, *, project: Project, rows: Split, memory: Tracking) -> Order:
        """Return the fit itself."""

        def fit(name: str, parent: str) -> Fitted:
            dataset = rows.snapshot.dataset
            return candidates.fit(project, dataset, name, memory=memory, workers=self._workers, parent=parent)

        return fit

    def reason(self, error: Exception, *, family: str, task_run: UUID) -> str:
        """Return the error's line; the fit has reported it."""
        del family, task_run
        return str(error) or type(error).__name__


@contextmanager
def place_of_fits(project: Project, *, settings: Settings, workers: Workers) -> Iterator[Place]:
    """Yield the place that the settings name.

    Raises
    ------
    ParamsError, ServerError, MissingError
        It is a cluster, and something that this needs is missing.
    """
    if settings.runner == "dask":
        from tasks.cluster import connected

        with connected(project, settings=settings) as cluster:
            yield cluster
    else:
        yield _Here(workers)
