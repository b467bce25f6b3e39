"""The steps that MLflow remembers: fit, evaluate, register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

from digits.data.snapshot import Snapshot
from digits.dataset_params import FitParams
from digits.errors import FitFailed, MissingError, ParamsError
from digits.events import report
from digits.experiments import fitting
from digits.experiments.assessment import assess, is_assessed, mark_assessed, plots_folder, scores_folder
from digits.experiments.candidate import Candidate
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation
from digits.experiments.evaluation import evaluate as evaluate_candidates
from digits.experiments.fingerprint import Fingerprint, fingerprint
from digits.experiments.recall import Recalled, recall
from digits.experiments.tracking import TAG_EVALUATED, Tracking
from digits.experiments.workers import InProcess, WorkerDied, Workers
from digits.files import only_one
from digits.project import Project
from digits.registry.gate import check
from digits.registry.versions import ModelVersion, Registry
from digits.settings import Settings
from digits.steps.data import load_split

__all__ = ["Fitted", "evaluate", "families", "fingerprint_of", "fit", "register", "remembered", "tracking"]


class Fitted(NamedTuple):
    """A candidate, and whether it was remembered instead of fitted."""

    candidate: Candidate
    reused: bool


def tracking(project: Project, dataset: str, *, settings: Settings) -> Tracking:
    """Return the dataset's experiment on the tracking server that the settings name, or in the local store."""
    uri = settings.mlflow_tracking_uri or project.tracking_uri
    return Tracking(uri, dataset=dataset, artifacts=project.tracking_artifacts)


def families(project: Project, dataset: str, *, seconds: Mapping[str, float]) -> tuple[list[str], list[str]]:
    """Return the names of the families and of the ensembles in the order in which to start them.

    The longest goes first, so that none is left running alone at the end. One that was never fitted counts as longer
    than any other, and among those the later in `digits.models.families.FAMILIES`, which lists the cheapest first.

    Parameters
    ----------
    project, dataset
        Whose families.
    seconds
        Family → how long its last fit took.
    """
    params = project.params(dataset).fit.families
    place = {name: number for number, name in enumerate(params)}
    ordered = sorted(params, key=lambda name: (seconds.get(name, float("inf")), place[name]), reverse=True)
    return [name for name in ordered if not params[name].members], [name for name in ordered if params[name].members]


@answering()
def fit(
    project: Project,
    dataset: str,
    family: str,
    *,
    memory: Tracking,
    workers: Workers | None = None,
    parent: str | None = None,
) -> Fitted:
    """Fit a family, unless a run with the same fingerprint remembers the result.

    Parameters
    ----------
    project, dataset, family
        What to fit.
    memory
        Where results are remembered.
    workers
        Who does the work; this process by default.
    parent
        The pipeline run that this fit is part of.
    """
    params = project.params(dataset).fit
    if family not in params.families:
        raise ParamsError(f"no family {family!r} in {dataset}'s params; it has {', '.join(params.families)}")
    with only_one(project.lock(dataset, family)):
        known = _recall(project, dataset, family, memory=memory)
        if known.candidate is not None:
            detail = _validated(known.candidate) + (f"; restored: {known.fault}" if known.fault else "")
            report("fit", subject=family, state="reused", detail=detail)
            return Fitted(known.candidate, reused=True)
        report("fit", subject=family, state="running", detail=known.fault)
        try:
            candidate = _train(project, dataset, family, memory=memory, workers=workers or InProcess(), parent=parent)
        except BaseException as error:
            report("fit", subject=family, state="failed", detail=str(error))
            raise
    detail = _validated(candidate) + (f"; fitted again: {known.fault}" if known.fault else "")
    report("fit", subject=family, state="done", detail=detail)
    return Fitted(candidate, reused=False)


def _train(
    project: Project, dataset: str, family: str, *, memory: Tracking, workers: Workers, parent: str | None
) -> Candidate:
    """Fit a family under a run of its own."""
    params, rows = project.params(dataset).fit, load_split(project, dataset)
    members = [remembered(project, dataset, name, memory=memory) for name in params.families[family].members]
    print_ = fingerprint_of(params, family, data=rows.digest)
    run_id = memory.start_candidate_run(
        parent=parent, snapshot=rows.snapshot, fingerprint=print_, tags=project.git_tags()
    )
    with memory.finishing(run_id):
        candidate = workers.run(
            fitting.fit,
            split=rows,
            family=params.families[family],
            seed=params.seed,
            fingerprint=print_,
            path=project.candidate(dataset, family),
            members=members,
        ).fitted_by(run_id)
        memory.log_candidate(candidate, run_id=run_id)
    return candidate


def remembered(project: Project, dataset: str, family: str, *, memory: Tracking) -> Candidate:
    """Return the candidate that today's params give.

    Raises
    ------
    MissingError
        It was not fitted yet; one of other params, or of other data, is none.
    """
    known = _recall(project, dataset, family, memory=memory)
    if known.candidate is None:
        raise MissingError(f"{family} is not fitted with today's params and data; run `digits fit {dataset} {family}`")
    return known.candidate


