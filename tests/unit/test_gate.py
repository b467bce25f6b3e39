"""The gate is a function of figures and bounds: every criterion can fail, and says so."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from digits.errors import MissingError
from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics, score
from digits.registry.examination import Examination
from digits.registry.gate import PromoteParams, decide

BOUNDS = PromoteParams(
    minimum_accuracy=0.95,
    minimum_recall=0.9,
    maximum_log_loss=0.2,
    maximum_calibration_error=0.05,
    maximum_seconds=0.01,
    maximum_bytes=1000,
    minimum_robust_accuracy={"noise": 0.5},
    margin=0.01,
    cheaper_by=2,
)
PER_CLASS = 200


def examination(*, wrong: tuple[int, ...] = (), **given: Any) -> Examination:
    """Return an examination on 2,000 rows of ten classes in turn, of which these are wrong."""
    y_true = np.tile(np.arange(10), given.pop("per_class", PER_CLASS))
    predicted = y_true.copy()
    predicted[list(wrong)] = (predicted[list(wrong)] + 1) % 10
    figures = {"log_loss": given.pop("log_loss", 0.1), "calibration_error": given.pop("calibration_error", 0.01)}
    metrics = score(y_true, np.eye(10)[predicted], classes=range(10)).model_dump() | figures
    noise = Condition(
        kind="noise", level="0.2", n_samples=100, n_correct=given.pop("under_noise", 80), mean_confidence=0.5
    )
    return Examination(
        right=predicted == y_true,
        metrics=Metrics.model_validate(metrics),
        conditions=(noise,),
        cost=Cost(0.01, given.pop("seconds", 0.001), given.pop("n_bytes", 500)),
        split=given.pop("split", "a" * 64),
        validated=given.pop("validated", True),
        unseen=given.pop("unseen", True),
    )


def test_good_figures_pass_with_every_criterion_listed() -> None:
    """A version that meets every bound passes, and the table shows all criteria all the same."""
    decision = decide(examination(), None, params=BOUNDS)
    assert decision.passed
    assert [criterion.passed for criterion in decision.criteria] == [True] * 9
    assert decision.as_markdown().count("\n| ") == 9
    assert decision.as_dict()["criteria"][0]["name"] == "validated snapshot"


THREES = tuple(range(3, 2000, 10))


@pytest.mark.parametrize(
    ("found", "broken"),
    [
        (examination(wrong=THREES[:150]), {"lower end of the accuracy's interval", "recall of the worst class"}),
        (examination(wrong=THREES[:25]), {"recall of the worst class"}),
        (examination(log_loss=0.3), {"log loss"}),
        (examination(calibration_error=0.06), {"calibration error"}),
        (examination(seconds=0.02), {"seconds per image"}),
        (examination(n_bytes=1001), {"bytes"}),
        (examination(under_noise=49), {"accuracy under noise"}),
        (examination(validated=False), {"validated snapshot"}),
        (examination(unseen=False), {"test images unseen by the fit"}),
        (examination(per_class=5), {"lower end of the accuracy's interval"}),
    ],
)
def test_each_criterion_can_fail(found: Examination, broken: set[str]) -> None:
    """Breaking a criterion fails exactly that criterion; few test rows widen the interval and fail it too."""
    decision = decide(found, None, params=BOUNDS)
    assert not decision.passed
    assert {criterion.name for criterion in decision.criteria if not criterion.passed} == broken
    assert all(name in decision.reason for name in broken)


def test_the_better_one_replaces_the_champion() -> None:
    """Ten rows gained and none lost are more than chance; the other way round the champion stays."""
    good, worse = examination(), examination(wrong=tuple(range(10)))
    assert decide(good, worse, params=BOUNDS).passed
    refused = decide(worse, good, params=BOUNDS)
    assert not refused.passed
    assert "the champion stays" in refused.reason
    assert "(0 gained, 10 lost)" in refused.reason


def test_a_tie_keeps_the_champion() -> None:
    """Five rows gained and none lost may be chance: p is 0.0625."""
    assert not decide(examination(), examination(wrong=tuple(range(5))), params=BOUNDS).passed


def test_as_good_and_cheaper_replaces_the_champion() -> None:
    """Within the margin and more than twice as fast is enough; not if it is a real loss, or beyond the margin."""
    champion = examination(wrong=(0, 1))
    assert decide(examination(wrong=(2, 3), seconds=0.0004), champion, params=BOUNDS).passed
    assert not decide(examination(wrong=(2, 3), seconds=0.0006), champion, params=BOUNDS).passed
    assert not decide(examination(wrong=tuple(range(2, 20)), seconds=0.0001), champion, params=BOUNDS).passed
    strict = BOUNDS.model_copy(update={"margin": 0.001})
    assert not decide(examination(wrong=(2, 3), seconds=0.0004), champion, params=strict).passed


def test_other_rows_are_not_compared() -> None:
    """Two versions that were examined on different rows are refused as a question, not answered."""
    with pytest.raises(MissingError, match="examine both on the same rows"):
        decide(examination(), examination(split="b" * 64), params=BOUNDS)


@pytest.mark.parametrize(
    ("bounds", "complaint"),
    [
        ({"rain": 0.5}, "rain is no kind of harm; there are shift,"),
        ({"noise": 1.5}, "the bound of noise is no accuracy"),
        ({"noise": True}, "valid number"),
    ],
)
def test_bounds_under_harm_are_checked(bounds: dict[str, float], complaint: str) -> None:
    """A kind of harm that there is not, or a bound that none can meet, is an error of params.yaml."""
    with pytest.raises(ValueError, match=complaint):
        PromoteParams(minimum_robust_accuracy=bounds)
