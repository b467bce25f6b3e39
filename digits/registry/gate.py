"""The gate: what a candidate must show before it may serve. A pure function of figures and params.

Does not know of MLflow (``versions``) or of files.
"""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import Field

from digits.experiments.metrics import Metrics
from digits.params import Section

__all__ = ["Criterion", "Decision", "RegisterParams", "check"]


class RegisterParams(Section):
    """Section ``register`` of ``params.yaml``: the absolute gate.

    Attributes
    ----------
    minimum_accuracy
        For the lower end of the test accuracy's interval, in ``[0, 1]``.
    minimum_recall
        For the worst class, in ``[0, 1]``.
    maximum_log_loss
        In nats.
    """

    minimum_accuracy: float = Field(ge=0, le=1)
    minimum_recall: float = Field(ge=0, le=1)
    maximum_log_loss: float = Field(gt=0)


@dataclass(frozen=True)
class Criterion:
    """One line of the gate's table: what was found, what was wanted, and whether that is enough."""

    name: str
    found: float
    wanted: str
    passed: bool


@dataclass(frozen=True)
class Decision:
    """The gate's answer with every criterion, also those that were met."""

    criteria: tuple[Criterion, ...]

    @property
    def passed(self) -> bool:
        """Whether every criterion is met."""
        return all(criterion.passed for criterion in self.criteria)

    @property
    def reason(self) -> str:
        """The criteria that are not met, in words; what was asked where all are."""
        failed = [criterion for criterion in self.criteria if not criterion.passed]
        return "; ".join(
            f"{criterion.name} {criterion.found:.4f}, wanted {criterion.wanted}"
            for criterion in failed or self.criteria
        )


def check(metrics: Metrics, *, params: RegisterParams) -> Decision:
    """Hold a candidate's test metrics against the absolute gate.

    Parameters
    ----------
    metrics
        What the candidate scored on the test rows.
    params
        The bounds.
    """
    accuracy_low = metrics.accuracy_interval[0]
    recall = min(averages.recall for averages in metrics.per_class.values())
    return Decision(
        criteria=(
            _at_least("lower end of the accuracy's interval", accuracy_low, params.minimum_accuracy),
            _at_least("recall of the worst class", recall, params.minimum_recall),
            _at_most("log loss", metrics.log_loss, params.maximum_log_loss),
        )
    )


def _at_least(name: str, found: float, bound: float) -> Criterion:
    return Criterion(name=name, found=found, wanted=f"at least {bound:g}", passed=found >= bound)


def _at_most(name: str, found: float, bound: float) -> Criterion:
    return Criterion(name=name, found=found, wanted=f"at most {bound:g}", passed=found <= bound)
