"""Making the best candidate of an evaluation a version of the dataset's classifier."""

from __future__ import annotations

from functools import partial

from digits.data.snapshot import Snapshot
from digits.errors import BusyError, MissingError
from digits.events import report
from digits.experiments.assessment import is_assessed
from digits.experiments.connection import answering
from digits.experiments.evaluation import Evaluation
from digits.experiments.scores import read_predicted
from digits.experiments.tracking import Tracking
from digits.files import only_one
from digits.project import Project
from digits.registry.changes import Changes
from digits.registry.examination import Examination
from digits.registry.gate import Decision, decide
from digits.registry.history import Action, known
from digits.registry.stages import PRODUCTION, STAGING
from digits.registry.version import ModelVersion
from digits.registry.versions import Registry
from digits.steps.data import is_validated, load_split
from digits.steps.promotion import alone, opened

__all__ = ["register"]


@answering()
def register(project: Project, dataset: str, *, memory: Tracking, evaluation: Evaluation | None = None) -> ModelVersion:
    """Make the best candidate a version of the dataset's classifier, unless it is one already.

    The version becomes ``@production`` when there is none, the gate is passed and nobody has to agree; else
    ``@staging``. One that was archived stays so, under a new number too, until somebody promotes it. A version whose
    files are damaged or gone is replaced by a new one with the same digest, which serves where the old one did: it is
    the model that was let in.

    Parameters
    ----------
    project, dataset
        Whose evaluation.
    memory
        The server whose registry is used.
    evaluation
        The evaluation; the project's last one by default.

    Raises
    ------
    MissingError
        There is no evaluation, or its scores are not what today's params and code give.
    CodeChangedError
        The code of the models was edited since this process has begun.
    """
    with only_one(project.lock(dataset, "registration")):
        rows, params = load_split(project, dataset), project.params(dataset).promote
        rows.snapshot.verify()
        evaluation = evaluation or Evaluation.load(
            project.evaluation(dataset), candidate=partial(project.candidate, dataset), split=rows
        )
        best = evaluation.best
        if not is_assessed(best.candidate, params=project.params(dataset).evaluate, evaluation=evaluation.path):
            raise MissingError(
                f"the scores of {best.family} are not those that today's params and code give; "
                f"run `digits evaluate {dataset}`"
            )
        report("register", subject=dataset, state="running")
        # The evaluation of the same files on the same rows is the examination: it is not done again.
        predicted = read_predicted(evaluation.path, best.family, split=rows)
        examined = Examination.of_row(
            best, predicted=predicted, split=rows, validated=is_validated(project, rows.snapshot)
        )
        decision = decide(examined, None, params=params)
        registry, changes = opened(project, memory=memory)
        version, damaged = registry.intact(best.candidate.fingerprint.digest)
        if version is None:
            snapshot = Snapshot.load(project.snapshot(dataset))
            wrong = evaluation.n_label_errors
            version = registry.create(
                best, snapshot=snapshot, n_label_errors=wrong, decision=decision, tags=project.git_tags()
            )
        with alone(project, dataset, PRODUCTION, STAGING, wait=True), changes.alone():
            changes.settle()
            _place(registry.version(version.version), damaged, registry, changes, decision, asks=params.approval)
        version = registry.version(version.version)
        refused = "" if decision.passed else f"; the gate: {decision.reason}"
        report("register", subject=dataset, state="done", detail=f"{version}{refused}")
        return version


def _place(
    version: ModelVersion,
    damaged: list[ModelVersion],
    registry: Registry,
    changes: Changes,
    decision: Decision,
    *,
    asks: str,
) -> None:
    """Put a version of the best candidate where it belongs."""
    if PRODUCTION in version.aliases:
        return
    action: Action = "promote"
    serves, ledger = registry.stages.holders().get(PRODUCTION), known(registry.ledger.entries())
    has_served = ledger.production  # an alias that is gone was taken away by somebody
    # Nothing takes the place of a version that was put there by hand.
    champion = serves if ledger.holders.get(PRODUCTION) == serves else None
    same = (item.version for item in damaged if (item.version, item.digest) == (champion, version.digest))
    if replaced := next(same, None):
        action, stage = "replace", PRODUCTION
        reason = f"the same model as version {replaced}, whose files are damaged"
    elif registry.is_archived(version):
        return
    elif serves is None and not has_served and decision.passed and asks == "none":
        stage, reason = PRODUCTION, f"the first to serve: {decision.reason}"
    elif version.aliases:
        return
    else:
        stage = STAGING
        reason = "the best by validation" + ("" if decision.passed else f"; the gate: {decision.reason}")
    entry = changes.begin(action, stage=stage, version=version.version, reason=reason)
    with changes.recorded(entry):
        if stage == PRODUCTION and entry.before != serves:
            raise BusyError(f"version {entry.before} of {registry.name} serves since a moment ago; run again")
        registry.ledger.log_decision(entry, decision)
        changes.carry_out(entry, outcome="replaced" if replaced else "promoted", reason=reason)
