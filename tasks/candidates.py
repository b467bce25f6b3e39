"""The steps that MLflow remembers: fit, evaluate, register."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE

import digits
from digits.data.split import Split
from digits.experiments.evaluation import Evaluation
from digits.experiments.libraries import unlocked_libraries
from digits.experiments.tracking import Tracking
from digits.experiments.workers import WorkerDied, Workers
from digits.project import Project
from digits.registry.stages import PRODUCTION
from digits.registry.version import ModelVersion
from digits.registry.versions import Registry
from digits.settings import Settings
from digits.steps import candidates, evaluation, registration
from digits.steps.candidates import Fitted
from tasks.memory import fit_stage, record
from tasks.notices import PROMOTED, tell
from tasks.places import Order
from tasks.summary import summary

__all__ = ["evaluate", "fit", "register"]

log = logging.getLogger(__name__)


async def _may_succeed_again(task: Any, task_run: Any, state: Any) -> bool:
    """Return whether another try makes sense: a worker died; an error of the fit itself would come again."""
    return isinstance(await state.aresult(raise_on_failure=False), WorkerDied)


@task(task_run_name="fit {family}", cache_policy=NO_CACHE, retry_condition_fn=_may_succeed_again)
def fit(family: str, *, rows: Split, order: Order, parent: str) -> Fitted:
    """Fit one family where its order is carried out, unless MLflow remembers the result."""
    del rows  # the order knows them; Prefect is to see that a fit comes after its split
    return order(family, parent)


@task(task_run_name="evaluate {rows.snapshot.dataset}", cache_policy=NO_CACHE)
def evaluate(
    rows: Split,
    fitted: Sequence[Fitted],
    *,
    failed: Mapping[str, str],
    memory: Tracking,
    workers: Workers,
    parent: str,
) -> Evaluation:
    """Score every candidate on the test rows and rank them by their validation scores; tell DVC what came out."""
    project, dataset = Project.find(), rows.snapshot.dataset
    done = evaluation.evaluate(
        project, dataset, fitted=fitted, failed=failed, memory=memory, workers=workers, parent=parent
    )

    def stages() -> list[str]:
        """Name what was made of the params, the code and the libraries that lie there now."""
        if project.libraries.stat().st_ctime_ns > digits.STARTED:  # which versions have run, it does not say
            return []
        used = {name: found for item in fitted for name, found in item.candidate.fingerprint.libraries.items()}
        if others := unlocked_libraries(used, lock=project.libraries):
            log.warning(
                "DVC records nothing: installed is another %s than %s says", ", ".join(others), project.libraries.name
            )
            return []
        current = candidates.current(project, dataset, [item.candidate for item in fitted])
        fits = [fit_stage(dataset, candidate.family) for candidate in current]
        whole = not done.failed and evaluation.is_current(project, dataset, done)
        return [*fits, f"evaluate@{dataset}"] if whole else fits

    record(project.root, stages=stages)
    name = dataset.lower().replace("_", "-")
    create_markdown_artifact(
        key=f"run-{name}",
        markdown=summary(project, done, memory=memory, parent=parent, pages=Settings.load(project.root).mlflow_pages),
        description=f"Where the results for {dataset} are to be read",
    )
    create_table_artifact(
        key=f"leaderboard-{name}",
        table=[_rounded(row.as_dict()) for row in done.rows],
        description=f"Candidates for {dataset}, best validation accuracy first",
    )
    return done


def _rounded(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a row as people read it, with four digits that count: a time per image has zeros before them."""
    return {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()}


@task(task_run_name="register {dataset}", cache_policy=NO_CACHE)
def register(dataset: str, evaluated: Evaluation, *, memory: Tracking) -> ModelVersion:
    """Make the best candidate a version of the dataset's classifier, and tell if it serves from now on."""
    served = Registry(memory).stages.holders().get(PRODUCTION)
    version = registration.register(Project.find(), dataset, evaluation=evaluated, memory=memory)
    if PRODUCTION in version.aliases and version.version != served:
        tell(PROMOTED, dataset=dataset, message=f"version {version.version} is @{PRODUCTION} now: {version.family}")
    return version
