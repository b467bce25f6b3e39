"""What DVC remembers: the stages of ``dvc.yaml``, as they were when their steps last ran, through whichever door."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo

from digits.errors import MissingError
from digits.files import only_one
from digits.models.families import FAMILIES

__all__ = ["fit_stage", "record", "remembered"]


def fit_stage(dataset: str, family: str) -> str:
    """Return the name of the stage that fits a family or an ensemble."""
    verb = "ensemble" if FAMILIES[family].section == "ensembles" else "fit"
    return f"{verb}-{dataset}@{family}"


def remembered(root: Path, *, stage: str, step: Callable[[], object]) -> bool:
    """Call `step` if `stage` has changed since DVC last recorded it, and record what it wrote.

    The stage is not run through its command: an error keeps its type, and nothing is imported twice.

    Parameters
    ----------
    root
        The checkout.
    stage
        Name of the stage, such as ``ingest@digits``.
    step
        Does what the stage's command does.

    Returns
    -------
    bool
        Whether `step` was called.
    """
    with _repository(root) as repo:
        if not repo.status(targets=[stage]):
            return False
        step()
        repo.commit(stage, force=True)
    return True


def record(root: Path, *, stages: Iterable[str]) -> None:
    """Record what the steps of `stages` wrote, so that ``dvc repro`` does not run them again.

    A stage that ``dvc.yaml`` does not name is left out: a dataset may be trained without being rebuilt by DVC.
    """
    with _repository(root) as repo:
        known = {stage.addressing for stage in repo.index.stages}
        for stage in stages:
            if stage in known and repo.status(targets=[stage]):
                repo.commit(stage, force=True)


@contextmanager
def _repository(root: Path) -> Iterator[Repo]:
    """Yield DVC's view of the checkout to one caller at a time; what DVC raises is one line."""
    # DVC's progress bars follow the levels of its loggers; what goes wrong is raised.
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        with only_one(root / ".state" / "locks" / "dvc"), Repo(str(root)) as repo:
            yield repo
    except DvcException as error:
        raise MissingError(f"DVC cannot go on: {error}; see `dvc status`") from error
