"""Scoring candidates on the test rows and ranking them by their validation scores."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from digits.data.split import Split
from digits.errors import FitFailed, MissingError
from digits.events import report
from digits.experiments.assessment import (
    EvaluateParams,
    assess,
    is_assessed,
    is_logged,
    mark_assessed,
    read_assessment,
)
from digits.experiments.candidate import Candidate
from digits.experiments.code import changed_code, ensure_unchanged, reachable
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation, last_evaluation
from digits.experiments.evaluation import evaluate as evaluate_candidates
from digits.experiments.label_errors import ensure_label_errors
from digits.experiments.leaderboard import Row
from digits.experiments.overview import PICTURES, draw_picture
from digits.experiments.report import write_report
from digits.experiments.scores import plots_folder, scores_folder
from digits.experiments.tags import TAG_EVALUATED
from digits.experiments.tracking import Tracking
from digits.experiments.views import fits_view, note
from digits.experiments.workers import InProcess, WorkerDied, Workers
from digits.files import only_one
from digits.project import Project
from digits.steps.candidates import Fitted, current, remembered
from digits.steps.data import load_split

__all__ = ["all_remembered", "evaluate", "is_current"]


@answering()
def all_remembered(project: Project, dataset: str, *, memory: Tracking) -> tuple[list[Fitted], dict[str, str]]:
    """Return the candidates that today's params give, and family → why it has none."""
    found, reasons = [], {}
    for name in project.params(dataset).fit.families:
        try:
            found.append(Fitted(remembered(project, dataset, name, memory=memory), reused=True))
        except MissingError as error:
            reasons[name] = str(error)
    return found, reasons


@answering()
def evaluate(
    project: Project,
    dataset: str,
    *,
    fitted: Sequence[Fitted],
    failed: Mapping[str, str],
    memory: Tracking,
    workers: Workers | None = None,
    parent: str | None = None,
) -> Evaluation:
    """Score candidates on the test rows, those that were not scored yet, and rank them by their validation scores.

    Parameters
    ----------
    project, dataset
        Whose candidates.
    fitted
        The candidates.
    failed
        Family → why it has no candidate; those that cannot be scored join them.
    memory
        Where metrics and plots are logged.
    workers
        Who does the work; this process by default.
    parent
        The pipeline run to sum up.
    """
    with only_one(project.lock(dataset, "evaluation")):
        rows, folder = load_split(project, dataset), project.evaluation(dataset)
        rows.snapshot.verify()  # scores on other images would be remembered as those on these
        params, crew = project.params(dataset).evaluate, workers or InProcess()
        ensure_label_errors(rows, params.label_errors)
        before = last_evaluation(folder)
        report("evaluate", subject=dataset, state="running")
        scoring = _Scoring(project, rows, folder=folder, params=params, memory=memory, crew=crew)
        reasons = scoring.all_of([item.candidate for item in fitted], failed=failed)
        scored = [item for item in fitted if item.candidate.family not in reasons]
        evaluation = evaluate_candidates(
            [item.candidate for item in scored],
            split=rows,
            path=folder,
            params=params,
            reused=[item.candidate.family for item in scored if item.reused],
            failed=reasons,
            draw=partial(_draw, crew),
        )
        page = _write_report(project, evaluation, rows=rows, before=before)
        said = note(evaluation, experiment_id=memory.experiment_id, run_id=parent)
        if parent:
            said += f"\n\n`{page.name}` among the artifacts of the pipeline run tells all."
            _sum_up(evaluation, memory=memory, run_id=parent, page=page, said=said)
        memory.describe(said, view=fits_view(split=rows.digest))
        best = evaluation.best
        report("evaluate", subject=dataset, state="done", detail=f"best by validation: {best.candidate.family}")
        return evaluation


