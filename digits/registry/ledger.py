"""The ledger: every promotion, refusal, rollback and archiving of every dataset is a run in one MLflow experiment.

It is written ahead: a run says what is intended before an alias moves, and ends when the mirrors agree. Entries are
added and ended, never changed after that and never removed.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from digits.experiments.tags import TAG_NOTE, TAG_PROCESS
from digits.experiments.tracking import Tracking
from digits.processes import has_died, this_process
from digits.registry.gate import Decision
from digits.registry.history import UNDER_WAY, WAITING, Action, Entry, Outcome

if TYPE_CHECKING:
    from mlflow.entities import Run

__all__ = ["EXPERIMENT", "LEASE", "Ledger"]

EXPERIMENT = "promotions"
TAG_DATASET, TAG_ACTION, TAG_WANTED, TAG_VERSION, TAG_BEFORE = "dataset", "action", "stage", "version", "version.before"
TAG_ACTOR, TAG_OUTCOME, TAG_REASON = "actor", "outcome", "reason"
TAG_MOVED, TAG_DEADLINE = "moved.at", "deadline"
TAG_APPROVED_BY, TAG_APPROVAL_REASON = "approval.by", "approval.reason"
GATE = "gate.json"

_STATUS: dict[Outcome, str] = {"withdrawn": "KILLED", "abandoned": "KILLED", "failed": "FAILED"}
_ENDED = ("FINISHED", "KILLED", "FAILED")

#: So long may a change take, beside the time that a person has to answer, and the move of its alias; after it the
#: process counts as dead.
LEASE, MOVING = timedelta(hours=1), timedelta(minutes=5)

#: Clocks of two machines may differ by this.
SKEW = timedelta(minutes=5)


class Ledger:
    """The entries of one dataset.

    Parameters
    ----------
    tracking
        The dataset's experiment; the ledger lies on the same server.
    """

    def __init__(self, tracking: Tracking) -> None:
        self.dataset = tracking.dataset
        self._runs = tracking.beside(EXPERIMENT)
        self._client = tracking.client

    def entries(self) -> list[Entry]:
        """Return all entries, in the order of their time."""
        return self._found()

    def unfinished(self) -> list[Entry]:
        """Return the entries that are under way or wait for an answer, in the order of their time."""
        return self._found("".join(f" and attributes.status != '{status}'" for status in _ENDED))

    def _found(self, condition: str = "") -> list[Entry]:
        found = [_entry(run) for run in self._runs.search(f"tags.{TAG_DATASET} = '{self.dataset}'{condition}")]
        return sorted(found, key=lambda entry: (entry.time, entry.run_id))

    def begin(self, action: Action, *, stage: str, version: int, before: int | None, actor: str, reason: str) -> Entry:
        """Begin an entry.

        Parameters
        ----------
        action, stage, version, before, actor, reason
            See `Entry`.
        """
        started = _next_moment(self.entries())
        # A promotion examines two models; all else is a few calls.
        deadline = _soon(started) + (LEASE if action == "promote" else MOVING)
        run = self._client.create_run(
            self._runs.experiment_id,
            start_time=int(1000 * started.timestamp()),
            run_name=f"{self.dataset} {version}: {action}",
            tags={
                "mlflow.source.name": "digits",
                TAG_PROCESS: this_process(),
                TAG_DATASET: self.dataset,
                TAG_ACTION: action,
                TAG_WANTED: stage,
                TAG_VERSION: str(version),
                TAG_BEFORE: "" if before is None else str(before),
                TAG_ACTOR: actor,
                TAG_REASON: reason,
                TAG_DEADLINE: deadline.isoformat(),
            },
        )
        return _entry(run)

    def read(self, entry: Entry) -> Entry:
        """Return the entry as it is now."""
        return _entry(self._client.get_run(entry.run_id))

    def log_decision(self, entry: Entry, decision: Decision) -> None:
        """Keep the gate's table: as a file, as a note for people, and its figures as metrics."""
        from mlflow.entities import Metric, RunTag

        now = int(datetime.now(UTC).timestamp() * 1000)
        figures = {_metric(item.name): item.found for item in decision.criteria}
        self._client.log_batch(
            entry.run_id,
            metrics=[Metric(name, value, now, 0) for name, value in figures.items()],
            tags=[RunTag(TAG_NOTE, decision.as_markdown())],
        )
        self._client.log_text(entry.run_id, json.dumps(decision.as_dict(), indent=2), GATE)

    def wait(self, entry: Entry, *, hours: float) -> Entry:
        """Say that the entry waits for an answer, and how long; until then others may change what they like."""
        deadline = datetime.now(UTC) + LEASE + timedelta(hours=hours)
        self._client.set_tag(entry.run_id, TAG_DEADLINE, deadline.isoformat())
        self._client.update_run(entry.run_id, status=WAITING)
        return replace(entry, status=WAITING, deadline=deadline)

    def answered(self, entry: Entry, *, by: str, reason: str) -> Entry:
        """Say who answered, and that the entry is under way again; one that was ended meanwhile stays so."""
        self._say(entry, {TAG_APPROVED_BY: by, TAG_APPROVAL_REASON: reason})
        answered = replace(self.read(entry), approved_by=by, approval_reason=reason)
        if not answered.is_open:
            return answered
        deadline = datetime.now(UTC) + LEASE
        self._client.set_tag(entry.run_id, TAG_DEADLINE, deadline.isoformat())
        self._client.update_run(entry.run_id, status=UNDER_WAY)
        return replace(answered, status=UNDER_WAY, deadline=deadline)

    def moving(self, entry: Entry, *, outcome: Outcome, reason: str, known: Sequence[Entry]) -> Entry:
        """Say that the alias moves now, what that will be, and why; what is left takes no more than a few calls.

        `known` are all entries, as they have just been read.
        """
        moved = _next_moment(known)
        deadline = _soon(moved) + MOVING
        said = {TAG_OUTCOME: outcome, TAG_REASON: reason, TAG_MOVED: moved.isoformat()}
        self._say(entry, {**said, TAG_DEADLINE: deadline.isoformat()})
        return replace(entry, moved=moved, outcome=outcome, reason=reason, deadline=deadline)

    def finish(self, entry: Entry, *, outcome: Outcome, reason: str | None = None) -> Entry:
        """End an entry."""
        said = entry.reason if reason is None else reason
        self._say(entry, {TAG_OUTCOME: outcome, TAG_REASON: said})
        status = _STATUS.get(outcome, "FINISHED")
        self._client.update_run(entry.run_id, name=f"{self.dataset} {entry.version}: {outcome}")
        self._client.set_terminated(entry.run_id, status)
        return replace(entry, outcome=outcome, reason=said, status=status)

    def _say(self, entry: Entry, tags: Mapping[str, str]) -> None:
        """Set tags of an entry in one call, so that nobody ever sees one without the others."""
        from mlflow.entities import RunTag

        self._client.log_batch(entry.run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    @staticmethod
    def is_dead(entry: Entry) -> bool:
        """Return whether nobody works on an unfinished entry any more."""
        return has_died(entry.process) or datetime.now(UTC) > entry.deadline + SKEW

    def rival(self, entry: Entry, *, known: Iterable[Entry]) -> Entry | None:
        """Return another change of the same stage that is under way and goes before this one, if there is any.

        The one that was begun first does, but a rollback is for when something is wrong now: it goes before all else.
        `known` are the entries that are looked at, as they have just been read: all, or the unfinished ones.
        """
        mine = (entry.action != "rollback", entry.started, entry.run_id)
        rivals = [
            other
            for other in known
            if other.status == UNDER_WAY
            and (other.action != "rollback", other.started, other.run_id) < mine
            and other.lanes & entry.lanes
            and not self.is_dead(other)
        ]
        return rivals[0] if rivals else None


def _next_moment(entries: Iterable[Entry]) -> datetime:
    """Return now, or what comes after all that stands in the ledger where this machine's clock is behind."""
    known = [moment for entry in entries for moment in (entry.started, entry.moved) if moment]
    return max([datetime.now(UTC), *(moment + timedelta(milliseconds=1) for moment in known)])


def _soon(moment: datetime) -> datetime:
    """Return a moment of the ledger as a time to wait from: no other machine's fast clock makes it a long one."""
    return min(moment, datetime.now(UTC) + SKEW)


def _metric(name: str) -> str:
    """Return a criterion's name as MLflow takes it."""
    plain = name.partition(" (")[0].replace("'", "")
    return f"gate/{plain.replace(' ', '_')}"


def _entry(run: Run) -> Entry:
    tags: dict[str, Any] = run.data.tags
    moved = tags.get(TAG_MOVED)
    return Entry(
        run_id=str(run.info.run_id),
        dataset=tags[TAG_DATASET],
        action=tags[TAG_ACTION],
        stage=tags[TAG_WANTED],
        version=int(tags[TAG_VERSION]),
        before=int(tags[TAG_BEFORE]) if tags[TAG_BEFORE] else None,
        actor=tags[TAG_ACTOR],
        outcome=tags.get(TAG_OUTCOME, ""),
        reason=tags.get(TAG_REASON, ""),
        started=datetime.fromtimestamp(run.info.start_time / 1000, UTC),
        moved=datetime.fromisoformat(moved) if moved else None,
        deadline=datetime.fromisoformat(tags[TAG_DEADLINE]),
        status=str(run.info.status),
        process=tags.get(TAG_PROCESS, ""),
        approved_by=tags.get(TAG_APPROVED_BY, ""),
        approval_reason=tags.get(TAG_APPROVAL_REASON, ""),
    )
