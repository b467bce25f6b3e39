"""The command that promotes a version, here and now or when a person has agreed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from digits.cli.leaving import leave_as_ctrl_c_does
from digits.cli.output import print_json, print_line
from digits.cli.tables import print_gate, proposals_heard
from digits.errors import GateFailed, MissingError, ServerError
from digits.experiments.connection import answering
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.registry.history import Entry
from digits.registry.versions import Registry
from digits.settings import ONE_THREAD, Settings, prepare_environment
from digits.steps import promotion
from digits.steps.memory import known_fits
from digits.steps.proposal import Stage

if TYPE_CHECKING:
    from digits.steps.proposal import Proposal

__all__ = ["opened", "promote", "tell"]


def promote(
    dataset: str,
    *,
    version: int | None = None,
    to: Stage = "production",
    force: bool = False,
    reason: str = "",
    json: bool = False,
) -> None:
    """Promote a version, if it has earned it.

    Before production both the version and the one that serves now are examined on the same test images, and the gate
    decides (docs/gates.md). A refusal leaves with exit code 3. Where a person has to agree (`approval: required`), the
    question waits on the Prefect server at PREFECT_API_URL.

    Examples
    --------
    ::

        digits registry promote digits
        digits registry promote digits --version 3 --to staging
        digits registry promote digits --version 3 --force --reason "the champion cannot read sevens"

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    version
        Number of the version; by default the one that is staged.
    to
        The stage.
    force
        Promote it whatever the gate says; needs --reason. Damaged files are never promoted.
    reason
        Why, for the ledger.
    json
        Print what was done, and the gate's table, as JSON.
    """
    prepare_environment(ONE_THREAD)  # the same bits as in the worker that evaluated it
    project, memory = opened(dataset)
    judged: list[Proposal] = []
    with proposals_heard(judged.append if json else _show_gate):
        try:
            if to == "production" and project.params(dataset).promote.approval == "required":
                entry = _asked(project, dataset, version=version, force=force, reason=reason.strip())
            else:
                proposal = promotion.propose(
                    project, dataset, memory=memory, version=version, to=to, force=force, reason=reason.strip()
                )
                entry = promotion.conclude(project, dataset, proposal, memory=memory)
        except GateFailed:
            for item in judged:
                with answering():
                    refused = Registry(memory).ledger.read(item.entry)
                tell(refused, json=json, proposal=item)
            raise
    tell(entry, json=json, proposal=judged[-1] if judged else None)


def opened(dataset: str) -> tuple[Project, Tracking]:
    """Return the project, and the server that has the dataset's versions.

    Raises
    ------
    MissingError
        Nothing was run yet.
    """
    project = Project.find()
    project.section(dataset)
    memory = known_fits(project, dataset, settings=Settings.load(project.root))
    if memory is None:
        raise MissingError(f"no version of {dataset}-classifier: nothing was run yet; run `digits run {dataset}`")
    return project, memory


def tell(entry: Entry, *, json: bool, proposal: Proposal | None = None) -> None:
    """Print what became of a change of stage."""
    if json:
        gate = {"gate": proposal.decision.as_dict()} if proposal and proposal.decision else {}
        print_json({**entry.as_dict(), **gate})
    else:
        print_line(f"{entry.dataset}-classifier version {entry.version}: {entry.outcome} ({entry.stage})")


def _asked(project: Project, dataset: str, *, version: int | None, force: bool, reason: str) -> Entry:
    """Run the flow, which asks a person on the Prefect server."""
    settings = Settings.load(project.root)
    if settings.prefect_api_url is None:
        raise ServerError(
            f"a person has to agree to promotions of {dataset} (approval: required), and no Prefect server is there to "
            "ask on; start one with `prefect server start` and set PREFECT_API_URL"
        )
    from flows.servers.private import prefect_server, quiet_console

    leave_as_ctrl_c_does()
    with prefect_server(project, settings=settings):
        from flows.by_hand import by_hand
        from flows.promote import promote as flow

        quiet_console()
        page = settings.prefect_api_url.removesuffix("/api")
        sys.stderr.write(f"a person has to agree: the flow run `promote {dataset} to production` waits at {page}\n")
        return by_hand(flow)(dataset, version=version, to="production", force=force, reason=reason)


def _show_gate(proposal: Proposal) -> None:
    if proposal.decision is not None:
        print_gate(proposal.decision)
        sys.stdout.flush()  # before anything that goes to stderr, and before a person is waited for
