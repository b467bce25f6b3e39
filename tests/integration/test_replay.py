"""A recorded fit is done once more: the same bits, or what stands in the way."""

from __future__ import annotations

import json
from typing import Any

import pytest


def _run_id(ran: Any, family: str) -> str:
    rows = json.loads(ran.first.stdout)
    return next(str(row["run_id"]) for row in rows if row["family"] == family)


def _files(ran: Any) -> set[tuple[str, int]]:
    folders = (ran.root / "data", ran.root / "mlflow" / "artifacts")
    return {(str(path), path.stat().st_mtime_ns) for folder in folders for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("family", ["decision_tree", "voting"])
def test_a_replay_gives_the_same_bits(ran: Any, family: str) -> None:
    """A family and an ensemble come out identical, and nothing of the project or of MLflow's artifacts changes."""
    before = _files(ran)
    done = ran.digits("replay", _run_id(ran, family), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["identical"] is True
    assert [item["item"] for item in result["comparisons"]] == [
        "validation metrics",
        "validation probabilities",
        "model",
    ]
    assert _files(ran) == before


def test_changed_code_stands_in_the_way(ran: Any) -> None:
    """Where the code is not the recorded one its file is named, and nothing is fitted."""
    module = ran.root / "digits/models/features.py"
    before = module.read_text(encoding="utf-8")
    try:
        module.write_text(before + "\nCHANGED = True\n", encoding="utf-8")
        done = ran.digits("replay", _run_id(ran, "decision_tree"))
        assert done.returncode == 1
        assert "not available: code: digits/models/features.py changed" in done.stdout
        assert "decision_tree on digits: nothing was fitted" in done.stdout
    finally:
        module.write_text(before, encoding="utf-8")


def test_what_is_no_fit_is_one_line(ran: Any) -> None:
    """A run that does not exist is named, with where it was looked for."""
    done = ran.digits("replay", "nonsense")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no run nonsense in MLflow at sqlite:///" in done.stderr
