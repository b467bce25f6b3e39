"""Fitting families, and recalling what was fitted: MLflow remembers it."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from pydantic import ValidationError

from digits.data.split import Split
from digits.dataset_params import FitParams
from digits.errors import FitFailed, MissingError, ParamsError
from digits.events import report
from digits.experiments import fitting
from digits.experiments.candidate import Candidate
from digits.experiments.code import changed_code, ensure_unchanged
from digits.experiments.connection import answering
from digits.experiments.fingerprint import Fingerprint, fingerprint
from digits.experiments.recall import Recalled, recall
from digits.experiments.tracking import Tracking
from digits.experiments.workers import InProcess, Workers
from digits.files import only_one
from digits.models.families import FAMILIES
from digits.models.family import Family
from digits.project import Project
from digits.steps.data import load_split

__all__ = ["Fitted", "brought", "current", "families", "family_of", "fingerprint_of", "fit", "remembered"]

log = logging.getLogger(__name__)


class Fitted(NamedTuple):
    """A candidate, and whether it was remembered instead of fitted."""

    candidate: Candidate
    reused: bool


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
        _forget_halves(project, dataset, family)
        known = _recall(project, dataset, family, memory=memory)
        if known.candidate is not None:
            detail = known.candidate.summary + (f"; restored: {known.fault}" if known.fault else "")
            report("fit", subject=family, state="reused", detail=detail)
            return Fitted(known.candidate, reused=True)
        report("fit", subject=family, state="running", detail=known.fault)
        try:
            candidate = _train(project, dataset, family, memory=memory, workers=workers or InProcess(), parent=parent)
        except BaseException as error:
            report("fit", subject=family, state="failed", detail=str(error))
            raise
    detail = candidate.summary + (f"; fitted again: {known.fault}" if known.fault else "")
    report("fit", subject=family, state="done", detail=detail)
    return Fitted(candidate, reused=False)


def _forget_halves(project: Project, dataset: str, family: str) -> None:
    """Remove what a kill has left half written beside the family's folder; the caller holds its lock."""
    for left in project.candidate(dataset, family).parent.glob(f".{family}.*"):
        shutil.rmtree(left, ignore_errors=True)


def _train(
    project: Project, dataset: str, family: str, *, memory: Tracking, workers: Workers, parent: str | None
) -> Candidate:
    """Fit a family under a run of its own."""
    params, rows = project.params(dataset).fit, load_split(project, dataset)
    print_ = fingerprint_of(params, family, data=rows.digest)
    members = [_member(project, dataset, name, memory=memory) for name in params.families[family].members]
    _ensure_made_of(print_, rows=rows, members=members)
    run_id = memory.start_candidate_run(
        parent=parent,
        snapshot=rows.snapshot,
        n_samples=len(rows.development()),
        fingerprint=print_,
        tags=project.git_tags(),
    )
    with memory.finishing(run_id):
        try:
            candidate = workers.run(
                fitting.fit,
                split=rows,
                family=params.families[family],
                seed=params.seed,
                fingerprint=print_,
                path=project.candidate(dataset, family),
                members=members,
            ).fitted_by(run_id)
        except Exception as error:
            if changed_code(print_.code):  # a worker ends that loads a file which is half written
                log.warning("the fit of %s ended: %s", family, error)
                ensure_unchanged(print_.code)
            raise
        try:
            _ensure_made_of(print_, rows=rows, members=members)
        except (FitFailed, MissingError):
            shutil.rmtree(candidate.path)
            raise
        memory.log_candidate(candidate, run_id=run_id)
    return candidate


def _ensure_made_of(print_: Fingerprint, *, rows: Split, members: Iterable[Candidate]) -> None:
    """Raise unless code, images and members are those that a fingerprint names: else it would name what it is not."""
    ensure_unchanged(print_.code)
    rows.snapshot.verify()
    for member in members:
        if member.fingerprint.digest != print_.members[member.family] or not member.is_in_place():
            raise FitFailed(f"its member {member.family} was replaced or damaged meanwhile; run again")


def remembered(project: Project, dataset: str, family: str, *, memory: Tracking) -> Candidate:
    """Return the candidate that today's params give.

    Raises
    ------
    MissingError
        It was not fitted yet; one of other params, of other data or by other code or libraries is none.
    """
    with only_one(project.lock(dataset, family)):
        return _remembered(project, dataset, family, memory=memory)


def _remembered(project: Project, dataset: str, family: str, *, memory: Tracking) -> Candidate:
    """Return the candidate that today's params give; the caller holds the lock of its folder."""
    known = _recall(project, dataset, family, memory=memory)
    if known.candidate is None:
        raise MissingError(
            f"{family} is not fitted with today's params, data, code and libraries (`digits explain {dataset}` says "
            f"what changed); run `digits fit {dataset} {family}`"
        )
    return known.candidate


@answering()
def brought(project: Project, dataset: str, fitted: Fitted, *, memory: Tracking) -> Fitted:
    """Return what was fitted, in its folder of this project; from another machine it comes through MLflow."""
    family = fitted.candidate.family
    if fitted.candidate.path == project.candidate(dataset, family):
        return fitted
    with only_one(project.lock(dataset, family)):
        return Fitted(_remembered(project, dataset, family, memory=memory), reused=fitted.reused)


def _member(project: Project, dataset: str, family: str, *, memory: Tracking) -> Candidate:
    """Return a member of an ensemble; without it the ensemble cannot be made."""
    try:
        return remembered(project, dataset, family, memory=memory)
    except MissingError as error:
        raise MissingError(f"its member {error}") from error


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
    n_samples = len(rows.development())
    told = memory.import_candidate(found, snapshot=rows.snapshot, n_samples=n_samples, tags=project.git_tags())
    return Recalled(told, "")


def current(project: Project, dataset: str, candidates: Iterable[Candidate]) -> list[Candidate]:
    """Return those of a dataset's candidates that lie in their folders and that params, data and code now give."""
    params, data = project.params(dataset).fit, load_split(project, dataset).digest
    found = list(candidates)
    changed = changed_code(module for candidate in found for module in candidate.fingerprint.code)
    return [
        candidate
        for candidate in found
        if candidate.family in params.families
        and candidate.is_in_place()
        and changed.isdisjoint(candidate.fingerprint.code)
        and fingerprint_of(params, candidate.family, data=data).digest == candidate.fingerprint.digest
    ]


def family_of(recorded: Fingerprint) -> Family:
    """Return the family of a fingerprint, with the params that were recorded.

    Raises
    ------
    MissingError
        There is no such family any more, or it does not take them.
    """
    try:
        return FAMILIES[recorded.family].model_validate(dict(recorded.params))
    except (KeyError, ValidationError) as error:
        reason = str(error).splitlines()[0]
        raise MissingError(f"{recorded.family} does not take the recorded params any more ({reason})") from error


def fingerprint_of(params: FitParams, family: str, *, data: str) -> Fingerprint:
    """Return the fingerprint of a family's candidate, and through it of its members', for a split's digest."""
    members = {name: fingerprint_of(params, name, data=data).digest for name in params.families[family].members}
    return fingerprint(params.families[family], data=data, seed=params.seed, members=members)
