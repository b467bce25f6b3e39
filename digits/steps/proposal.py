"""A promotion that was asked for, and what a person says of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from digits.registry.gate import Decision
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
    bounds, split
        What the gate was asked by, and the digest of the split whose test rows were read; a person agrees to these.
    """

    entry: Entry
    decision: Decision | None
    forced: bool
    asks: bool
    done: bool = False
    bounds: Mapping[str, Any] | None = None
    split: str = ""

    @property
    def accepted(self) -> bool:
        """Whether the gate, or whoever forces it, lets it pass."""
        return self.decision is None or self.decision.passed or self.forced
