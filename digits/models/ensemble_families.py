"""The families that are ensembles: which members they combine, and how."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import ConfigDict, Field
from sklearn.base import BaseEstimator

from digits.models.ensembles import StackingEnsemble, VotingEnsemble
from digits.models.family import Family

__all__ = ["Stacking", "Voting"]


class _EnsembleFamily(Family):
    """What the ensembles share: `members`, the families that they are made of, and the folds of their own score."""

    section: ClassVar[str] = "ensembles"

    model_config = ConfigDict(serialize_by_alias=True)

    # The property of `Family` has the name; a field of that name would be hidden behind it.
    names: tuple[str, ...] = Field(alias="members", min_length=2)
    folds: int = Field(default=5, ge=2, le=20)

    @property
    def members(self) -> tuple[str, ...]:
        """The families that the ensemble is made of."""
        return self.names


class Voting(_EnsembleFamily):
    """The weighted mean of the members' probabilities."""

    name: ClassVar[str] = "voting"

    weights: Literal["equal", "learned"] = "equal"

    def build(self, *, seed: int) -> BaseEstimator:
        """Return the ensemble without its members; see `Family.build`."""
        return VotingEnsemble(self.members, weights=self.weights, n_folds=self.folds, random_state=seed)


class Stacking(_EnsembleFamily):
    """A logistic regression on what the members say."""

    name: ClassVar[str] = "stacking"

    C: float = Field(default=0.1, gt=0)
    floor: float = Field(default=0.01, gt=0, lt=0.5)

    def build(self, *, seed: int) -> BaseEstimator:
        """Return the ensemble without its members; see `Family.build`."""
        return StackingEnsemble(self.members, C=self.C, floor=self.floor, n_folds=self.folds, random_state=seed)
