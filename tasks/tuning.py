"""One trial of a search for hyper-parameters."""

from __future__ import annotations

from prefect import task
from prefect.cache_policies import NO_CACHE

from digits.data.split import Split
from digits.experiments.tracking import Tracking
from digits.experiments.tuning import Study
from digits.experiments.workers import Workers
from digits.steps import tuning

__all__ = ["trial"]


@task(task_run_name="try {family}", cache_policy=NO_CACHE)
def trial(
    family: str, *, search: Study, rows: Split, seed: int, memory: Tracking, workers: Workers, parent: str
) -> None:
    """Try one set of values in worker processes."""
    tuning.trial(search, split=rows, seed=seed, workers=workers, memory=memory, parent=parent)
