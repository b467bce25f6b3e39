"""A family: one kind of model, its hyper-parameters and how to build it, written in one place.

A family is a section of ``params.yaml`` whose fields are its hyper-parameters. Its `build` gives a scikit-learn
classifier that takes raw images; scaling, features and augmentation live inside the estimator, so that what is
evaluated is exactly what is served. ``families`` lists them all.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from pydantic import Field
from sklearn.base import BaseEstimator

from digits.params import Section

__all__ = ["Family", "Search"]


@dataclass(frozen=True)
class Search:
    """Written beside a hyper-parameter: where `digits tune` looks for it.

    Attributes
    ----------
    low, high
        Bounds, both included; whole ones are of a whole number.
    log
        Whether small values are told apart as well as large ones.
    choices
        The values to choose among, in place of bounds.
    """

    low: float = 0
    high: float = 0
    log: bool = False
    choices: tuple[int | str, ...] = ()

    def holds(self, value: object) -> bool:
        """Return whether it looks where `value` is."""
        if self.choices:
            return value in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high


class Family(Section):
    """Base of every family; a subclass sets `name`, adds its hyper-parameters as fields, and builds its estimator.

    Attributes
    ----------
    name
        What the family is called in ``params.yaml``, in MLflow and on the leaderboard: the field's word, snake_case.
    section
        Where it stands in ``params.yaml`` and among the candidates: ``families``, or ``ensembles``, which are made of
        families that are fitted already.
    threads
        Number of threads that a fit may use. A param, not a setting: with another number of threads floating-point
        sums are taken in another order, and the same seed would give another model.
    """

    name: ClassVar[str]
    section: ClassVar[str] = "families"

    threads: int = Field(default=1, ge=1, le=256)

    @property
    def members(self) -> tuple[str, ...]:
        """The families that an ensemble is made of; none for a family that learns from images itself."""
        return ()

    @classmethod
    def search_space(cls) -> dict[str, Search]:
        """Return hyper-parameter → where to look for it, for those that can be searched."""
        return {
            name: mark
            for name, field in cls.model_fields.items()
            for mark in field.metadata
            if isinstance(mark, Search)
        }

    def import_libraries(self) -> None:
        """Import what fits need beyond this module's own imports; a family with heavy ones of its own overrides it."""

    @abstractmethod
    def build(self, *, seed: int) -> BaseEstimator:
        """Return an unfitted scikit-learn classifier.

        Parameters
        ----------
        seed
            Seeds everything that is random in the estimator.

        Returns
        -------
        BaseEstimator
            With ``fit``, ``predict``, ``predict_proba`` and ``classes_``; takes raw images ``(n_samples, height,
            width)``, or the same flattened to ``(n_samples, height * width)`` where the images are square, in the
            dataset's own range of values (0 to 255, or 0 to 16).
        """
