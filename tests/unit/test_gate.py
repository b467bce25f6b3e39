"""The gate is a function of figures and bounds: every criterion can fail, and says so."""

from __future__ import annotations

import numpy as np
import pytest

from digits.experiments.metrics import Metrics, score
from digits.registry.gate import RegisterParams, check

BOUNDS = RegisterParams(minimum_accuracy=0.95, minimum_recall=0.9, maximum_log_loss=0.2)


def _metrics(*, wrong_of_class_3: int = 0, log_loss: float = 0.1, per_class: int = 200) -> Metrics:
    matrix = np.diag([per_class] * 10)
    matrix[3, 3] -= wrong_of_class_3
    matrix[3, 5] += wrong_of_class_3
    perfect = score(range(10), np.eye(10), classes=range(10)).model_dump()
    return Metrics.model_validate({**perfect, "confusion": matrix.tolist(), "log_loss": log_loss})


def test_good_figures_pass_with_every_criterion_listed() -> None:
    """A candidate that meets every bound passes, and the table shows all criteria all the same."""
    decision = check(_metrics(), params=BOUNDS)
    assert decision.passed
    assert [criterion.passed for criterion in decision.criteria] == [True, True, True]


@pytest.mark.parametrize(
    ("metrics", "broken"),
    [
        (_metrics(wrong_of_class_3=150), {"lower end of the accuracy's interval", "recall of the worst class"}),
        (_metrics(wrong_of_class_3=25), {"recall of the worst class"}),
        (_metrics(log_loss=0.3), {"log loss"}),
        (_metrics(per_class=5), {"lower end of the accuracy's interval"}),
    ],
)
def test_each_criterion_can_fail(metrics: Metrics, broken: set[str]) -> None:
    """Breaking a criterion fails exactly that criterion; few test rows widen the interval and fail it too."""
    decision = check(metrics, params=BOUNDS)
    assert not decision.passed
    assert {criterion.name for criterion in decision.criteria if not criterion.passed} == broken
    assert all(name in decision.reason for name in broken)
