"""Commands of the steps that make and judge candidates: fit, evaluate, register, leaderboard."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from digits.cli.display import events_shown, print_leaderboard
from digits.cli.output import print_json, print_line
from digits.errors import FitFailed, MissingError
from digits.experiments.assessment import assess
from digits.experiments.code import reachable
from digits.experiments.evaluation import Evaluation, read_evaluation
from digits.experiments.libraries import library_versions, unlocked_libraries
from digits.experiments.workers import worker_pool
from digits.project import Project
from digits.settings import Settings, is_stage_of_dvc
from digits.steps import candidates, evaluation, registration
from digits.steps.data import load_split
from digits.steps.memory import tracking

__all__ = ["evaluate", "fit", "leaderboard", "register"]


def fit(dataset: str, family: str, *, json: bool = False) -> None:
    """Fit one family of a dataset, unless a run with the same fingerprint remembers the result.

    A fit that takes longer than DIGITS_FIT_MINUTES is given up.

    Examples
    --------
    ::

        digits fit digits svm

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    family
        Name of the family, such as svm or cnn.
    json
        Print the candidate as JSON.
    """
    project = Project.find()
    params = project.params(dataset).fit  # what is misspelt leaves nothing in MLflow
    if is_stage_of_dvc() and family in params.families:
        print_ = candidates.fingerprint_of(params, family, data=load_split(project, dataset).digest)
        _ensure_locked(project, print_.libraries)
    settings = Settings.load(project.root)
    memory = tracking(project, dataset, settings=settings)
    # A worker, which starts when there is something to fit: the limit can stop it, and the bits are those of `run`.
    with events_shown(), worker_pool(1, timeout_s=settings.fit_minutes * 60) as workers:
        candidate, reused = candidates.fit(project, dataset, family, memory=memory, workers=workers)
    if not candidates.current(project, dataset, [candidate]):  # `dvc repro` would take it for what params.yaml says now
        raise FitFailed(f"{family} is fitted and remembered, but its params or code were changed meanwhile; run again")
    if json:
        print_json(
            {
                "family": family,
                "fingerprint": candidate.fingerprint.digest,
                "digest": candidate.digest,
                "validation_accuracy": candidate.validation.accuracy,
                "fit_seconds": candidate.fit_seconds,
                "run_id": candidate.run_id,
                "reused": reused,
            }
        )
    else:
        print_line(
            f"{family} on {dataset}: validation accuracy {candidate.validation.accuracy:.2%}, "
            f"{'reused' if reused else f'trained in {candidate.fit_seconds:.1f} s'}"
        )


def evaluate(dataset: str, *, all_: bool = False, json: bool = False) -> None:
    """Score a dataset's candidates on the test split, those that were not scored yet, and rank them.

    A family that is not fitted has no place on the leaderboard. One that is, but cannot be scored, is an error: the
    others are scored, and the exit code is 1.

    Examples
    --------
    ::

        digits evaluate digits

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    all_
        Let a family that is not fitted with today's params be an error; `dvc repro` asks so.
    json
        Print the leaderboard as JSON.
    """
    project = Project.find()
    project.section(dataset)  # before MLflow hears of it
    memory = tracking(project, dataset, settings=Settings.load(project.root))
    if is_stage_of_dvc():
        _ensure_locked(project, library_versions(reachable(assess.__module__, below="digits.experiments")))
    with events_shown():
        fitted, missing = evaluation.all_remembered(project, dataset, memory=memory)
        if all_ and missing:
            raise MissingError("; ".join(missing.values()))
        done = evaluation.evaluate(project, dataset, fitted=fitted, failed=missing, memory=memory)
    show(done.path, json=json)
    if unscored := [f"{family} ({reason})" for family, reason in done.failed.items() if family not in missing]:
        raise FitFailed(f"cannot be scored: {'; '.join(unscored)}; the others are")
    if not evaluation.is_current(project, dataset, done):
        raise FitFailed("params, code or candidates were changed while they were scored; run again")


def _ensure_locked(project: Project, libraries: Mapping[str, str]) -> None:
    """Raise where other libraries are installed than the lock names: DVC would record these as used.

    Raises
    ------
    MissingError
        They are not installed.
    """
    if others := unlocked_libraries(libraries, lock=project.libraries):
        raise MissingError(
            f"installed is another {', '.join(others)} than {project.libraries.name} names, and DVC would not know; "
            "run `make setup`, or `make lock` for a new lock"
        )


def register(dataset: str, *, json: bool = False) -> None:
    """Register the best candidate of a dataset's last evaluation as a version of its classifier.

    Examples
    --------
    ::

        digits register digits

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the version as JSON.
    """
    project = Project.find()
    project.params(dataset)
    version = registration.register(
        project, dataset, memory=tracking(project, dataset, settings=Settings.load(project.root))
    )
    if json:
        print_json({"name": version.name, "version": version.version, "aliases": version.aliases})
    else:
        print_line(str(version))


def leaderboard(dataset: str, *, json: bool = False) -> None:
    """Show the last evaluation of a dataset, best candidate first.

    Examples
    --------
    ::

        digits leaderboard mnist
        digits leaderboard mnist --json

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print it as JSON.
    """
    project = Project.find()
    project.params(dataset)
    folder = project.evaluation(dataset)
    read_evaluation(folder)  # what to run where there is none at all
    # The last evaluation's own word, if it is of what lies here now: a checkout of another commit may have left it.
    Evaluation.load(folder, candidate=partial(project.candidate, dataset), split=load_split(project, dataset))
    show(folder, json=json)


def show(folder: Path, *, json: bool) -> None:
    """Print the leaderboard of the evaluation in a folder on stdout."""
    content = read_evaluation(folder)
    if json:
        print_json(content["leaderboard"])
    else:
        print_leaderboard(content)
