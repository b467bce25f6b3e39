"""Making the best candidate of an evaluation a version of the dataset's classifier."""

from __future__ import annotations

from functools import partial

from digits.data.snapshot import Snapshot
from digits.events import report
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation
from digits.experiments.tracking import Tracking
from digits.files import only_one
from digits.project import Project
from digits.registry.gate import check
from digits.registry.versions import ModelVersion, Registry
from digits.steps.data import load_split

__all__ = ["register"]


@answering()
def register(project: Project, dataset: str, *, memory: Tracking, evaluation: Evaluation | None = None) -> ModelVersion:
    """Make the best candidate a version of the dataset's classifier.

    Parameters
    ----------
    project, dataset
        Whose evaluation.
    memory
        The server whose registry is used.
    evaluation
        The evaluation; the project's last one by default.
    """
    with only_one(project.lock(dataset, "registration")):
        evaluation = evaluation or Evaluation.load(
            project.evaluation(dataset),
            candidate=partial(project.candidate, dataset),
            split=load_split(project, dataset),
        )
        best = evaluation.best
        decision = check(best.test, params=project.params(dataset).register_)
        report("register", subject=dataset, state="running")
        version = Registry(memory).register(
            best, snapshot=Snapshot.load(project.snapshot(dataset)), decision=decision, tags=project.git_tags()
        )
        report("register", subject=dataset, state="done", detail=str(version))
        return version
