"""What a report says of the evaluation before."""

from __future__ import annotations

from typing import Any

import pytest

from digits.experiments.report import changes_since

THEN: dict[str, Any] = {
    "snapshot": "a",
    "split": "b",
    "code": "c",
    "params": {"claim": 0.95, "confidence": 0.95},
    "leaderboard": [{"family": "svm", "test_accuracy": 0.99}, {"family": "mlp", "test_accuracy": 0.98}],
    "fingerprints": {"svm": "1", "mlp": "2"},
    "failed": {},
}


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"snapshot": "x", "split": "y"}, "The snapshot is another one"),
        ({"split": "x"}, "The rows are split in another way"),
        ({"code": "x"}, "Evaluated by other code"),
        ({"params": {"claim": 0.9, "confidence": 0.95}}, "Evaluated with other params: claim."),
        ({"fingerprints": {"svm": "1", "mlp": "x"}}, "Fitted with other params, data or code: mlp, "),
        ({"leaderboard": THEN["leaderboard"][::-1]}, "The best by validation is mlp; it was svm."),
        ({"leaderboard": THEN["leaderboard"][:1]}, "mlp is no longer there."),
        ({"leaderboard": THEN["leaderboard"][:1], "failed": {"mlp": "too slow"}}, "mlp has failed."),
    ],
)
def test_what_has_changed_is_one_sentence(changed: dict[str, Any], sentence: str) -> None:
    """Whatever is another one than before is said, and nothing else."""
    (said,) = changes_since(THEN, THEN | changed)
    assert said.startswith(sentence)


def test_nothing_has_changed_only_where_nothing_has() -> None:
    """An evaluation without one before says nothing of changes."""
    assert changes_since(None, THEN) == []
    assert changes_since(THEN, dict(THEN)) == ["Nothing: the same candidates, params and code, on the same images."]
    new = THEN | {"leaderboard": [*THEN["leaderboard"], {"family": "cnn", "test_accuracy": 1.0}]}
    new["fingerprints"] = THEN["fingerprints"] | {"cnn": "3"}
    assert changes_since(THEN, new) == ["cnn is new."]