@dataclass(frozen=True)
class _Scoring:
    """Scores candidates on the test rows of a split, into the folder of an evaluation and onto their runs."""

    project: Project
    rows: Split
    _: KW_ONLY
    folder: Path
    params: EvaluateParams
    memory: Tracking
    crew: Workers

    def all_of(self, candidates: Sequence[Candidate], *, failed: Mapping[str, str]) -> dict[str, str]:
        """Score candidates, as many side by side as there are workers; return family → why it has no score."""
        reasons = dict(failed)
        scored = {candidate.family: candidate.fingerprint.digest for candidate in candidates}
        # Ensembles combine what their members predict, so the members come first.
        for wave in (False, True):
            due = [candidate for candidate in candidates if bool(candidate.fingerprint.members) == wave]
            reasons |= _each(partial(self.one, scored=scored, unscored=frozenset(reasons)), due, count=self.crew.count)
        return reasons

    def one(self, candidate: Candidate, *, scored: Mapping[str, str], unscored: Collection[str]) -> None:
        """Score a candidate, unless it is scored already; `scored` are the fingerprints of all, by family.

        Scores of the very same model that belong to another run, as of a fit that was done again, are logged onto the
        candidate's own.
        """
        family, members = candidate.family, candidate.fingerprint.members
        there = is_assessed(candidate, params=self.params, evaluation=self.folder)
        if there and is_logged(candidate, evaluation=self.folder):
            return
        if lost := [name for name in members if name in unscored]:
            raise FitFailed(f"its member {', '.join(lost)} could not be scored")
        if others := [name for name, digest in members.items() if scored.get(name) != digest]:
            raise FitFailed(f"its member {', '.join(others)} is another one than is scored; run again")
        with only_one(self.project.lock(candidate.dataset, family)):
            if not candidate.is_in_place():
                raise FitFailed("its files were replaced or damaged since it was fitted; run again")
            result = (
                read_assessment(self.folder, family)
                if there
                else self.crew.run(
                    assess, candidate=candidate, split=self.rows, params=self.params, evaluation=self.folder
                )
            )
        self.rows.snapshot.verify()
        ensure_unchanged(reachable(assess.__module__, below="digits.experiments"))
        if candidate.run_id:
            made = [part(self.folder, family) for part in (scores_folder, plots_folder)]
            self.memory.log_evaluation(candidate.run_id, assessment=result, folders=made)
        mark_assessed(candidate, cost=result.cost, params=self.params, evaluation=self.folder)


def is_current(project: Project, dataset: str, evaluation: Evaluation) -> bool:
    """Return whether an evaluation that this process made is what params, code and candidates now give.

    Parameters
    ----------
    project, dataset
        Whose evaluation.
    evaluation
        It.
    """
    code = reachable(evaluate_candidates.__module__, below="digits.experiments")
    scored = [row.candidate for row in evaluation.rows]
    return (
        evaluation.params == project.params(dataset).evaluate
        and not changed_code(code)
        and len(current(project, dataset, scored)) == len(scored)
    )


def _each(function: Callable[[Candidate], None], candidates: Sequence[Candidate], *, count: int) -> dict[str, str]:
    """Call `function` for every candidate, `count` at a time; return family → why it failed, for those that did."""
    reasons: dict[str, str] = {}
    threads = ThreadPoolExecutor(max_workers=count)
    try:
        futures = {candidate.family: threads.submit(_twice, partial(function, candidate)) for candidate in candidates}
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


def _twice(call: Callable[[], object]) -> None:
    """Make a call, and once more when a worker died of the first one."""
    try:
        call()
    except WorkerDied:
        call()


def _draw(crew: Workers, rows: Sequence[Row], *, split: Split, path: Path) -> None:
    """Draw the pictures of all families, as many side by side as there are workers."""
    with ThreadPoolExecutor(max_workers=crew.count) as threads:
        calls = [partial(crew.run, draw_picture, name=name, rows=rows, split=split, path=path) for name in PICTURES]
        drawn = [threads.submit(_twice, call) for call in calls]
    for future in drawn:
        future.result()


def _write_report(project: Project, evaluation: Evaluation, *, rows: Split, before: dict[str, Any] | None) -> Path:
    dataset = rows.snapshot.dataset
    page, docs = project.report(dataset), project.docs(dataset) / "index.html"
    write_report(
        page,
        evaluation,
        split=rows,
        before=before,
        data_docs=os.path.relpath(docs, page.parent) if docs.exists() else None,
        git=project.git_tags(),
    )
    return page


def _sum_up(evaluation: Evaluation, *, memory: Tracking, run_id: str, page: Path, said: str) -> None:
    best = evaluation.best
    memory.log_summary(
        run_id,
        best=best.family,
        figures={
            "best_validation_accuracy": best.validation_accuracy,
            **{f"test_accuracy.{row.family}": row.test_accuracy for row in evaluation.rows},
            "best_test_accuracy": best.test_accuracy,
        },
        tags={
            "best.family": best.family,
            "best.run_id": str(best.candidate.run_id),
            TAG_EVALUATED: " ".join(str(row.candidate.run_id) for row in evaluation.rows),
        },
        files=[page, *sorted([*evaluation.path.glob("*.*"), *(evaluation.path / "plots").glob("*.*")])],
        note=said,
    )
