"""Promotion: a version is examined beside the one that serves, the gate decides, and the alias moves or does not."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

from digits.errors import BusyError, GateFailed, MissingError, ParamsError
from digits.events import report
from digits.experiments.connection import answering
from digits.experiments.tracking import Tracking
from digits.files import only_one
from digits.project import Project
from digits.registry.changes import Changes
from digits.registry.history import Entry, known
from digits.registry.stages import PRODUCTION, STAGING
from digits.registry.version import ModelVersion
from digits.registry.versions import Registry
from digits.settings import Settings
from digits.steps.data import load_split
from digits.steps.judging import judged
from digits.steps.proposal import Answer, Proposal, Stage

__all__ = ["alone", "conclude", "opened", "propose", "wait_for_answer"]

log = logging.getLogger(__name__)

LONGEST_REASON, LONGEST_ACTOR = 1000, 200


@answering()
def propose(
    project: Project,
    dataset: str,
    *,
    memory: Tracking,
    version: int | None = None,
    to: Stage = "production",
    force: bool = False,
    reason: str = "",
    actor: str = "",
) -> Proposal:
    """Announce a promotion, examine both versions on the same rows, and ask the gate.

    What the gate says is also logged, in a record that carries the `Proposal`: whoever shows it need not be the caller.

    Parameters
    ----------
    project, dataset
        Whose registry.
    memory
        The server that it is on.
    version
        Number of the version; by default the one that is staged.
    to
        The stage.
    force
        Promote whatever the gate says; damaged files are never promoted.
    reason
        Why, for the ledger; `force` needs one.
    actor
        Who asks, for the ledger; whoever the settings name by default.

    Raises
    ------
    BusyError
        Another promotion to that stage is under way.
    MissingError
        There is no such version, or its files are damaged or gone.
    ParamsError
        `force` without a reason, or a reason or an actor that is too long.
    """
    if force and not reason.strip():
        raise ParamsError("a promotion is forced without a reason; wanted --reason TEXT, which the ledger keeps")
    if len(reason) > LONGEST_REASON:
        raise ParamsError(f"the reason has {len(reason)} characters, wanted {LONGEST_REASON} at most")
    params = project.params(dataset).promote
    registry, changes = opened(project, memory=memory, actor=actor)
    asks = to == PRODUCTION and params.approval == "required"
    with alone(project, dataset, to):
        settled = changes.settle()
        registry.warn_of_aliases()
        if entry := _completed(settled, registry, version=version, to=to):
            return Proposal(entry, None, forced=force, asks=False, done=True)
        chosen = _chosen(registry, version)
        if to == STAGING and PRODUCTION in chosen.aliases:
            raise ParamsError(f"{chosen} serves, so it cannot be staged; stage another version")
        if entry := _promoted(registry, chosen, to=to):
            registry.stages.agree()  # whoever moved it may have died before the mirrors agreed
            return Proposal(entry, None, forced=force, asks=False, done=True)
        entry = changes.begin("promote", stage=to, version=chosen.version, reason=reason)
        proposal = Proposal(entry, None, forced=force, asks=asks, bounds=params.bounds)
        with changes.recorded(entry):
            if to == STAGING:
                registry.check(chosen)
            else:
                report("promote", subject=str(chosen), state="running")
                # The ledger's champion, also where somebody has moved or taken away the alias by hand.
                champion = known(registry.ledger.entries()).holders.get(PRODUCTION)
                if champion is None:
                    champion = registry.stages.holders().get(PRODUCTION)
                rows = load_split(project, dataset)
                decision = judged(project, registry, chosen, split=rows, champion=champion, force=force)
                registry.ledger.log_decision(entry, decision)
                proposal = replace(proposal, decision=decision, split=rows.digest)
                log.info("the gate, of %s: %s", chosen, decision.reason, extra={"proposal": proposal})
    return proposal


def wait_for_answer(proposal: Proposal, *, memory: Tracking, hours: float) -> Proposal:
    """Say in the ledger that a person is asked, and how long; what others do meanwhile is not held up."""
    return replace(proposal, entry=Registry(memory).ledger.wait(proposal.entry, hours=hours))


@answering()
def conclude(
    project: Project, dataset: str, proposal: Proposal, *, memory: Tracking, answer: Answer | None = None
) -> Entry:
    """Carry a proposal out, or record why not.

    Parameters
    ----------
    project, dataset
        Whose registry.
    proposal
        What `propose` gave.
    memory
        The server that it is on.
    answer
        What the person said who had to agree.

    Raises
    ------
    GateFailed
        The gate or the person refuses.
    BusyError
        Something has changed since the decision was made.
    """
    entry, decision = proposal.entry, proposal.decision
    if proposal.done:
        return entry
    registry, changes = opened(project, memory=memory)
    name = f"version {entry.version} of {registry.name}"
    with changes.recorded(entry):
        if not proposal.accepted and decision is not None:
            changes.refuse(entry, reason=decision.reason)
            raise GateFailed(f"{name} is not promoted: {decision.reason}; see docs/gates.md")
        if answer is not None:  # first of all: what a person said is kept, whatever comes of it
            entry = registry.ledger.answered(entry, by=answer.by, reason=answer.reason)
        if proposal.asks and (answer is None or not answer.approved):
            words = f"{answer.by} refused: {answer.reason}" if answer else "nobody was asked"
            changes.refuse(entry, reason=words)
            raise GateFailed(f"{name} is not promoted: {words}; see `digits registry history {dataset}`")
        forced = decision is not None and not decision.passed
        why = entry.reason or (decision.reason if decision else "")
        if proposal.asks:  # who was asked may have taken days
            _ensure_still_so(project, registry, proposal)
        with changes.alone():
            done = changes.carry_out(entry, outcome="forced" if forced else "promoted", reason=why)
        report("promote", subject=name, state="done", detail=f"@{entry.stage}")
        return done


def _ensure_still_so(project: Project, registry: Registry, proposal: Proposal) -> None:
    """Raise unless bounds, test rows and files are what they were when a person was asked."""
    if project.params(registry.dataset).promote.bounds != proposal.bounds:
        raise BusyError(
            f"the bounds of the gate of {registry.dataset} were changed while a person was asked; ask again"
        )
    if load_split(project, registry.dataset).digest != proposal.split:
        raise BusyError(f"{registry.dataset} was split anew while a person was asked; ask again")
    registry.check(registry.version(proposal.entry.version))


def opened(project: Project, *, memory: Tracking, actor: str = "") -> tuple[Registry, Changes]:
    """Return the registry of a dataset, and what changes it in somebody's name: whoever the settings name."""
    if len(actor) > LONGEST_ACTOR:
        raise ParamsError(f"the actor has {len(actor)} characters, wanted {LONGEST_ACTOR} at most")
    registry = Registry(memory)
    lock = project.lock(registry.dataset, "promotion", "move")
    return registry, Changes(registry, actor=actor.strip() or Settings.load(project.root).actor, lock=lock)


