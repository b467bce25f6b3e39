"""The leaderboard: one row for each assessed candidate, in the order in which validation data ranks them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from digits.experiments.candidate import Candidate
from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics

__all__ = ["Row", "ranked"]


@dataclass(frozen=True)
class Row:
    """One line of the leaderboard; ``as_dict`` gives the names that ``--json`` prints.

    Attributes
    ----------
    candidate
        The candidate.
    test
        What it scored on the test rows.
    cost
        What it costs to use.
    reused
        Whether it was remembered instead of fitted in the run that made this evaluation.
    tied
        Whether the test rows cannot tell it from the best; the best itself is.
    better
        Whether the test rows say that it is better than the best by validation, which they do not overrule.
    on_label_errors
        Number of its mistakes that are on test rows whose labels are known to be wrong.
    conditions
        What it got right under conditions.
    """

    candidate: Candidate
    test: Metrics
    cost: Cost
    reused: bool
    tied: bool = False
    better: bool = False
    on_label_errors: int = 0
    conditions: tuple[Condition, ...] = ()

    @property
    def family(self) -> str:
        """Name of the family."""
        return self.candidate.family

    @property
    def validation_accuracy(self) -> float:
        """Accuracy on the rows that choose, in ``[0, 1]``."""
        return self.candidate.validation.accuracy

    @property
    def test_accuracy(self) -> float:
        """Accuracy on the test rows, in ``[0, 1]``."""
        return self.test.accuracy

    @property
    def test_accuracy_low(self) -> float:
        """Lower end of its interval."""
        return self.test.accuracy_interval[0]

    @property
    def test_accuracy_high(self) -> float:
        """Upper end of its interval."""
        return self.test.accuracy_interval[1]

    @property
    def mistakes(self) -> int:
        """Number of test images that it reads wrongly."""
        return self.test.n_samples - self.test.n_correct

    @property
    def against_best(self) -> str:
        """What the test rows say of it and the best by validation, in a word; nothing where the best is better."""
        return "better" if self.better else "tied" if self.tied else ""

    def as_dict(self) -> dict[str, Any]:
        """Return the row as plain values: shares in ``[0, 1]``, log loss in nats, times in seconds, sizes in bytes."""
        mean, deviation = self.candidate.cross_validation or (None, None)
        return {
            "family": self.family,
            "validation_accuracy": self.validation_accuracy,
            "cross_validation_mean": mean,
            "cross_validation_deviation": deviation,
            "test_accuracy": self.test_accuracy,
            "test_accuracy_low": self.test_accuracy_low,
            "test_accuracy_high": self.test_accuracy_high,
            "macro_f1": self.test.macro.f1,
            "log_loss": self.test.log_loss,
            "fit_seconds": self.candidate.fit_seconds,
            **self.cost.as_dict(),
            "tied": self.tied,
            "better": self.better,
            "against_best": self.against_best,
            "mistakes": self.mistakes,
            "mistakes_on_label_errors": self.on_label_errors,
            "run_id": self.candidate.run_id,
            "reused": self.reused,
        }


def ranked(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Return the rows best first, by validation data alone: accuracy, then log loss, then the family's name."""
    return tuple(
        sorted(
            rows,
            key=lambda row: (
                -row.candidate.validation.accuracy,
                row.candidate.validation.log_loss,
                row.candidate.family,
            ),
        )
    )
