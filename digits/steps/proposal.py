"""A promotion that was asked for, and what a person says of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from digits.registry.gate import Decision, PromoteParams
from digits.registry.history import Entry

__all__ = ["Answer", "Proposal", "Stage"]

Stage = Literal["staging", "production"]


@dataclass(frozen=True)
class Answer:
    """What a person said of a proposal."""

    approved: bool
    by: str
    reason: str


@dataclass(frozen=True)
class Proposal:
    """A promotion that was asked for, with what the gate says of it.

    Attributes
    ----------
    entry
        Its line in the ledger.
    decision
        The gate's answer; None before ``@staging``, where any version whose files are whole may wait.
    forced
        Whether it is to be done whatever the gate says.
    asks
        Whether a person has to agree.
    done
        Whether there is nothing left to do.
    params
        The bounds that the gate was asked by.
    """

    entry: Entry
    decision: Decision | None
    forced: bool
    asks: bool
    done: bool = False
    params: PromoteParams | None = None

    @property
    def accepted(self) -> bool:
        """Whether the gate, or whoever forces it, lets it pass."""
        return self.decision is None or self.decision.passed or self.forced