@contextmanager
def alone(project: Project, dataset: str, *aliases: str, wait: bool = False) -> Iterator[None]:
    """Let one process of this checkout at a time change who has these aliases; the other is told, or waits."""
    busy = BusyError(f"another promotion of {dataset} is under way here; wait for its end and ask again")
    with ExitStack() as locks:
        for alias in sorted(aliases):  # always in this order, so that no two wait for each other
            locks.enter_context(only_one(project.lock(dataset, "promotion", alias), busy=None if wait else busy))
        yield


def _completed(settled: list[Entry], registry: Registry, *, version: int | None, to: Stage) -> Entry | None:
    """Return the promotion that is asked for, where a dead process had begun it and it was completed just now."""
    if not settled:
        return None
    holders = registry.stages.holders()
    if version is None and STAGING in holders:
        return None  # what is asked for is the one that is staged
    holder = holders.get(to)  # it may have been taken away again
    asked = [item for item in settled if (item.action, item.stage, item.version) == ("promote", to, holder)]
    return next((item for item in reversed(asked) if version in {None, item.version}), None)


def _promoted(registry: Registry, version: ModelVersion, *, to: Stage) -> Entry | None:
    """Return the entry by which a version is where it should go, if alias and ledger say that it is."""
    if to not in version.aliases:
        return None
    entries = registry.ledger.entries()
    if known(entries).holders.get(to) != version.version:
        return None
    moves = [item for item in entries if item.has_moved and (item.stage, item.version) == (to, version.version)]
    return moves[-1]


def _chosen(registry: Registry, version: int | None) -> ModelVersion:
    if version is not None:
        return registry.version(version)
    if (staged := registry.holding(STAGING)) is None:
        raise MissingError(
            f"no version of {registry.name} is staged; name one with --version, see "
            f"`digits registry list {registry.dataset}`"
        )
    return staged
