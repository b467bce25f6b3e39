"""What nothing refers to any more, and its removal: runs in MLflow with their files, and folders of candidates."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from digits.errors import MissingError
from digits.experiments.connection import answering
from digits.experiments.evaluation import read_evaluation
from digits.experiments.garbage import unreferenced
from digits.experiments.tracking import TAG_FAMILY, TAG_KIND, Tracking
from digits.files import only_one
from digits.models.families import FAMILIES
from digits.project import Project
from digits.registry.versions import Registry
from digits.steps.candidates import fingerprint_of
from digits.steps.data import load_split

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["Garbage", "find_garbage", "remove_garbage"]


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
    """Return what of a dataset nothing refers to; looks only.

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
        There is no split, so nobody knows which fits today's params refer to.
    """
    folders = [_folder(project, path) for path in _unused_folders(project, dataset)]
    if memory is None:
        return folders
    named = {*_evaluated(project, dataset), *Registry(memory).source_runs()}
    found = unreferenced(memory.search(""), fingerprints=_fingerprints(project, dataset), run_ids=named, newest=newest)
    return [_run(memory, run) for run in [*found, *memory.left_over()]] + folders


@answering()
def remove_garbage(project: Project, dataset: str, garbage: Sequence[Garbage], *, memory: Tracking | None) -> None:
    """Remove what `find_garbage` has found; MLflow keeps a run's row, marked as deleted, until ``mlflow gc``.

    Parameters
    ----------
    project, dataset
        Whose.
    garbage
        What to remove.
    memory
        The dataset's experiment.
    """
    with ExitStack() as locks:
        # Nobody writes a folder meanwhile.
        for name in (*FAMILIES, "evaluation", "data"):
            locks.enter_context(only_one(project.lock(dataset, name)))
        for item in garbage:
            if item.kind == "folder":
                shutil.rmtree(project.root / item.name, ignore_errors=True)
            elif memory is not None:
                memory.erase(memory.client.get_run(item.name))


def _fingerprints(project: Project, dataset: str) -> set[str]:
    """Return the fingerprints that today's params give."""
    if dataset not in project.datasets():
        return set()
    params = project.params(dataset).fit
    try:
        data = load_split(project, dataset).digest
    except MissingError as error:
        raise MissingError(f"nothing is removed of {dataset}: which fits are in use is not known ({error})") from error
    return {fingerprint_of(params, name, data=data).digest for name in params.families}


def _evaluated(project: Project, dataset: str) -> set[str]:
    """Return the runs that the last evaluation names."""
    try:
        rows = read_evaluation(project.evaluation(dataset))["leaderboard"]
    except MissingError:
        return set()
    return {str(row["run_id"]) for row in rows}


def _unused_folders(project: Project, dataset: str) -> Iterator[Path]:
    """Yield the candidates that no stage makes, and the work folders of processes that were killed."""
    made = project.params(dataset).fit.families if dataset in project.datasets() else {}
    for folder in sorted((project.root / "data" / "candidates" / dataset).glob("*/*")):
        if folder.name not in made and not folder.name.startswith("."):
            yield folder
    for parts in ("candidates", "evaluations"):
        yield from sorted((project.root / "data" / parts / dataset).rglob(".*.*/"))
    for parts in ("snapshots", "validations", "docs", "quarantine", "splits", "evaluations"):
        yield from sorted((project.root / "data" / parts).glob(f".{dataset}.*/"))


def _folder(project: Project, path: Path) -> Garbage:
    size = 0
    with suppress(FileNotFoundError):  # whoever writes it has just finished
        size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    detail = "half-written" if path.name.startswith(".") else "made by no stage"
    return Garbage("folder", path.relative_to(project.root).as_posix(), detail, size)


def _run(memory: Tracking, run: Run) -> Garbage:
    tags, started = run.data.tags, datetime.fromtimestamp(run.info.start_time / 1000, tz=UTC)
    detail = f"{tags.get(TAG_FAMILY, tags[TAG_KIND])} of {started:%Y-%m-%d %H:%M} UTC"
    return Garbage("run", str(run.info.run_id), detail, memory.n_bytes(run))
