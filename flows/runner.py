"""Prefect's task runner for the place where fits take place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from digits.settings import Settings
from tasks.needed import require, require_libraries

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

__all__ = ["require", "task_runner"]


def task_runner(settings: Settings) -> TaskRunner[Any]:
    """Return threads that wait for the worker processes of this machine, or Prefect's door to a Dask cluster."""
    if settings.runner == "dask":
        require_libraries()
        from prefect_dask import DaskTaskRunner

        runner: TaskRunner[Any] = DaskTaskRunner(address=settings.dask_address)
        return runner
    from prefect.task_runners import ThreadPoolTaskRunner

    return ThreadPoolTaskRunner(max_workers=settings.workers)
