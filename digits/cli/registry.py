"""Commands of the registry: what versions there are, which serves, how that came about, and how to change it."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime

from cyclopts import App

from digits.cli.output import print_json, print_line
from digits.cli.promote import opened, promote, tell
from digits.cli.tables import print_history, print_versions
from digits.errors import ParamsError
from digits.registry.history import Entry, holder_at
from digits.steps import stages

__all__ = ["app"]

app = App(
    name="registry",
    help="See, promote, roll back, archive and verify registered versions.",
    version_flags=[],  # here --version names one of them
)
app.command(promote)


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
    project, memory = opened(dataset)
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
    project, memory = opened(dataset)
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
    project, memory = opened(dataset)
    tell(stages.rollback(project, dataset, memory=memory, reason=reason), json=json)


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
    project, memory = opened(dataset)
    tell(stages.archive(project, dataset, version=version, memory=memory, reason=reason), json=json)


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
    project, memory = opened(dataset)
    faults = stages.faults(project, memory=memory)
    if json:
        print_json(faults)
    else:
        for fault in faults:
            print_line(fault)
        if not faults:
            print_line("every version is whole, and every alias is where the ledger says")
    return 1 if faults else 0


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ParamsError(f"--at is {text!r}; wanted a time such as 2026-05-01T12:00") from error


def _held(entry: Entry | None) -> str:
    if entry is None:
        return "no version was in production"
    return f"version {entry.version} was in production ({entry.outcome} {entry.time.astimezone():%Y-%m-%d %H:%M:%S})"
