"""What has changed between two fits is named: the component, and what of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from digits.experiments.explanation import Change, Explanation, changes_between
from digits.experiments.fingerprint import Fingerprint

BEFORE = Fingerprint(
    data="1111111111112222",
    family="svm",
    params={"C": 10.0, "gamma": "scale", "hidden": [64]},
    seed=0,
    code={"digits.models.features": "a", "digits.models.svm": "b"},
    libraries={"numpy": "2.3.1", "python": "3.12"},
    members={"svm": "x", "mlp": "y"},
)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"data": "3333333333334444"}, [Change("data", "split 111111111111 -> 333333333333")]),
        ({"params": {**BEFORE.params, "C": 3.5}}, [Change("params", "C: 10.0 -> 3.5")]),
        ({"params": {**BEFORE.params, "C": 10}}, [Change("params", "C: 10.0 -> 10")]),
        ({"params": {**BEFORE.params, "gamma": "auto"}}, [Change("params", "gamma: scale -> auto")]),
        ({"params": {**BEFORE.params, "gamma": None}}, [Change("params", "gamma: scale -> null")]),
        ({"params": {**BEFORE.params, "hidden": [64, 32]}}, [Change("params", "hidden: [64] -> [64, 32]")]),
        ({"params": {**BEFORE.params, "tol": 0.1}}, [Change("params", "tol: added, 0.1")]),
        (
            {"params": {"C": 10.0}},
            [Change("params", "gamma: gone, was scale"), Change("params", "hidden: gone, was [64]")],
        ),
        ({"seed": 1}, [Change("seed", "0 -> 1")]),
        (
            {"code": {"digits.models.features": "c", "digits.models.layers": "d"}},
            [
                Change("code", "digits/models/features.py changed"),
                Change("code", "digits/models/layers.py added"),
                Change("code", "digits/models/svm.py gone"),
            ],
        ),
        (
            {"libraries": {"numpy": "2.4.0", "scipy": "1.16"}},
            [
                Change("library", "numpy 2.3.1 -> 2.4.0"),
                Change("library", "python gone, was 3.12"),
                Change("library", "scipy added, 1.16"),
            ],
        ),
        (
            {"members": {"svm": "z", "cnn": "y"}},
            [Change("members", "cnn added"), Change("members", "mlp gone"), Change("members", "svm changed")],
        ),
    ],
)
def test_a_change_is_named(changed: dict[str, Any], expected: list[Change]) -> None:
    """Each component says what of it has changed, from what to what where that can be read."""
    after = replace(BEFORE, **changed)
    assert changes_between(BEFORE, after) == expected
    assert after.digest != BEFORE.digest


def test_changes_come_in_the_order_of_the_line() -> None:
    """What lies further upstream is named first."""
    after = Fingerprint(data="3", family="svm", params={}, seed=1, code={}, libraries={}, members={})
    found = list(dict.fromkeys(change.component for change in changes_between(BEFORE, after)))
    assert found == ["data", "params", "seed", "code", "library", "members"]


def test_without_a_change_a_fit_is_reused() -> None:
    """The same fingerprint explains itself with nothing; one reason is enough to train."""
    assert changes_between(BEFORE, replace(BEFORE)) == []
    assert Explanation("svm").action == "reuse"
    assert Explanation("svm", [Change("seed", "0 -> 1")]).action == "train"
