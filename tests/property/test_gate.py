"""What holds of the gate for any two versions and any bounds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from digits.experiments.conditions import Condition
from digits.experiments.cost import Cost
from digits.experiments.metrics import Metrics, score
from digits.experiments.robustness import at_reference
from digits.registry.examination import Examination
from digits.registry.gate import PromoteParams, decide

# No deadline: the first example pays for imports, and a busy machine is no reason to fail.
any_of = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=100)

N_ROWS = 60
Y_TRUE = np.arange(N_ROWS) % 3

shares = st.floats(0, 1)
seconds = st.floats(1e-6, 1)
rows = st.integers(0, 2**N_ROWS - 1).map(lambda bits: [bool(bits >> n & 1) for n in range(N_ROWS)])
# Most rows are right: two good versions that differ on a few are where decisions are made.
mostly_right = st.sets(st.integers(0, N_ROWS - 1), max_size=15).map(
    lambda wrong: [n not in wrong for n in range(N_ROWS)]
)


PERFECT = score(Y_TRUE, np.eye(3)[Y_TRUE], classes=range(3)).model_dump()


def _metrics(right: list[bool], *, log_loss: float, calibration_error: float) -> Metrics:
    confusion = np.zeros((3, 3), dtype=int)
    np.add.at(confusion, (Y_TRUE, np.where(right, Y_TRUE, (Y_TRUE + 1) % 3)), 1)
    figures = {"confusion": confusion.tolist(), "log_loss": log_loss, "calibration_error": calibration_error}
    return Metrics.model_validate({**PERFECT, **figures})


def _noise(n_correct: int) -> Condition:
    return Condition(kind="noise", level="0.2", n_samples=100, n_correct=n_correct, mean_confidence=0.5)


@st.composite
def examinations(draw: Any) -> Examination:
    """Return any examination on the same rows."""
    right = draw(st.one_of(mostly_right, rows))
    return Examination(
        right=np.array(right),
        metrics=_metrics(right, log_loss=draw(st.floats(0, 3)), calibration_error=draw(shares)),
        conditions=(_noise(draw(st.integers(0, 100))),),
        cost=Cost(draw(seconds), draw(seconds), draw(st.integers(1, 10**9))),
        split="split",
        validated=draw(st.booleans()),
        unseen=draw(st.booleans()),
    )


@st.composite
def bounds(draw: Any) -> PromoteParams:
    """Return any bounds; those that nothing can fail are frequent, so that the champion decides."""
    if draw(st.booleans()):
        return PromoteParams(
            minimum_accuracy=0,
            minimum_recall=0,
            maximum_log_loss=10,
            maximum_calibration_error=1,
            maximum_seconds=10,
            margin=draw(shares),
            cheaper_by=draw(st.floats(1.01, 10)),
        )
    return PromoteParams(
        minimum_accuracy=draw(shares),
        minimum_recall=draw(shares),
        maximum_log_loss=draw(st.floats(0.01, 3)),
        maximum_calibration_error=draw(st.floats(0.01, 1)),
        maximum_seconds=draw(seconds),
        maximum_bytes=draw(st.integers(1, 10**9)),
        minimum_robust_accuracy=draw(st.sampled_from([{}, {"noise": 0.5}])),
        margin=draw(shares),
        cheaper_by=draw(st.floats(1.01, 10)),
    )


def _worse(draw: Any, found: Examination) -> Examination:
    """Return the examination made worse in one respect."""
    metrics, cost, left = found.metrics, found.cost, found.conditions[0].n_correct
    right = found.right & np.array(draw(st.one_of(mostly_right, rows)))
    fewer = _metrics(right.tolist(), log_loss=metrics.log_loss, calibration_error=metrics.calibration_error)
    more_loss = {"log_loss": metrics.log_loss + draw(st.floats(0, 3))}
    less_calibrated = {"calibration_error": max(metrics.calibration_error, draw(shares))}
    slower = cost.batch_seconds * draw(st.floats(1, 100))
    ways: list[dict[str, Any]] = [
        {"right": right, "metrics": fewer},
        {"metrics": metrics.model_copy(update=more_loss)},
        {"metrics": metrics.model_copy(update=less_calibrated)},
        {"cost": replace(cost, batch_seconds=slower)},
        {"cost": replace(cost, model_bytes=cost.model_bytes + draw(st.integers(0, 10**9)))},
        {"conditions": (_noise(min(left, draw(st.integers(0, 100)))),)},
        {"validated": False},
        {"unseen": False},
    ]
    return replace(found, **draw(st.sampled_from(ways)))


@any_of
@given(examinations(), bounds())
def test_an_identical_challenger_never_replaces_the_champion(found: Examination, params: PromoteParams) -> None:
    """Whatever the bounds: what is no better and no cheaper has earned nothing."""
    assert not decide(found, replace(found), params=params).passed


@any_of
@given(st.data(), examinations(), st.none() | examinations(), bounds())
def test_worsening_never_turns_a_refusal_into_a_promotion(
    data: st.DataObject, challenger: Examination, champion: Examination | None, params: PromoteParams
) -> None:
    """Fewer rows right, or any figure worse: what was refused stays refused."""
    worse = _worse(data.draw, challenger)
    if not decide(challenger, champion, params=params).passed:
        assert not decide(worse, champion, params=params).passed


@any_of
@given(examinations(), examinations(), bounds())
def test_two_versions_never_replace_each_other(one: Examination, other: Examination, params: PromoteParams) -> None:
    """Whoever replaces the champion is not replaced by it in turn, on the same figures: production does not flap."""
    assert not (decide(one, other, params=params).passed and decide(other, one, params=params).passed)


@any_of
@given(examinations(), examinations(), bounds(), st.permutations(range(N_ROWS)))
def test_the_order_of_rows_and_of_examinations_does_not_matter(
    one: Examination, other: Examination, params: PromoteParams, order: list[int]
) -> None:
    """The rows in another order give the same table, and so does another decision made in between."""
    before = decide(one, other, params=params)
    decide(other, one, params=params)
    shuffled = [replace(found, right=found.right[order]) for found in (one, other)]
    assert decide(*shuffled, params=params) == before == decide(one, other, params=params)


@any_of
@given(examinations(), st.none() | examinations(), bounds())
def test_every_criterion_is_listed_and_decides(
    challenger: Examination, champion: Examination | None, params: PromoteParams
) -> None:
    """The table is whole whether it passes or not, the answer follows from it, and a refusal names what is not met."""
    decision = decide(challenger, champion, params=params)
    met = {
        group: [c.passed for c in decision.criteria if c.group == group] for group in ("absolute", "better", "cheaper")
    }
    assert len(met["absolute"]) == 8 + len({*params.minimum_robust_accuracy, *at_reference(challenger.conditions)})
    assert (len(met["better"]), len(met["cheaper"])) == ((1, 3) if champion else (0, 0))
    replaces = champion is None or all(met["better"]) or all(met["cheaper"])
    assert decision.passed == (all(met["absolute"]) and replaces)
    assert decision.reason
