"""The search for a family's hyper-parameters: trials side by side, on validation data."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from prefect import flow
from prefect.futures import wait
from prefect.runtime import flow_run
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner

from digits.experiments.connection import answering
from digits.experiments.workers import worker_pool
from digits.files import only_one
from digits.models.family import Family
from digits.project import Project
from digits.settings import Settings
from digits.steps import tuning as steps
from digits.steps.memory import tracking
from flows.by_hand import by_hand
from flows.dead_pipelines import FLOW_RUN
from tasks.data import ingest, split, validate
from tasks.tuning import trial

__all__ = ["Tuned", "tune", "tune_with"]


class Tuned(NamedTuple):
    """What a search found: the best family, its validation accuracy and that of params.yaml's values; all trials."""

    family: Family
    accuracy: float
    before: float | None
    trials: int


@flow(name="tune", flow_run_name="tune {dataset} {family}")
def tune(dataset: str, family: str, trials: int) -> Tuned:
    """Look for better values of a family's hyper-parameters until there are so many trials, those of before too."""
    project = Project.find()
    settings = Settings.load(project.root)
    with (
        answering(),
        only_one(project.lock("tune", dataset, family)),
        worker_pool(settings.workers, timeout_s=settings.fit_minutes * 60) as workers,
    ):
        snapshot = ingest(dataset)
        rows = split(snapshot, validate(snapshot))
        search = steps.study(project, dataset, family, split=rows)
        memory = tracking(project, steps.experiment(dataset), settings=settings)
        parent = memory.start_tuning_run(family, snapshot=snapshot, tags={**project.git_tags(), FLOW_RUN: flow_run.id})
        with memory.finishing(parent):
            seed = project.params(dataset).fit.seed
            futures = [
                trial.submit(family, search=search, rows=rows, seed=seed, memory=memory, workers=workers, parent=parent)
                for _ in range(max(0, trials - search.done))
            ]
            wait(futures)
            for future in futures:
                future.result()
            best, accuracy, before = search.best()
            memory.log_found(parent, params=best.model_dump(mode="json"), accuracy=accuracy, before=before)
    return Tuned(family=best, accuracy=accuracy, before=before, trials=search.done)


def tune_with(settings: Settings) -> Callable[[str, str, int], Tuned]:
    """Return the flow by hand, with as many trials side by side as these settings say."""
    runner: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=settings.workers)
    return by_hand(tune.with_options(task_runner=runner))
