"""What a step tells whoever watches: standard log records that carry an `Event`.

A step reports; it does not know who listens. On a terminal the command line draws the events as a live table, in a
log they are lines, in Prefect they appear beside the task.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Literal

__all__ = ["Event", "State", "report"]

State = Literal["running", "done", "reused", "failed"]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """One change of one piece of work.

    Attributes
    ----------
    step
        The verb: ``ingest``, ``fit``, …
    subject
        What it is done to: a dataset, or a family.
    state
        The state that the work is in now.
    detail
        A few words for people: a count, an accuracy, an error.
    """

    step: str
    subject: str
    state: State
    detail: str = ""


def report(step: str, *, subject: str, state: State, detail: str = "") -> None:
    """Report that `step` of `subject` is in `state` now."""
    event = Event(step=step, subject=subject, state=state, detail=detail)
    level = logging.WARNING if state == "failed" else logging.INFO
    log.log(level, "%s %s: %s%s", step, subject, state, f" ({detail})" if detail else "", extra={"event": event})
