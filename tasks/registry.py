"""The step that MLflow's registry remembers: promote, and its way back."""

from __future__ import annotations

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from digits.errors import GateFailed
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.registry.history import Entry
from digits.steps import promotion, stages
from digits.steps.proposal import Answer, Proposal, Stage
from tasks.notices import PROMOTED, PROMOTION_REFUSED, ROLLED_BACK, tell

__all__ = ["conclude", "propose", "rollback"]


@task(task_run_name="propose {dataset}", cache_policy=NO_CACHE)
def propose(
    dataset: str, *, memory: Tracking, version: int | None, to: Stage, force: bool, reason: str, actor: str
) -> Proposal:
    """Examine a version beside the one that serves and ask the gate; its table is kept as an artifact."""
    proposal = promotion.propose(
        Project.find(), dataset, memory=memory, version=version, to=to, force=force, reason=reason, actor=actor
    )
    if proposal.decision is not None:
        create_markdown_artifact(
            key=f"gate-{dataset}".lower().replace("_", "-"),
            markdown=proposal.decision.as_markdown(),
            description=f"What the gate says of version {proposal.entry.version} of {dataset}",
        )
    return proposal


@task(task_run_name="conclude {dataset}", cache_policy=NO_CACHE)
def conclude(dataset: str, proposal: Proposal, *, memory: Tracking, answer: Answer | None) -> Entry:
    """Move the alias, or record why not; either is told."""
    try:
        done = promotion.conclude(Project.find(), dataset, proposal, memory=memory, answer=answer)
    except GateFailed as error:
        tell(PROMOTION_REFUSED, dataset=dataset, message=str(error))
        raise
    if not proposal.done:
        tell(PROMOTED, dataset=dataset, message=f"version {done.version} is @{done.stage} now: {done.reason}")
    return done


@task(task_run_name="rollback {dataset}", cache_policy=NO_CACHE)
def rollback(dataset: str, *, memory: Tracking, reason: str, actor: str) -> Entry:
    """Give production back to the version that served before."""
    done = stages.rollback(Project.find(), dataset, memory=memory, reason=reason, actor=actor)
    tell(
        ROLLED_BACK, dataset=dataset, message=f"version {done.version} serves again: {done.reason or 'no reason given'}"
    )
    return done
