"""The hourly look: is each snapshot still what its contract says."""

from __future__ import annotations

from prefect import flow

from digits.errors import ContractViolation, MissingError
from digits.project import Project
from tasks.data import judge

__all__ = ["validate"]


@flow(name="validate", flow_run_name="validate {dataset}")
def validate(dataset: str = "all") -> list[str]:
    """Hold the snapshot of a dataset against its contract, or those of all datasets that have one.

    Args:
        dataset: Name of the dataset in params.yaml, or all.

    Returns
    -------
    list of str
        The datasets whose contract holds.

    Raises
    ------
    ContractViolation
        A snapshot breaks a rule; the others have been looked at as well.
    MissingError
        There is no snapshot. A run that has looked at nothing does not end well: "not yet" and "lost" look the same
        from here, and whoever hears of no fault takes it that the data is whole.
    """
    project = Project.find()
    names = [name for name in project.datasets() if project.snapshot(name).exists()] if dataset == "all" else [dataset]
    if not names:
        raise MissingError(
            "no dataset has a snapshot to look at; the next training makes one, or `digits ingest DATASET`"
        )
    states = {name: judge(name, return_state=True) for name in names}
    faults = [state.result(raise_on_failure=False) for state in states.values() if not state.is_completed()]
    for kind in (ContractViolation, MissingError, Exception):
        if found := [error for error in faults if isinstance(error, kind)]:
            raise kind("; ".join(str(error) for error in found)) from found[0]
    return names
