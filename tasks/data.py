"""The steps that DVC remembers: ingest, validate, split."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from prefect import task
from prefect.cache_policies import NO_CACHE

from digits.data.report import ValidationReport
from digits.data.snapshot import Snapshot
from digits.data.split import Split
from digits.errors import ContractViolation
from digits.events import report
from digits.project import Project
from digits.settings import Settings
from digits.steps import data as steps
from tasks.memory import remembered
from tasks.notices import CONTRACT_VIOLATED, tell

__all__ = ["ingest", "judge", "split", "validate"]


@task(task_run_name="ingest {dataset}", cache_policy=NO_CACHE)
def ingest(dataset: str) -> Snapshot:
    """Bring the dataset's snapshot up to date with its source."""
    project = Project.find()
    _up_to_date(
        project, dataset, "ingest", partial(steps.ingest, project, dataset, settings=Settings.load(project.root))
    )
    return Snapshot.load(project.snapshot(dataset))


@task(task_run_name="validate {snapshot.dataset}", cache_policy=NO_CACHE)
def validate(snapshot: Snapshot) -> ValidationReport:
    """Hold the snapshot against its contract; a violated one ends the run here."""
    project = Project.find()
    return _judged(project, snapshot.dataset)


@task(task_run_name="validate {dataset}", cache_policy=NO_CACHE)
def judge(dataset: str) -> ValidationReport:
    """Hold the dataset's snapshot against its contract, byte by byte, whatever DVC remembers."""
    project = Project.find()
    return _judged(project, dataset, always=True)


@task(task_run_name="split {snapshot.dataset}", cache_policy=NO_CACHE)
def split(snapshot: Snapshot, checked: ValidationReport) -> Split:
    """Split the rows that the contract left in."""
    project = Project.find()
    _up_to_date(project, snapshot.dataset, "split", partial(steps.split, project, snapshot.dataset))
    return Split.load(project.split(snapshot.dataset), snapshot=snapshot)


def _judged(project: Project, dataset: str, *, always: bool = False) -> ValidationReport:
    """Return what the contract says of the snapshot; images that were set aside are told, by whomever they were."""

    def told() -> str:
        n_aside = len(ValidationReport.load(project.validation(dataset)).quarantined)
        folder = project.quarantine(dataset).relative_to(project.root)
        return f"{n_aside} images are set aside, see {folder}" if n_aside else ""

    _up_to_date(project, dataset, "validate", partial(steps.validate, project, dataset), always=always, told=told)
    return ValidationReport.load(project.validation(dataset))


def _up_to_date(
    project: Project,
    dataset: str,
    step: str,
    call: Callable[[], object],
    *,
    always: bool = False,
    told: Callable[[], str] = str,
) -> None:
    """Do a step unless DVC remembers it, and report it with what `told` has to say at its end."""
    report(step, subject=dataset, state="running")
    try:
        ran = remembered(project.root, stage=f"{step}@{dataset}", step=call, always=always)
    except Exception as error:
        report(step, subject=dataset, state="failed", detail=str(error))
        if isinstance(error, ContractViolation):
            tell(CONTRACT_VIOLATED, dataset=dataset, message=str(error))
        raise
    report(step, subject=dataset, state="done" if ran else "reused", detail=told())
