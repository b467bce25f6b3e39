"""Changes of stage, each as one transaction: announced in the ledger, done by one call, then mirrored and recorded.

A process that dies in between leaves the old state or the new one. `Changes.settle`, which every change and every
question begins with, completes the entry if the alias has moved and ends it if not.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from digits.errors import BusyError, DigitsError, GateFailed, MissingError
from digits.files import only_one
from digits.processes import has_died
from digits.registry.history import MOVED, UNDER_WAY, WAITING, Action, Entry, Outcome
from digits.registry.stages import PRODUCTION, STAGING

if TYPE_CHECKING:
    from digits.registry.versions import Registry

__all__ = ["Changes"]

log = logging.getLogger(__name__)


class Changes:
    """Changes of stage of one dataset's versions.

    Parameters
    ----------
    registry
        Whose versions.
    actor
        Whom the ledger names.
    lock
        File that whoever moves an alias from this checkout holds while it does.
    """

    def __init__(self, registry: Registry, *, actor: str, lock: Path) -> None:
        self._lock = lock
        self._ledger, self._stages = registry.ledger, registry.stages
        self._actor = actor
        self._dataset = registry.dataset

    def settle(self) -> list[Entry]:
        """Finish what dead processes have left, and return the entries that were completed."""
        completed = []
        for found in self._ledger.unfinished():
            if not self._ledger.is_dead(found):
                continue
            entry = self._ledger.read(found)  # it may have ended before it died
            if not entry.is_open:
                continue
            if self._has_moved(entry):
                completed.append(self._end_moved(entry))
                log.warning("completed what a dead process had begun: %s of version %s", entry.action, entry.version)
            else:
                # One that died while it ended the entry had said how.
                self._stages.agree()
                decided = entry.outcome if entry.outcome not in MOVED else ""
                if not decided and entry.status == WAITING and not has_died(entry.process):
                    self._ledger.finish(entry, outcome="refused", reason="nobody answered in time")
                else:
                    self._ledger.finish(entry, outcome=decided or "abandoned")
                log.warning("a dead process had begun the %s of version %s; nothing moved", entry.action, entry.version)
        return completed

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Let nobody else in this checkout move an alias in the block; whoever moves one does so in such a block."""
        with only_one(self._lock):
            yield

    def begin(self, action: Action, *, stage: str, version: int, reason: str) -> Entry:
        """Announce a change.

        Raises
        ------
        BusyError
            Another one is under way that goes first; see `Ledger.rival`.
        """
        before = self._stages.holders().get(_alias(stage))
        entry = self._ledger.begin(
            action, stage=stage, version=version, before=before, actor=self._actor, reason=reason
        )
        with self.recorded(entry):
            self._yield_to_older(entry, known=self._ledger.unfinished())
        return entry

    def carry_out(self, entry: Entry, *, outcome: Outcome, reason: str) -> Entry:
        """Do what was announced; to be called in a block of `alone`.

        Raises
        ------
        BusyError
            Somebody else was faster, or the entry was ended meanwhile.
        """
        # The last look before the alias moves: between the two, MLflow lets nobody hold anything.
        known = self._look_again(entry)
        moving = self._ledger.moving(entry, outcome=outcome, reason=reason, known=known)
        if moving.action != "archive":
            self._stages.give(moving.stage, moving.version)
        return self._end_moved(moving)

    def refuse(self, entry: Entry, *, reason: str) -> Entry:
        """Record that it is not done, and why."""
        return self._ledger.finish(entry, outcome="refused", reason=reason)

    @contextmanager
    def recorded(self, entry: Entry) -> Iterator[None]:
        """End the entry with what went wrong when the block raises; a refusal has ended it already."""
        try:
            yield
        except GateFailed:
            raise
        except BaseException as error:
            outcome: Outcome = "failed"
            if isinstance(error, MissingError):
                outcome = "refused"
            elif isinstance(error, BusyError):
                outcome = "withdrawn"
            elif not isinstance(error, Exception):
                outcome = "abandoned"
            from mlflow.exceptions import MlflowException

            # What went wrong is what matters, also when the server has gone; the next command settles the rest.
            with suppress(MlflowException, DigitsError):
                now = self._ledger.read(entry)
                if now.is_open and not self._has_moved(now):
                    self._ledger.finish(entry, outcome=outcome, reason=str(error) or type(error).__name__)
            raise

    def _end_moved(self, entry: Entry) -> Entry:
        """Let the mirrors and the ledger agree with what has moved; gives no alias to anybody."""
        if entry.action == "archive":
            self._stages.archive(entry.version)
        self._stages.agree()
        return self._ledger.finish(entry, outcome=entry.outcome)

    def _has_moved(self, entry: Entry) -> bool:
        """Return whether the one call that counts was made for an entry."""
        if entry.moved is None or entry.outcome not in MOVED:
            return False
        holders = self._stages.holders()
        if entry.action == "archive":
            return entry.version not in holders.values()
        later = [other for other in self._ledger.entries() if _is_later(other, entry)]
        # The next change of the same alias has looked where it was; without one, the alias tells itself.
        following = next((other for other in later if other.stage == entry.stage), None)
        found = following.before if following else holders.get(entry.stage)
        taken_on = entry.stage == STAGING and any(other.version == entry.version for other in later)
        return found == entry.version or (taken_on and found != entry.before)

    def _look_again(self, entry: Entry) -> list[Entry]:
        """Raise unless all is as it was when the entry was begun; return all entries."""
        known = self._ledger.entries()
        now = next((other for other in known if other.run_id == entry.run_id), None)
        if now is None or now.status != UNDER_WAY or datetime.now(UTC) > entry.deadline:
            raise BusyError(f"the {entry.action} of version {entry.version} took too long, or was ended; ask again")
        self._yield_to_older(entry, known=known)
        if since := next((other for other in known if _overtakes(other, entry)), None):
            raise BusyError(
                f"the {since.action} of version {since.version} of {self._dataset} by {since.actor} came in between; "
                "ask again"
            )
        holders = self._stages.holders()
        found = holders.get(_alias(entry.stage))
        if entry.stage != PRODUCTION and holders.get(PRODUCTION) == entry.version:
            raise BusyError(f"version {entry.version} of {self._dataset} serves since a moment ago; nothing is done")
        if found != entry.before:
            raise BusyError(
                f"@{_alias(entry.stage)} of {self._dataset} is version {found} now, the decision was made when it was "
                f"{entry.before}; ask again"
            )
        return known

    def _yield_to_older(self, entry: Entry, *, known: Iterable[Entry]) -> None:
        if rival := self._ledger.rival(entry, known=known):
            raise BusyError(
                f"the {rival.action} of version {rival.version} of {self._dataset} by {rival.actor} is under way "
                f"since {rival.started:%Y-%m-%d %H:%M:%S} UTC; wait for its end"
            )


def _overtakes(other: Entry, entry: Entry) -> bool:
    """Return whether another change was made, of the same alias or of the same version, since an entry was begun."""
    if other.moved is None or not other.has_moved or other.moved <= entry.started or other.run_id == entry.run_id:
        return False
    return other.version == entry.version if other.action == "archive" else other.stage == entry.stage


def _is_later(other: Entry, entry: Entry) -> bool:
    """Return whether another change was made since an entry announced that the alias moves."""
    if other.moved is None or entry.moved is None or not other.has_moved or other.is_open:
        return False
    return other.run_id != entry.run_id and other.moved >= entry.moved


def _alias(stage: str) -> str:
    """Return the alias that a change must find where it was: an archiving leaves the one that serves alone."""
    return STAGING if stage == STAGING else PRODUCTION
