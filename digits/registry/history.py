"""What the ledger tells: who held an alias and when, and what the aliases should be now. Pure functions of its entries.

Does not know where the entries are kept (``ledger``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from digits.registry.stages import PRODUCTION, STAGING

__all__ = ["MOVED", "UNDER_WAY", "WAITING", "Action", "Entry", "Known", "Outcome", "differences", "holder_at", "known"]

Action = Literal["promote", "replace", "rollback", "archive"]
Outcome = Literal[
    "", "promoted", "forced", "replaced", "rolled back", "archived", "refused", "withdrawn", "abandoned", "failed"
]

#: Outcomes after which a version is in another stage than before.
MOVED = frozenset({"promoted", "forced", "replaced", "rolled back", "archived"})


#: MLflow's words for what is under way, and for what waits for a person's answer and stands in nobody's way.
UNDER_WAY, WAITING = "RUNNING", "SCHEDULED"


@dataclass(frozen=True)
class Entry:
    """One line of the ledger.

    Attributes
    ----------
    run_id
        The run that is the entry.
    action
        What was asked for; ``replace`` is a damaged version's place taken by another with the same model.
    stage
        The alias that was asked for; ``archived`` for an archiving.
    version, before
        The version that it was asked for, and the one that held the alias then.
    actor
        Who asked.
    outcome
        What became of it; empty while it is under way.
    reason
        Why.
    started, moved
        When it was asked for, and when the alias moved, if it did.
    deadline
        When whoever works on it counts as dead.
    status, process
        State of the run, and the process that works on it.
    approved_by, approval_reason
        Who answered when a person was asked, and why so.
    """

    run_id: str
    dataset: str
    action: Action
    stage: str
    version: int
    before: int | None
    actor: str
    outcome: Outcome
    reason: str
    started: datetime
    moved: datetime | None
    deadline: datetime
    status: str
    process: str
    approved_by: str = ""
    approval_reason: str = ""

    @property
    def time(self) -> datetime:
        """When it counts: when the alias moved, else when it was asked for."""
        return self.moved or self.started

    @property
    def lanes(self) -> frozenset[str]:
        """The aliases that it must be alone with: what is staged and what serves are changed independently."""
        return frozenset({PRODUCTION, STAGING} if self.action == "archive" else {self.stage})

    @property
    def is_open(self) -> bool:
        """Whether it is under way, or waits for an answer."""
        return self.status in {UNDER_WAY, WAITING}

    @property
    def has_moved(self) -> bool:
        """Whether a version is in another stage since."""
        return self.outcome in MOVED and self.moved is not None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values for people and machines."""
        return {
            "time": self.time.isoformat(timespec="seconds"),
            "action": self.action,
            "stage": self.stage,
            "version": self.version,
            "before": self.before,
            "outcome": "under way" if self.is_open else self.outcome,
            "actor": self.actor,
            "reason": self.reason,
            "approved_by": self.approved_by,
            "approval_reason": self.approval_reason,
            "run_id": self.run_id,
        }


@dataclass(frozen=True)
class Known:
    """What the ledger knows of the aliases.

    Attributes
    ----------
    production
        The versions that have served, the one that serves last; those that were rolled back, or archived by somebody,
        are not among them.
    staging
        The version that is staged.
    """

    production: tuple[int, ...] = ()
    staging: int | None = None

    @property
    def holders(self) -> dict[str, int]:
        """Alias → the version that should have it."""
        held = {PRODUCTION: self.production[-1] if self.production else None, STAGING: self.staging}
        return {alias: version for alias, version in held.items() if version is not None}


def known(entries: Iterable[Entry]) -> Known:
    """Return what the ledger knows after these entries, given in the order of their time."""
    production: list[int] = []
    staging: int | None = None
    for entry in entries:
        if not entry.has_moved:
            continue
        if entry.version == staging:
            staging = None
        if entry.stage == STAGING:
            staging = entry.version
        elif entry.action == "archive":
            production = [number for number in production if number != entry.version]
        elif entry.stage == PRODUCTION:
            production = _after(production, entry)
    return Known(production=tuple(production), staging=staging)


def _after(production: list[int], entry: Entry) -> list[int]:
    """Return the versions that have served, after one more entry."""
    if entry.action == "rollback" and entry.version in production:
        return production[: len(production) - production[::-1].index(entry.version)]
    kept = [number for number in production if entry.action != "replace" or number != entry.before]
    return kept if kept[-1:] == [entry.version] else [*kept, entry.version]


def holder_at(entries: Sequence[Entry], moment: datetime) -> Entry | None:
    """Return the entry by which a version held ``@production`` at a moment; None when none did yet.

    An entry that is under way does not count before it has ended.
    """
    done = (item for item in entries if item.has_moved and not item.is_open and item.stage == PRODUCTION)
    return max((item for item in done if item.time <= moment), key=lambda item: item.time, default=None)


def differences(entries: Sequence[Entry], holders: Mapping[str, int]) -> list[tuple[str, str, str]]:
    """Return alias, where it is and where it should be, in words, for each that is not where the ledger says.

    While an entry is under way the alias may be where it was, or where it is going to be.
    """
    ended, begun = known(item for item in entries if not item.is_open).holders, known(entries).holders
    return [
        (alias, _number(holders.get(alias)), _number(ended.get(alias)))
        for alias in (PRODUCTION, STAGING)
        if holders.get(alias) not in {ended.get(alias), begun.get(alias)}
    ]


def _number(version: int | None) -> str:
    return "no version" if version is None else f"version {version}"
