"""A recorded fit is done once more: the same bits, or what stands in the way."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - these tests need it
import pytest

from digits.errors import MissingError
from digits.experiments.recall import fetch
from digits.experiments.workers import InProcess
from digits.settings import Settings
from digits.steps.data import split
from digits.steps.replay import replay


def _run_id(ran: Any, family: str) -> str:
    rows = json.loads(ran.first.stdout)
    return next(str(row["run_id"]) for row in rows if row["family"] == family)


def _client(ran: Any) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{ran.root / 'mlflow/mlflow.db'}")


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


@pytest.mark.parametrize(
    ("dirty", "words"),
    [("false", "`git checkout 1a2b3c` has it"), ("true", "1a2b3c with changes on top that were not committed")],
)
def test_where_git_has_the_recorded_code(kept: Any, dirty: str, words: str) -> None:
    """The commit is named where it has the recorded code; where it has not, that is said."""
    run_id = _run_id(kept, "decision_tree")
    for tag, value in (("git.sha", "1a2b3c"), ("git.dirty", dirty)):
        _client(kept).set_tag(run_id, tag, value)
    with (kept.root / "digits/models/features.py").open("a", encoding="utf-8") as module:
        module.write("\nCHANGED = True\n")
    done = kept.digits("replay", run_id, "--json")
    assert done.returncode == 1, done.stderr
    assert words in done.stdout
    assert ("git checkout" in done.stdout) == (dirty == "false")


def test_other_images_stand_in_the_way(kept: Any) -> None:
    """Where the split is another one than the recorded, both are named, and nothing is fitted."""
    kept.params(split={"validation": {"take": "folds", "folds": 4, "shuffle": False}})
    split(kept.project, "digits")
    done = replay(kept.project, _run_id(kept, "decision_tree"), settings=Settings.load(kept.root))
    assert [change.component for change in done.obstacles] == ["data"]
    assert re.fullmatch(r"found split \w{12} of snapshot \w{12}, wanted split \w{12}", done.obstacles[0].detail)
    assert not done.identical
    assert done.comparisons == ()


def test_what_comes_out_otherwise_is_shown(ran: Any) -> None:
    """A fit that gives other bits than were recorded is different in each thing that differs."""

    class Unlike(InProcess):
        """Who does the fit in a way that was not recorded."""

        def run(self, function: Any, **arguments: Any) -> Any:
            return super().run(
                function, **{**arguments, "family": arguments["family"].model_copy(update={"max_depth": 2})}
            )

    run_id = _run_id(ran, "decision_tree")
    done = replay(ran.project, run_id, settings=Settings.load(ran.root), workers=Unlike())
    assert not done.identical
    different = {item.item: (item.recorded, item.replayed) for item in done.comparisons if not item.identical}
    assert {"validation accuracy", "validation probabilities", "model"} <= set(different)
    recorded, replayed = map(float, different["validation accuracy"])
    assert recorded > replayed


def test_a_lost_candidate_is_named(kept: Any, tmp_path: Path) -> None:
    """A fit whose artifacts are gone has lost its candidate, also where the folder for it is there already."""
    run_id = _run_id(kept, "decision_tree")
    shutil.rmtree(next((kept.root / "mlflow/artifacts").rglob(f"{run_id}/artifacts/candidate")))
    with pytest.raises(MissingError, match=f"run {run_id} has lost its candidate"):
        fetch(kept.memory(), run_id, path=tmp_path)


def test_what_is_no_fit_is_one_line(ran: Any) -> None:
    """A run that does not exist is named, with where it was looked for."""
    done = ran.digits("replay", "nonsense")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no run nonsense in MLflow at sqlite:///" in done.stderr


def test_a_replay_makes_no_store(make_checkout: Any) -> None:
    """Where nothing was fitted yet, nothing is made to say so."""
    checkout = make_checkout(store=False)
    with pytest.raises(MissingError, match="nothing was ever fitted here"):
        replay(checkout.project, "nonsense", settings=Settings.load(checkout.root))
    assert not (checkout.root / "mlflow").exists()
