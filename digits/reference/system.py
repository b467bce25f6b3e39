"""What a reference system is, what it is given, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from digits.data.split import Split
from digits.experiments.metrics import Metrics
from digits.models.family import Family

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Champion", "Images", "Options", "Outcome", "System"]


class Images(NamedTuple):
    """Flattened images, ``(n_samples, n_pixels)`` uint8, with labels ``(n_samples,)``, of one part of a dataset."""

    X: NDArray[np.uint8]
    y: NDArray[np.uint8]

    @classmethod
    def of(cls, split: Split, rows: NDArray[np.int64]) -> Images:
        """Return these rows of a split's snapshot."""
        X = np.asarray(split.snapshot.images()[rows]).reshape(len(rows), -1)
        return cls(X, np.asarray(split.snapshot.labels())[rows])


@dataclass(frozen=True)
class Options:
    """What a person may choose.

    Attributes
    ----------
    digit
        The one that the detectors look for.
    claim
        The accuracy that is claimed of the support vector machine, in ``(0, 1)``.
    confidence
        How sure one must be to reject the claim, in ``(0, 1)``.
    """

    digit: int = 2
    claim: float = 0.95
    confidence: float = 0.95


@dataclass(frozen=True)
class Outcome:
    """What came of a system under its own protocol.

    Attributes
    ----------
    accuracy
        What was published of it, or would have been, in ``[0, 1]``.
    metrics
        Further figures.
    figures
        File name → picture.
    texts
        File name → what there is to say.
    statement
        What of it belongs beside the figure.
    """

    accuracy: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)
    statement: str = ""


class Champion(NamedTuple):
    """What the pipeline has to set against a system.

    Attributes
    ----------
    family
        The best of the last evaluation.
    test
        What it scored on the test rows.
    single
        The best family that is no ensemble, as it was evaluated, to be fitted on other rows than the pipeline's.
    seed
        That the pipeline fitted it with.
    """

    family: str
    test: Metrics
    single: Family
    seed: int


@dataclass(frozen=True)
class System:
    """One system of a tutorial.

    Attributes
    ----------
    name
        What it is called on the command line and in MLflow.
    title
        What it is, in a line; ``{digit}`` stands for the one that is looked for.
    dataset
        What it learns from.
    published, published_text
        The accuracy that was published, in ``[0, 1]``, and as it was written; None and empty where none was.
    params
        As they were written.
    run
        Does it again, given a split, the options, and the params.
    champion
        Returns what the pipeline reaches under the same protocol, with the name of the family.
    digit
        Of which digit the figure was published, for a detector; None for the others.
    test_rows
        So many rows at the end it is tested on, which have to be the split's; 0 where it takes rows of its own.
    """

    name: str
    title: str
    dataset: str
    published: float | None
    published_text: str
    params: Mapping[str, Any]
    run: Callable[..., Outcome]
    champion: Callable[[Split, Champion, Options], tuple[float, str]]
    digit: int | None = None
    test_rows: int = 0

    def again(self, split: Split, options: Options) -> Outcome:
        """Do it again as it was written."""
        return self.run(split, options, **self.params)