def _recall(project: Project, dataset: str, family: str, *, memory: Tracking) -> Recalled:
    """Return what is known of the candidate that today's params give.

    One that lies whole in its folder, but that this MLflow server has never seen (DVC brought it, or its run was cut
    off), is told to the server.
    """
    rows, path = load_split(project, dataset), project.candidate(dataset, family)
    print_ = fingerprint_of(project.params(dataset).fit, family, data=rows.digest)
    known = recall(memory, print_.digest, path=path)
    if known.candidate is not None or known.fault:
        return known
    try:
        found = Candidate.load(path)
    except MissingError:
        return known
    if found.fingerprint.digest != print_.digest:
        return known
    return Recalled(memory.import_candidate(found, snapshot=rows.snapshot, tags=project.git_tags()), "")


def fingerprint_of(params: FitParams, family: str, *, data: str) -> Fingerprint:
    """Return the fingerprint of a family's candidate, and through it of its members', for a split's digest."""
    members = {name: fingerprint_of(params, name, data=data).digest for name in params.families[family].members}
    return fingerprint(params.families[family], data=data, seed=params.seed, members=members)


@answering()
def evaluate(
    project: Project,
    dataset: str,
    *,
    memory: Tracking,
    fitted: Sequence[Fitted] | None = None,
    failed: Mapping[str, str] | None = None,
    workers: Workers | None = None,
    parent: str | None = None,
) -> Evaluation:
    """Score candidates on the test rows, those that were not scored yet, and rank them by their validation scores.

    Parameters
    ----------
    project, dataset
        Whose candidates.
    memory
        Where metrics and plots are logged.
    fitted
        The candidates; those in the project's folder by default.
    failed
        Family → why it has no candidate.
    workers
        Who does the work; this process by default.
    parent
        The pipeline run to sum up.
    """
    with only_one(project.lock(dataset, "evaluation")):
        params, rows, folder = (
            project.params(dataset).evaluate,
            load_split(project, dataset),
            project.evaluation(dataset),
        )
        reasons = dict(failed or {})
        if fitted is None:
            fitted = _all_remembered(project, dataset, memory=memory, reasons=reasons)
        report("evaluate", subject=dataset, state="running")
        crew = workers or InProcess()

        def assessed(candidate: Candidate) -> None:
            if is_assessed(candidate, params=params, evaluation=folder):
                return
            if lost := [name for name in candidate.fingerprint.members if name in reasons]:
                raise FitFailed(f"its member {', '.join(lost)} could not be scored")
            metrics = crew.run(assess, candidate=candidate, split=rows, params=params, evaluation=folder)
            if candidate.run_id:
                made = [part(folder, candidate.family) for part in (scores_folder, plots_folder)]
                memory.log_evaluation(candidate.run_id, metrics=metrics, folders=made)
            mark_assessed(candidate, params=params, evaluation=folder)

        # Ensembles combine what their members predict, so the members come first.
        for wave in (False, True):
            due = [item.candidate for item in fitted if bool(item.candidate.fingerprint.members) == wave]
            reasons |= _each(assessed, due, count=crew.count)
        scored = [item for item in fitted if item.candidate.family not in reasons]
        evaluation = evaluate_candidates(
            [item.candidate for item in scored],
            split=rows,
            path=folder,
            reused=[item.candidate.family for item in scored if item.reused],
            failed=reasons,
        )
        if parent:
            _sum_up(evaluation, memory=memory, run_id=parent)
        best = evaluation.best
        report("evaluate", subject=dataset, state="done", detail=f"best by validation: {best.candidate.family}")
        return evaluation


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


def _all_remembered(project: Project, dataset: str, *, memory: Tracking, reasons: dict[str, str]) -> list[Fitted]:
    """Return the candidates of today's params; say in `reasons` which families have none."""
    found = []
    for name in project.params(dataset).fit.families:
        try:
            found.append(Fitted(remembered(project, dataset, name, memory=memory), reused=True))
        except MissingError as error:
            reasons[name] = str(error)
    return found


def _validated(candidate: Candidate) -> str:
    return f"validation {candidate.validation.accuracy:.2%}, {candidate.fit_seconds:.1f} s"


def _each(function: Callable[[Candidate], None], candidates: Sequence[Candidate], *, count: int) -> dict[str, str]:
    """Call `function` for every candidate, `count` at a time; return family → why it failed, for those that did."""
    reasons: dict[str, str] = {}
    threads = ThreadPoolExecutor(max_workers=count)
    try:
        futures = {candidate.family: threads.submit(_twice, function, candidate) for candidate in candidates}
        for family, future in futures.items():
            try:
                future.result()
            except FitFailed as error:
                reasons[family] = str(error)
                report("evaluate", subject=family, state="failed", detail=str(error))
    finally:
        # After an interrupt nobody waits for those that have not begun.
        threads.shutdown(wait=False, cancel_futures=True)
    return reasons


def _twice(function: Callable[[Candidate], None], candidate: Candidate) -> None:
    """Call `function`, and once more when a worker died of the first call."""
    try:
        function(candidate)
    except WorkerDied:
        function(candidate)


def _sum_up(evaluation: Evaluation, *, memory: Tracking, run_id: str) -> None:
    best = evaluation.best
    memory.log_summary(
        run_id,
        figures={
            "best_validation_accuracy": best.candidate.validation.accuracy,
            **{f"test_accuracy.{row.candidate.family}": row.test.accuracy for row in evaluation.rows},
            "best_test_accuracy": best.test.accuracy,
        },
        tags={
            "best.family": best.candidate.family,
            "best.run_id": str(best.candidate.run_id),
            TAG_EVALUATED: " ".join(str(row.candidate.run_id) for row in evaluation.rows),
        },
        folder=evaluation.path,
    )
