"""The gate: what a version must show before it may serve. A pure function of two examinations and params.

Does not know of MLflow (``versions``) or of files.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator

from digits.errors import MissingError
from digits.experiments.corruptions import CORRUPTIONS
from digits.experiments.robustness import at_reference
from digits.experiments.statistics import mcnemar_exact, wilson_interval
from digits.params import Section
from digits.registry.examination import Examination

__all__ = ["Criterion", "Decision", "PromoteParams", "decide"]


class PromoteParams(Section):
    """Section ``promote`` of ``params.yaml``: the gate before production.

    Attributes
    ----------
    minimum_accuracy
        For the lower end of the test accuracy's interval, in ``[0, 1]``.
    minimum_recall
        For the worst class, in ``[0, 1]``.
    maximum_log_loss
        In nats.
    maximum_calibration_error
        In ``[0, 1]``.
    maximum_seconds
        Prediction time of one image among many, in seconds.
    maximum_bytes
        Size of the model's files.
    minimum_robust_accuracy
        Kind of harm → accuracy that must be left at its reference strength; kinds that are not named are shown alone.
    margin
        How much less accuracy a cheaper challenger may have than the champion, in ``[0, 1]``.
    cheaper_by
        How many times less time a challenger must take that is not better.
    approval
        Whether a person has to agree.
    approval_hours
        How long is waited for the answer; no answer is a refusal.
    """

    minimum_accuracy: float = Field(default=0.9, ge=0, le=1)
    minimum_recall: float = Field(default=0.8, ge=0, le=1)
    maximum_log_loss: float = Field(default=0.5, gt=0)
    maximum_calibration_error: float = Field(default=0.1, gt=0, le=1)
    maximum_seconds: float = Field(default=0.1, gt=0)
    maximum_bytes: int = Field(default=1_000_000_000, gt=0)
    minimum_robust_accuracy: dict[str, float] = Field(default_factory=dict)
    margin: float = Field(default=0.01, ge=0, le=1)
    cheaper_by: float = Field(default=2.0, gt=1)
    approval: Literal["none", "required"] = "none"
    approval_hours: float = Field(default=24.0, gt=0, le=24 * 30)

    @property
    def bounds(self) -> dict[str, Any]:
        """What a version is asked for: all but whether a person has to agree."""
        return self.model_dump(exclude={"approval", "approval_hours"})

    @field_validator("minimum_robust_accuracy")
    @classmethod
    def _harms_are_known(cls, bounds: dict[str, float]) -> dict[str, float]:
        known = [kind.name for kind in CORRUPTIONS]
        if strange := sorted(set(bounds) - set(known)):
            raise ValueError(f"{', '.join(strange)} is no kind of harm; there are {', '.join(known)}")
        if outside := sorted(kind for kind, bound in bounds.items() if not 0 <= bound <= 1):
            raise ValueError(f"the bound of {', '.join(outside)} is no accuracy from 0 to 1")
        return bounds


@dataclass(frozen=True)
class Criterion:
    """One line of the gate's table: what was found, what was wanted, and whether that is enough.

    Attributes
    ----------
    group
        ``absolute``: has to be met. ``better`` and ``cheaper``: against the champion, all of one of them has to be met.
    """

    name: str
    found: float
    wanted: str
    passed: bool
    group: Literal["absolute", "better", "cheaper"] = "absolute"

    @property
    def found_text(self) -> str:
        """What was found, as people read it."""
        return f"{self.found:,.0f}" if abs(self.found) >= 1000 else f"{self.found:.4g}"


@dataclass(frozen=True)
class Decision:
    """The gate's answer with every criterion, also those that were met."""

    criteria: tuple[Criterion, ...]

    @property
    def passed(self) -> bool:
        """Whether every absolute criterion is met and, beside a champion, those of one way to replace it."""
        return not self._failed

    @property
    def reason(self) -> str:
        """The criteria that are not met, in words."""
        if self.passed:
            return "all that the gate wants is met"
        told = [f"{item.name} {item.found_text}, wanted {item.wanted}" for item in self._failed]
        if any(item.group != "absolute" for item in self._failed):
            told.insert(0, "the champion stays")
        return "; ".join(told)

    @property
    def _failed(self) -> tuple[Criterion, ...]:
        failed = tuple(item for item in self.criteria if not item.passed)
        against = {item.group for item in self.criteria} - {"absolute"}
        replaces = not against or against - {item.group for item in failed}
        return tuple(item for item in failed if item.group == "absolute" or not replaces)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        criteria = [asdict(item) for item in self.criteria]
        return {"passed": self.passed, "reason": self.reason, "criteria": criteria}

    def as_markdown(self) -> str:
        """Return the table for people."""
        lines = ["| gate | found | wanted | met |", "|---|---|---|---|"]
        lines += [
            f"| {item.name} | {item.found_text} | {item.wanted} | {'yes' if item.passed else '**no**'} |"
            for item in self.criteria
        ]
        return "\n".join(lines)


