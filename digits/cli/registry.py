"""Commands of the registry: what versions there are, which serves, how that came about, and how to change it."""

from __future__ import annotations

import sys
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING

from cyclopts import App

from digits.cli.output import print_json, print_line
from digits.cli.tables import print_gate, print_history, print_versions, proposals_heard
from digits.errors import GateFailed, MissingError, ParamsError, ServerError
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.registry.history import Entry, holder_at
from digits.registry.versions import Registry
from digits.settings import ONE_THREAD, Settings, prepare_environment
from digits.steps import promotion, stages
from digits.steps.memory import known_fits
from digits.steps.promotion import Stage

if TYPE_CHECKING:
    from digits.steps.promotion import Proposal

__all__ = ["app"]

app = App(
    name="registry",
    help="See, promote, roll back, archive and verify registered versions.",
    version_flags=[],  # here --version names one of them
)


@app.command(name="list")
def list_(dataset: str, *, json: bool = False) -> None:
    """List the versions of a dataset's classifier, the newest first.

    Examples
    --------
    ::

        digits registry list digits

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print them as JSON.
    """
    project, memory = _opened(dataset)
    versions = stages.versions(project, memory=memory)
    if json:
        print_json([asdict(version) for version in versions])
    else:
        print_versions(versions)


@app.command
def history(dataset: str, *, at: str | None = None, json: bool = False) -> None:
    """Show the ledger: every promotion, refusal, rollback and archiving, oldest first.

    Examples
    --------
    ::

        digits registry history digits
        digits registry history digits --at 2026-05-01T12:00

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    at
        Tell only which version was in production at this time, in ISO 8601; local time where it names no zone.
    json
        Print it as JSON.
    """
    project, memory = _opened(dataset)
    moment = None if at is None else _moment(at)
    entries = stages.history(project, memory=memory)
    if moment is not None:
        entry = holder_at(entries, moment)
        if json:
            print_json(entry.as_dict() if entry else None)
        else:
            print_line(f"{_held(entry)} at {moment.isoformat(timespec='minutes')}")
    elif json:
        print_json([entry.as_dict() for entry in entries])
    else:
        print_history(entries)


@app.command
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
    project, memory = _opened(dataset)
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
                _tell(Registry(memory).ledger.read(item.entry), json=json, proposal=item)
            raise
    _tell(entry, json=json, proposal=judged[-1] if judged else None)


@app.command
def rollback(dataset: str, *, reason: str = "", json: bool = False) -> None:
    """Give production back to the version that served before, at once.

    Examples
    --------
    ::

        digits registry rollback digits --reason "it takes sevens for ones"

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    reason
        Why, for the ledger.
    json
        Print what was done as JSON.
    """
    project, memory = _opened(dataset)
    _tell(stages.rollback(project, dataset, memory=memory, reason=reason), json=json)


@app.command
def archive(dataset: str, *, version: int, reason: str = "", json: bool = False) -> None:
    """Take a version out of use; the one in production cannot be.

    Examples
    --------
    ::

        digits registry archive digits --version 2

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    version
        Number of the version.
    reason
        Why, for the ledger.
    json
        Print what was done as JSON.
    """
    project, memory = _opened(dataset)
    _tell(stages.archive(project, dataset, version=version, memory=memory, reason=reason), json=json)


@app.command
def verify(dataset: str, *, json: bool = False) -> int:
    """Check that every version's files are those registered, and that the aliases are where the ledger says.

    Each fault is one line, and the exit code is 1.

    Examples
    --------
    ::

        digits registry verify digits

    Parameters
    ----------
    dataset
        Name of the dataset in params.yaml.
    json
        Print the faults as JSON.
    """
    project, memory = _opened(dataset)
    faults = stages.faults(project, memory=memory)
    if json:
        print_json(faults)
    else:
        for fault in faults:
            print_line(fault)
        if not faults:
            print_line("every version is whole, and every alias is where the ledger says")
    return 1 if faults else 0


def _opened(dataset: str) -> tuple[Project, Tracking]:
    project = Project.find()
    project.section(dataset)
    memory = known_fits(project, dataset, settings=Settings.load(project.root))
    if memory is None:
        raise MissingError(f"no version of {dataset}-classifier: nothing was run yet; run `digits run {dataset}`")
    return project, memory


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ParamsError(f"--at is {text!r}; wanted a time such as 2026-05-01T12:00") from error


def _held(entry: Entry | None) -> str:
    if entry is None:
        return "no version was in production"
    return f"version {entry.version} was in production ({entry.outcome} {entry.time.astimezone():%Y-%m-%d %H:%M:%S})"


def _asked(project: Project, dataset: str, *, version: int | None, force: bool, reason: str) -> Entry:
    """Run the flow, which asks a person on the Prefect server."""
    settings = Settings.load(project.root)
    if settings.prefect_api_url is None:
        raise ServerError(
            f"a person has to agree to promotions of {dataset} (approval: required), and no Prefect server is there to "
            "ask on; start one with `prefect server start` and set PREFECT_API_URL"
        )
    from flows.servers.private import prefect_server, quiet_console

    with prefect_server(settings.prefect_api_url, state=project.state / "prefect"):
        from flows.promote import promote as flow

        quiet_console()
        page = settings.prefect_api_url.removesuffix("/api")
        sys.stderr.write(f"a person has to agree: the flow run `promote {dataset} to production` waits at {page}\n")
        return flow(dataset, version=version, to="production", force=force, reason=reason)


def _show_gate(proposal: Proposal) -> None:
    if proposal.decision is not None:
        print_gate(proposal.decision)
        sys.stdout.flush()  # before anything that goes to stderr, and before a person is waited for


def _tell(entry: Entry, *, json: bool, proposal: Proposal | None = None) -> None:
    if json:
        gate = {"gate": proposal.decision.as_dict()} if proposal and proposal.decision else {}
        print_json({**entry.as_dict(), **gate})
    else:
        print_line(f"{entry.dataset}-classifier version {entry.version}: {entry.outcome} ({entry.stage})")
