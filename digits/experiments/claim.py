"""A claim: an accuracy that somebody says a family has, held against the test rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from digits.experiments.statistics import claim_p_value

__all__ = ["Claim"]


@dataclass(frozen=True)
class Claim:
    """What somebody claims of a family, held against the test rows.

    Attributes
    ----------
    accuracy
        The accuracy that is claimed, in ``[0, 1]``.
    p_value
        Of the exact one-sided binomial test: how likely so few right answers are if the claim is true.
    rejected
        Whether that is too unlikely, at the evaluation's confidence.
    """

    accuracy: float
    p_value: float
    rejected: bool

    @property
    def verdict(self) -> str:
        """The answer in words; a claim that is not rejected is not proven."""
        return "rejected" if self.rejected else "not rejected"

    @classmethod
    def of(cls, accuracy: float, *, n_correct: int, n_samples: int, confidence: float) -> Self:
        """Hold a claimed accuracy against how many of so many were right."""
        p_value = claim_p_value(n_correct, n_samples, claim=accuracy)
        return cls(accuracy=accuracy, p_value=p_value, rejected=p_value < 1 - confidence)
