"""What a run would reuse or train, and why; looks only, changes nothing."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from digits.errors import MissingError
from digits.experiments.candidate import Candidate
from digits.experiments.connection import answering
from digits.experiments.explanation import Change, Explanation, changes_between
from digits.experiments.fingerprint import Fingerprint
from digits.experiments.recall import is_intact, logged_fingerprint
from digits.experiments.tags import TAG_FAMILY, TAG_FINGERPRINT
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.settings import Settings
from digits.steps.candidates import fingerprint_of
from digits.steps.data import foreseen, load_split

__all__ = ["explain"]


@answering()
def explain(
    project: Project, dataset: str, *, memory: Tracking | None, settings: Settings, stale: Collection[str] = ()
) -> list[Explanation]:
    """Say for every family and ensemble of today's params what a run does with it, and why.

    Parameters
    ----------
    project, dataset
        Whose families.
    memory
        Where results are remembered, if there is such a place.
    settings
        Where the source's files may lie.
    stale
        The data steps that a run does again. What they will give is found by doing them aside.

    Raises
    ------
    DigitsError
        A data step would end the run.
    """
    params = project.params(dataset).fit
    try:
        data = load_split(project, dataset).digest
    except MissingError:
        lost = Change("data", f"no split; run `digits run {dataset}`")
        return [Explanation(name, [lost]) for name in params.families]
    if stale:
        data = foreseen(project, dataset, settings=settings, new_source="ingest" in stale).digest
    prints = {name: fingerprint_of(params, name, data=data) for name in params.families}
    return [Explanation(name, _changes(project, dataset, print_, memory=memory)) for name, print_ in prints.items()]


def _changes(project: Project, dataset: str, today: Fingerprint, *, memory: Tracking | None) -> list[Change]:
    """Return why a family cannot be reused; nothing when it can, by the same rules as a fit."""
    path = project.candidate(dataset, today.family)
    runs = memory.finished(TAG_FINGERPRINT, today.digest) if memory else []
    if memory and any(is_intact(memory, run, path=path) for run in runs):
        return []
    if runs:
        where = path.relative_to(project.root).as_posix()
        return [Change("artifact", f"missing or damaged, in {where} and in MLflow's run {runs[0].info.run_id}")]
    last = _last(path, today.family, memory=memory)
    if isinstance(last, Change):
        return [last]
    if changes := changes_between(last, today):
        return changes
    # A whole candidate that MLflow has never seen is imported.
    fault = Candidate.load(path).fault() if path.exists() else "its files are missing"
    return [Change("artifact", fault)] if fault else []


def _last(path: Path, family: str, *, memory: Tracking | None) -> Fingerprint | Change:
    """Return the fingerprint of the family's last fit that is known; else why there is none."""
    try:
        return Candidate.load(path).fingerprint
    except MissingError:
        known = memory.finished(TAG_FAMILY, family) if memory else []
    if not (memory and known):
        return Change("fit", "never fitted")
    lost = Change("artifact", f"the last fit, MLflow's run {known[0].info.run_id}, has lost its candidate.json")
    return logged_fingerprint(memory, known[0]) or lost