def decide(
    challenger: Examination, champion: Examination | None, *, params: PromoteParams, champion_lost: bool = False
) -> Decision:
    """Say whether a version may serve: on its own figures, and beside the one that serves now.

    A challenger replaces the champion when it is better (more right, exact McNemar test), or when it is not worse
    within the margin and cheaper by the factor. A tie keeps the champion.

    Parameters
    ----------
    challenger
        The version that asks.
    champion
        The one that serves now; None where none does.
    params
        The bounds.
    champion_lost
        Whether one serves that cannot be examined: then the gate does not pass.

    Raises
    ------
    MissingError
        Both were not examined on the same rows.
    """
    criteria = list(_absolute(challenger, params=params))
    if champion is not None:
        criteria += _against(challenger, champion, params=params)
    elif champion_lost:
        criteria.append(_at_least("champion that can be examined", 0.0, 1))
    return Decision(criteria=tuple(criteria))


def _absolute(found: Examination, *, params: PromoteParams) -> Iterator[Criterion]:
    metrics = found.metrics
    left = {kind: item.accuracy for kind, item in at_reference(found.conditions).items()}
    recall = min(averages.recall for averages in metrics.per_class.values())
    yield _at_least("validated snapshot", float(found.validated), 1)
    yield _at_least("test images unseen by the fit", float(found.unseen), 1)
    yield _at_least("lower end of the accuracy's interval", metrics.accuracy_interval[0], params.minimum_accuracy)
    yield _at_least("recall of the worst class", recall, params.minimum_recall)
    yield _at_most("log loss", metrics.log_loss, params.maximum_log_loss)
    yield _at_most("calibration error", metrics.calibration_error, params.maximum_calibration_error)
    yield _at_most("seconds per image", found.cost.batch_seconds, params.maximum_seconds)
    yield _at_most("bytes", found.cost.model_bytes, params.maximum_bytes)
    for kind in sorted({*left, *params.minimum_robust_accuracy}):
        bound = params.minimum_robust_accuracy.get(kind, 0.0)  # what is not asked is shown
        yield _at_least(f"accuracy under {kind}", left.get(kind, 0.0), bound)


def _against(challenger: Examination, champion: Examination, *, params: PromoteParams) -> Iterator[Criterion]:
    if challenger.split != champion.split or len(challenger.right) != len(champion.right):
        raise MissingError(
            f"the champion was examined on split {champion.split[:12]}, the challenger on {challenger.split[:12]}; "
            "examine both on the same rows"
        )
    confidence, n_samples = challenger.metrics.confidence, len(challenger.right)
    gained = int(np.sum(challenger.right & ~champion.right))
    lost = int(np.sum(champion.right & ~challenger.right))
    p_value, alpha = mcnemar_exact(gained, lost), 1 - confidence
    told = f"({gained} gained, {lost} lost): p"
    yield Criterion(
        f"better than the champion {told}",
        p_value,
        f"more gained, below {alpha:.2g}",
        gained > lost and p_value < alpha,
        "better",
    )
    yield Criterion(
        f"no real loss to the champion {told}",
        p_value,
        f"where more is lost, {alpha:.2g} or more",
        gained >= lost or p_value >= alpha,
        "cheaper",
    )
    # Each end errs with half of what is left to the confidence, so both together with all of it at most.
    difference = (
        wilson_interval(gained, n_samples, confidence=confidence)[0]
        - wilson_interval(lost, n_samples, confidence=confidence)[1]
    )
    yield _at_least("lower end of the difference in accuracy", difference, -params.margin, group="cheaper")
    times = champion.cost.batch_seconds / challenger.cost.batch_seconds
    yield _at_least("times less time than the champion", times, params.cheaper_by, group="cheaper")


def _at_least(
    name: str, found: float, bound: float, group: Literal["absolute", "better", "cheaper"] = "absolute"
) -> Criterion:
    return Criterion(name, found, f"at least {bound:g}", found >= bound, group)


def _at_most(name: str, found: float, bound: float) -> Criterion:
    wanted = f"{bound:,.0f}" if bound >= 1000 else f"{bound:g}"
    return Criterion(name, found, f"at most {wanted}", found <= bound)
