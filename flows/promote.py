"""Promotion and its way back as flows, for schedules, for the form in the Prefect UI, and to ask a person."""

from __future__ import annotations

from typing import Literal

from prefect import flow
from prefect.exceptions import FlowPauseTimeout
from prefect.flow_runs import pause_flow_run
from prefect.input import RunInput
from pydantic import Field

from digits.experiments.connection import answering
from digits.project import Project
from digits.registry.history import Entry
from digits.settings import Settings
from digits.steps.memory import tracking
from digits.steps.promotion import wait_for_answer
from digits.steps.proposal import Answer, Proposal
from tasks import registry
from tasks.data import ingest, split, validate

__all__ = ["Approval", "promote", "rollback"]

POLL_SECONDS = 2


class Approval(RunInput):
    """The form that a person answers."""

    answer: Literal["approve", "refuse"] = Field(description="Whether this version goes to production")
    name: str = Field(description="Your name, for the ledger", min_length=1, max_length=200)
    reason: str = Field(default="", description="Why, for the ledger", max_length=1000)


@flow(name="promote", flow_run_name="promote {dataset} to {to}")
def promote(
    dataset: str,
    *,
    version: int | None = None,
    to: Literal["staging", "production"] = "production",
    force: bool = False,
    reason: str = "",
    actor: str = "",
) -> Entry:
    """Promote a version of a dataset's classifier, if it has earned it.

    Args:
        dataset: Name of the dataset in params.yaml.
        version: Number of the version; by default the one that is staged.
        to: The stage.
        force: Promote it whatever the gate says; needs a reason. Damaged files are never promoted.
        reason: Why, for the ledger.
        actor: Who asks, for the ledger; by default the user on whose behalf it runs.
    """
    project = Project.find()
    with answering():
        if to == "production" and not project.split(dataset).exists():  # a machine that has trained nothing yet
            snapshot = ingest(dataset)
            split(snapshot, validate(snapshot))
        memory = tracking(project, dataset, settings=Settings.load(project.root))
        proposal = registry.propose(
            dataset, memory=memory, version=version, to=to, force=force, reason=reason, actor=actor
        )
        answer = None
        if proposal.asks and proposal.accepted:
            hours = project.params(dataset).promote.approval_hours
            answer = _ask(wait_for_answer(proposal, memory=memory, hours=hours), hours=hours)
        return registry.conclude(dataset, proposal, memory=memory, answer=answer)


@flow(name="rollback", flow_run_name="rollback {dataset}")
def rollback(dataset: str, reason: str = "", actor: str = "") -> Entry:
    """Give production back to the version that served before, at once.

    Args:
        dataset: Name of the dataset in params.yaml.
        reason: Why, for the ledger.
        actor: Who asks, for the ledger; by default the user on whose behalf it runs.
    """
    project = Project.find()
    with answering():
        memory = tracking(project, dataset, settings=Settings.load(project.root))
        return registry.rollback(dataset, memory=memory, reason=reason, actor=actor)


def _ask(proposal: Proposal, *, hours: float) -> Answer:
    """Wait until somebody answers in the Prefect UI; no answer within the time is a refusal."""
    entry = proposal.entry
    table = proposal.decision.as_markdown() if proposal.decision else ""
    question = f"Version {entry.version} of {entry.dataset} asks for production. {entry.reason}\n\n{table}"
    form = Approval.with_initial_data(description=question)
    try:
        given = pause_flow_run(wait_for_input=form, timeout=max(1, round(hours * 3600)), poll_interval=POLL_SECONDS)
    except FlowPauseTimeout:
        return Answer(approved=False, by="nobody", reason=f"no answer within {hours:g} hours")
    return Answer(approved=given.answer == "approve", by=given.name, reason=given.reason)
