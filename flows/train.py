"""The straight line for one dataset: from images to a registered version."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from prefect import flow
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run

from digits.data.split import Split
from digits.experiments.code import code_digests, reachable
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation
from digits.experiments.tracking import Tracking
from digits.experiments.workers import worker_pool
from digits.project import Project
from digits.registry.version import ModelVersion
from digits.settings import Settings
from digits.steps import candidates as steps
from digits.steps import evaluation as steps_of_evaluation
from digits.steps.candidates import Fitted
from digits.steps.memory import tracking
from flows.by_hand import by_hand
from flows.dead_pipelines import FLOW_RUN, end_dead_pipelines
from flows.runner import task_runner
from tasks.candidates import evaluate, fit, register
from tasks.data import ingest, split, validate
from tasks.places import Place, place_of_fits

__all__ = ["Trained", "train", "train_with"]


class Trained(NamedTuple):
    """What a run gives."""

    evaluation: Evaluation
    version: ModelVersion


class _Fits(NamedTuple):
    """What came of fitting: candidates, and the reason of each failure."""

    fitted: list[Fitted]
    failed: dict[str, str]


@flow(name="train", flow_run_name="train {dataset}", task_runner=task_runner(Settings.load()))
def train(dataset: str) -> Trained:
    """Bring the dataset's snapshot, split, candidates, evaluation and registered version up to date.

    Args:
        dataset: Name of the dataset in params.yaml.
    """
    project = Project.find()
    settings = Settings.load(project.root)
    # Before anything is waited for: which code runs here is known by what lies there when it is read.
    code_digests(reachable(steps_of_evaluation.__name__, below="digits"))
    with (
        answering(),
        worker_pool(settings.workers, timeout_s=settings.fit_minutes * 60) as workers,
        place_of_fits(project, settings=settings, workers=workers) as place,
    ):
        snapshot = ingest(dataset)
        rows = split(snapshot, validate(snapshot))
        memory = tracking(project, dataset, settings=settings)
        end_dead_pipelines(memory)
        parent = memory.start_pipeline_run(
            snapshot=snapshot, split_digest=rows.digest, tags={**project.git_tags(), FLOW_RUN: flow_run.id}
        )
        with memory.finishing(parent):
            with place.alone(project, dataset):
                fits = _fit_all(project, rows, memory=memory, place=place, parent=parent, retries=settings.fit_retries)
            evaluation = evaluate(rows, fits.fitted, failed=fits.failed, memory=memory, workers=workers, parent=parent)
            version = register(dataset, evaluation, memory=memory)
    return Trained(evaluation=evaluation, version=version)


def train_with(settings: Settings) -> Callable[[str], Trained]:
    """Return the flow by hand, with its fits where these settings say, not those that held at its import."""
    return by_hand(train.with_options(task_runner=task_runner(settings)))


def _fit_all(project: Project, rows: Split, *, memory: Tracking, place: Place, parent: str, retries: int) -> _Fits:
    """Fit the families side by side, then the ensembles, whose members must be there; a failure costs that family."""
    fits, dataset = _Fits(fitted=[], failed={}), rows.snapshot.dataset
    fit_or_retry = fit.with_options(retries=retries)
    done: list[PrefectFuture[Fitted]] = []
    for wave in steps.families(project, dataset, seconds=memory.fit_seconds()):
        futures: dict[str, PrefectFuture[Fitted]] = {
            family: fit_or_retry.submit(
                family,
                rows=rows,
                order=place.order(family, project=project, rows=rows, memory=memory),
                parent=parent,
                wait_for=tuple(done),  # those of the waves before
                return_state=False,
            )
            for family in wave
        }
        for family, future in futures.items():
            try:
                fits.fitted.append(steps.brought(project, dataset, future.result(), memory=memory))
                done.append(future)
            except Exception as error:  # Prefect keeps the traceback with the task's run
                fits.failed[family] = place.reason(error, family=family, task_run=future.task_run_id)
    memory.end_left_behind(parent)
    return fits
