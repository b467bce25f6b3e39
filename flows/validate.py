"""The hourly look: is each snapshot still what its contract says."""

from __future__ import annotations

from prefect import State, flow
from prefect.states import Completed

from digits.errors import ContractViolation, MissingError
from digits.project import Project
from tasks.data import judge

__all__ = ["validate"]


@flow(name="validate", flow_run_name="validate {dataset}")
def validate(dataset: str = "all") -> list[str] | State[list[str]]:
    """Hold the snapshot of a dataset against its contract, or those of all datasets that have one.

    Args:
        dataset: Name of the dataset in params.yaml, or all.

    Returns
    -------
    list of str
        The datasets whose contract holds. Where there is no snapshot, the state says that nothing was looked at: before
        the first training that is as it should be, but nobody is to take it for a sign that the data is whole.

    Raises
    ------
    ContractViolation
        A snapshot breaks a rule; the others have been looked at as well.
    """
    project = Project.find()
    names = [name for name in project.datasets() if project.snapshot(name).exists()] if dataset == "all" else [dataset]
    if not names:
        message = "Nothing to look at: no dataset has a snapshot here; the next training makes one, or `digits ingest`"
        return Completed(message=message, data=[])
    states = {name: judge(name, return_state=True) for name in names}
    faults = [state.result(raise_on_failure=False) for state in states.values() if not state.is_completed()]
    for kind in (ContractViolation, MissingError, Exception):
        if found := [error for error in faults if isinstance(error, kind)]:
            raise kind("; ".join(str(error) for error in found)) from found[0]
    return names
