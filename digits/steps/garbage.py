"""What nothing refers to any more, and its removal: runs in MLflow with their files, and folders of candidates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from digits.errors import CodeChangedError, MissingError
from digits.experiments.code import ensure_unchanged
from digits.experiments.connection import answering
from digits.experiments.evaluation import DESCRIPTION, read_evaluation
from digits.experiments.garbage import unreferenced
from digits.experiments.removal import erase, left_over, n_bytes
from digits.experiments.tags import TAG_FAMILY, TAG_KIND
from digits.experiments.tracking import Tracking
from digits.files import bytes_below, only_one
from digits.models.families import FAMILIES
from digits.project import Project
from digits.registry.versions import Registry
from digits.steps.candidates import fingerprint_of
from digits.steps.data import load_split

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Garbage", "collect_garbage", "find_garbage"]


@dataclass(frozen=True)
class Garbage:
    """One thing that nothing refers to.

    Attributes
    ----------
    kind
        A run in MLflow, or a folder of the project.
    name
        The run's id, or the folder relative to the project.
    detail
        What it is, in a few words.
    n_bytes
        What its files take.
    """

    kind: Literal["run", "folder"]
    name: str
    detail: str
    n_bytes: int


@answering()
def find_garbage(project: Project, dataset: str, *, memory: Tracking | None, newest: int) -> list[Garbage]:
    """Return what of a dataset nothing refers to.

    Parameters
    ----------
    project, dataset
        Whose; a dataset that ``params.yaml`` no longer names has no params that refer to anything.
    memory
        The dataset's experiment, if there is one.
    newest
        How many pipeline runs stay, with all that they refer to.

    Raises
    ------
    MissingError
        There is no split, or the last evaluation cannot be read, so nobody knows which fits are in use.
    """
    runs = [_run(memory, run) for run in _unused_runs(project, memory, newest=newest)] if memory else []
    return runs + [_folder(project, path) for path in _unused_folders(project, dataset)]


@answering()
def collect_garbage(project: Project, dataset: str, *, memory: Tracking | None, newest: int) -> list[Garbage]:
    """Remove what `find_garbage` finds, while nobody fits or evaluates, and return it.

    MLflow keeps the row of a run that was removed, marked as deleted, until ``mlflow gc``.
    """
    with ExitStack() as locks:
        # In the order of everybody: an evaluation first, then families, an ensemble before its members.
        for name in ("evaluation", *reversed(FAMILIES), "registration", "data"):
            locks.enter_context(only_one(project.lock(dataset, name)))
        found = find_garbage(project, dataset, memory=memory, newest=newest)
        for item in found:
            if item.kind == "folder":
                shutil.rmtree(project.root / item.name)
            elif memory:
                erase(memory, item.name)
    return found


def _unused_runs(project: Project, memory: Tracking, *, newest: int) -> list[Run]:
    """Return the runs that nothing refers to, and those whose removal was cut off."""
    runs = list(memory.search(""))
    if not runs:
        return left_over(memory)
    named = {*_evaluated(project, memory.dataset), *Registry(memory).source_runs()}
    prints = _fingerprints(project, memory.dataset)
    return unreferenced(runs, fingerprints=prints, run_ids=named, newest=newest) + left_over(memory)


def _fingerprints(project: Project, dataset: str) -> set[str]:
    """Return the fingerprints that today's params give."""
    if dataset not in project.datasets():
        return set()
    params = project.params(dataset).fit
    try:
        data = load_split(project, dataset).digest
        prints = [fingerprint_of(params, name, data=data) for name in params.families]
        ensure_unchanged({module for print_ in prints for module in print_.code})
    except (CodeChangedError, MissingError) as error:
        raise _not_known(dataset, error) from error
    return {print_.digest for print_ in prints}


def _evaluated(project: Project, dataset: str) -> set[str]:
    """Return the runs that the last evaluation names, if there is one."""
    folder = project.evaluation(dataset)
    if not (folder / DESCRIPTION).exists():
        return set()
    try:
        return {str(row["run_id"]) for row in read_evaluation(folder)["leaderboard"]}
    except MissingError as error:
        raise _not_known(dataset, error) from error


def _not_known(dataset: str, reason: object) -> MissingError:
    return MissingError(f"nothing is removed of {dataset}: which fits are in use is not known ({reason})")


def _unused_folders(project: Project, dataset: str) -> Iterator[Path]:
    """Yield the candidates that no stage makes, and the work folders of processes that were killed.

    A folder within one that was yielded is not: it goes with that one.
    """
    made = project.params(dataset).fit.families if dataset in project.datasets() else {}
    everything = sorted((project.root / "data" / "candidates" / dataset).glob("*/*"))
    unmade = [folder for folder in everything if folder.name not in made and not folder.name.startswith(".")]
    yield from unmade
    for parts in ("candidates", "evaluations"):
        inner = sorted((project.root / "data" / parts / dataset).rglob(".*.*/"))
        yield from (path for path in inner if not set(path.parents) & {*inner, *unmade})
    for parts in ("snapshots", "validations", "docs", "quarantine", "splits", "evaluations"):
        yield from sorted((project.root / "data" / parts).glob(f".{dataset}.*/"))


def _folder(project: Project, path: Path) -> Garbage:
    size = 0
    with suppress(FileNotFoundError):  # whoever writes it has just finished
        size = bytes_below(path)
    detail = "half-written" if path.name.startswith(".") else "made by no stage"
    return Garbage("folder", path.relative_to(project.root).as_posix(), detail, size)


def _run(memory: Tracking, run: Run) -> Garbage:
    tags, started = run.data.tags, datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC)
    detail = f"{tags.get(TAG_FAMILY, tags[TAG_KIND])} of {started:%Y-%m-%d %H:%M} UTC"
    return Garbage("run", str(run.info.run_id), detail, n_bytes(memory, run))
