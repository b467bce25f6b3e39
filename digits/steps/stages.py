"""Taking versions out of production and out of use, and looking after the registry."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from digits.errors import BusyError, MissingError, ParamsError
from digits.events import report
from digits.experiments.connection import answering
from digits.experiments.tracking import Tracking
from digits.project import Project
from digits.registry.history import Entry, known
from digits.registry.ledger import LEASE
from digits.registry.stages import ARCHIVED, PRODUCTION, STAGING
from digits.registry.version import ModelVersion
from digits.registry.versions import Registry
from digits.steps.promotion import alone, opened

__all__ = ["archive", "faults", "history", "rollback", "versions"]

log = logging.getLogger(__name__)


@answering()
def rollback(project: Project, dataset: str, *, memory: Tracking, reason: str = "", actor: str = "") -> Entry:
    """Give production back to the version that served before, at once: no promotion under way is waited for.

    Where somebody has moved the alias by hand, it goes back to the version that the ledger knows of. A version that is
    damaged or deleted is passed over, and so is one that somebody archived.

    Raises
    ------
    MissingError
        No version served before.
    BusyError
        Another rollback is under way, or the version that serves is another one since a moment ago.
    """
    registry, changes = opened(project, memory=memory, actor=actor)
    for entry in changes.settle():
        if entry.action == "rollback" and datetime.now(UTC) - entry.time < LEASE:  # else it was another trouble
            return entry
    meant = registry.stages.holders().get(PRODUCTION)
    with changes.alone():
        serves = registry.stages.holders().get(PRODUCTION)
        if serves != meant:
            raise BusyError(f"version {serves} of {registry.name} serves since a moment ago; look whether it is right")
        target = _before(registry, serves)
        entry = changes.begin("rollback", stage=PRODUCTION, version=target, reason=reason)
        with changes.recorded(entry):
            if entry.before != serves:
                raise BusyError(f"version {entry.before} of {registry.name} serves since a moment ago; ask again")
            done = changes.carry_out(entry, outcome="rolled back", reason=reason)
    report("rollback", subject=registry.name, state="done", detail=f"version {target} serves again")
    return done


def _before(registry: Registry, serves: int | None) -> int:
    """Return the last version that served before the one that serves now and whose files are whole."""
    served = known(entry for entry in registry.ledger.entries() if not entry.is_open).production
    earlier = served[:-1] if served and served[-1] == serves else served
    for number in reversed(earlier):
        if number == serves:
            continue
        try:
            registry.check(registry.version(number))
        except MissingError as error:  # damaged, or deleted
            log.warning("%s", error)
        else:
            return number
    raise MissingError(
        f"no version of {registry.name} served before {f'version {serves}' if serves else 'now'}; promote another with "
        f"`digits registry promote {registry.dataset} --version N`"
    )


@answering()
def archive(project: Project, dataset: str, *, version: int, memory: Tracking, reason: str = "") -> Entry:
    """Take a version out of use.

    Raises
    ------
    ParamsError
        It serves.
    MissingError
        There is none of that number.
    """
    registry, changes = opened(project, memory=memory)
    with alone(project, dataset, PRODUCTION, STAGING), changes.alone():
        for entry in changes.settle():
            if entry.action == "archive" and entry.version == version:
                return entry
        champion = known(registry.ledger.entries()).holders.get(PRODUCTION)  # also where somebody took its alias away
        if PRODUCTION in registry.version(version).aliases or version == champion:
            raise ParamsError(
                f"version {version} of {registry.name} serves and cannot be archived; promote another version, or "
                f"`digits registry rollback {dataset}`"
            )
        entry = changes.begin("archive", stage=ARCHIVED.lower(), version=version, reason=reason)
        with changes.recorded(entry):
            return changes.carry_out(entry, outcome="archived", reason=reason)


@answering()
def versions(project: Project, *, memory: Tracking) -> list[ModelVersion]:
    """Return a dataset's versions, the newest first, after what dead processes have left was finished.

    A warning says so where somebody has moved an alias by hand.
    """
    registry, changes = opened(project, memory=memory)
    changes.settle()
    registry.warn_of_aliases()
    return registry.versions()


@answering()
def history(project: Project, *, memory: Tracking) -> list[Entry]:
    """Return the ledger of a dataset, oldest first, after what dead processes have left in it was finished.

    A warning says so where somebody has moved an alias by hand, of which the ledger knows nothing.
    """
    registry, changes = opened(project, memory=memory)
    changes.settle()
    registry.warn_of_aliases()
    return registry.ledger.entries()


@answering()
def faults(project: Project, *, memory: Tracking) -> list[str]:
    """Return a line for each alias or stage that was set by hand, and for each version whose files were changed."""
    registry, changes = opened(project, memory=memory)
    changes.settle()
    found = registry.moved_by_hand()
    # Mirrors follow no alias that was moved by hand, and one that moves a call later.
    if not found and not any(entry.moved for entry in registry.ledger.unfinished()):
        found = registry.stages.faults()
    return found + [fault for version in registry.versions() if (fault := registry.fault(version))]
