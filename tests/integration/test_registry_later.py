"""The registry when time has passed: code was edited, clocks differ, somebody said no, nobody answered."""

from __future__ import annotations

import importlib.util
import json
import py_compile
import re
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from digits.errors import CodeChangedError, MissingError, ParamsError
from digits.registry.history import holder_at
from digits.registry.loading import loaded
from digits.registry.versions import Registry
from digits.steps import promotion, registration, stages
from tests.versions import NAME, evaluated, history, model_file, promote, serves, told


@pytest.fixture
def picture(stocked: Any, tmp_path: Path) -> str:
    """Return the file of a picture of a digit."""
    image = np.load(stocked.root / "data/snapshots/digits/images.npy")[-1]
    cv2.imwrite(str(tmp_path / "digit.png"), np.kron(255 - 15 * image, np.ones((8, 8), np.uint8)))
    return str(tmp_path / "digit.png")


def _read(checkout: Any, picture: str) -> dict[str, Any]:
    done = checkout.digits("predict", "digits", picture, "--json")
    assert done.returncode == 0, done.stderr
    read: dict[str, Any] = json.loads(done.stdout)[0]
    return read


def _edit(checkout: Any, module: str, pattern: str, replacement: str) -> None:
    """Change the code of a checkout; pattern and replacement are those of `re.sub`."""
    path = checkout.root / "digits" / module
    text, count = re.subn(pattern, replacement, path.read_text(encoding="utf-8"))
    assert count
    path.write_text(text, encoding="utf-8")


def test_a_version_predicts_by_the_code_that_it_was_registered_with(stocked: Any, picture: str) -> None:
    """After an edit that gives other features it reads as before, is compared as before, and can come back."""
    before = _read(stocked, picture)
    _edit(stocked, "models/features.py", r"(out = np\.empty|pixels = flat\.astype)", r"flat = 0 * flat\n        \1")
    assert _read(stocked, picture) == before
    better = stocked.digits("registry", "promote", "digits", "--version", "2")
    assert better.returncode == 0, better.stderr
    assert stocked.digits("registry", "rollback", "digits").returncode == 0
    assert _read(stocked, picture) == before


@pytest.fixture
def packaged(stocked: Any, tmp_path: Path) -> tuple[Any, Path, Path]:
    """Return a version of other code than this, its folder, and the module of that code which reads models."""
    reader = tmp_path / "code/digits/models/artifact.py"
    for folder in (tmp_path / "artifacts/model", reader.parent):
        folder.mkdir(parents=True)
    for package in (reader.parent, reader.parents[1]):
        (package / "__init__.py").touch()
    reader.write_text(
        """
import numpy as np

class Model:
    classes_ = np.arange(3)

    def predict_proba(self, images):
        return np.full((len(images), 3), images.mean())

def load(folder):
    print(f"reading {folder}")
    return Model()
"""
    )
    return replace(Registry(stocked.memory()).version(2), code="another"), tmp_path / "artifacts/model", reader


def test_what_somebody_compiled_is_not_run(packaged: tuple[Any, Path, Path]) -> None:
    """Python's own copies of the code are in no digest: the sources count, whatever lies beside them."""
    version, folder, reader = packaged
    compiled = reader.with_name("worse.py")
    compiled.write_text("raise SystemExit('worse')")
    target = importlib.util.cache_from_source(str(reader))
    py_compile.compile(str(compiled), cfile=target, invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    with loaded(version, folder) as estimator:
        assert estimator.classes_.tolist() == [0, 1, 2]
        for count in (1, 5):
            images = np.full((count, 8, 8), 4, np.uint8)
            np.testing.assert_array_equal(estimator.predict_proba(images), np.full((count, 3), 4.0))


@pytest.mark.parametrize("when", ["import", "load", "predict"])
def test_code_of_a_version_that_cannot_run_is_one_line(packaged: tuple[Any, Path, Path], when: str) -> None:
    """What its process said last is told, whenever it was."""
    version, folder, reader = packaged
    text = reader.read_text()
    places = {"import": "import numpy as np", "load": "    print(", "predict": "        return np"}
    indent = " " * (len(places[when]) - len(places[when].lstrip()))
    reader.write_text(text.replace(places[when], f"{indent}raise ValueError('too old')\n{places[when]}"))
    with (
        pytest.raises(MissingError, match=r"version 2 cannot predict by the code .+: ValueError: too old$"),
        loaded(version, folder) as estimator,
    ):
        estimator.predict_proba(np.zeros((1, 8, 8), np.uint8))


def test_the_gate_compares_what_predicts(stocked: Any) -> None:
    """The same model files by other code are another model: the champion is examined by its own."""
    client = stocked.memory().client
    client.set_model_version_tag(
        NAME, "1", "artifact.sha256", client.get_model_version(NAME, "2").tags["artifact.sha256"]
    )
    client.set_model_version_tag(NAME, "1", "code.sha256", "another")
    with pytest.raises(
        MissingError, match=r"the champion cannot be examined: the files of .+ version 1 .+were changed"
    ):
        promote(stocked, version=2)


def test_code_that_was_edited_meanwhile_is_not_packaged(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a version's tag says of its code is true, or there is no version."""
    memory = stocked.memory()
    best = evaluated(stocked, "extra_trees", memory=memory)
    model_file(stocked, 4).write_bytes(b"")  # so that it is packaged again
    monkeypatch.setattr("digits.experiments.code.changed_code", lambda modules: {"digits.models.trees"} & set(modules))
    with pytest.raises(CodeChangedError, match=r"digits\.models\.trees was changed"):
        registration.register(stocked.project, "digits", memory=memory, evaluation=best)
    assert len(Registry(memory).versions()) == 4


def test_what_somebody_archived_does_not_serve_by_itself(stocked: Any, make_checkout: Any) -> None:
    """A person said no to the first version: no later run makes it serve, under a new number neither."""
    checkout = make_checkout()  # what was evaluated there, and no version yet
    shutil.copytree(stocked.root / "data", checkout.root / "data", dirs_exist_ok=True)
    shutil.copy(stocked.root / "params.yaml", checkout.root)
    checkout.params(promote={"approval": "required"})
    assert checkout.register(["decision_tree"]) == [1]
    assert Registry(checkout.memory()).stages.holders() == {"staging": 1}
    stages.archive(checkout.project, "digits", version=1, memory=checkout.memory(), reason="no")
    checkout.params(promote={"approval": "none"})
    memory = checkout.memory()
    best = evaluated(checkout, "decision_tree", memory=memory)
    for number in (1, 2):
        made = registration.register(checkout.project, "digits", memory=memory, evaluation=best)
        assert (made.version, Registry(memory).stages.holders()) == (number, {})
        model = model_file(checkout, 1)
        model.write_bytes(model.read_bytes()[:-1])
    assert [entry.outcome for entry in history(checkout)] == ["promoted", "archived"]


def test_a_slow_clock_changes_no_order(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rollback from a machine that is minutes behind is the last move all the same."""

    class Behind(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) - timedelta(minutes=3)

    promote(stocked, version=2)
    monkeypatch.setattr("digits.registry.ledger.datetime", Behind)
    assert stages.rollback(stocked.project, "digits", memory=stocked.memory()).version == 1
    monkeypatch.undo()
    entries = history(stocked)
    assert [entry.version for entry in entries][-2:] == [2, 1]
    held = holder_at(entries, datetime.now(UTC))
    assert held is not None
    assert held.version == 1
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_a_fast_clock_holds_nobody_up(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a move that is dated days ahead, what dies elsewhere counts as dead after minutes all the same."""

    class Ahead(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr("digits.registry.ledger.datetime", Ahead)
    promote(stocked, version=2)
    monkeypatch.undo()
    registry, _ = promotion.opened(stocked.project, memory=stocked.memory())
    dead = registry.ledger.begin("rollback", stage="production", version=1, before=2, actor="Bob", reason="")
    assert dead.started > datetime.now(UTC) + timedelta(days=1)  # after what stands there already
    assert dead.deadline < datetime.now(UTC) + timedelta(minutes=15)
    registry.ledger._client.set_tag(dead.run_id, "process", "another-host/7/1.00")
    registry.ledger._client.set_tag(dead.run_id, "deadline", (dead.deadline - timedelta(hours=1)).isoformat())
    assert stages.rollback(stocked.project, "digits", memory=stocked.memory()).version == 1
    assert serves(stocked) == 1


def test_asking_again_finishes_what_another_machine_left(stocked: Any) -> None:
    """The alias had moved when it died: whoever asks for the same finds the mirrors right, and the entry is told so."""
    memory = stocked.memory()
    registry, _ = promotion.opened(stocked.project, memory=memory)
    dead = registry.ledger.begin("promote", stage="production", version=2, before=1, actor="Bob", reason="")
    registry.ledger._client.set_tag(dead.run_id, "process", "another-host/7/1.00")
    registry.ledger.moving(dead, outcome="promoted", reason="", known=registry.ledger.entries())
    registry.stages.give("production", 2)
    before = datetime.now(UTC)
    assert promote(stocked, version=2).run_id == dead.run_id
    assert told(stocked)[2] == ("Production", "Production")
    entries = history(stocked)
    assert entries[-1].as_dict()["outcome"] == "under way"
    held = holder_at(entries, before)
    assert held is not None
    assert held.version == 1  # what is announced has not happened yet


def test_a_rollback_that_died_elsewhere_blocks_nobody_for_long(stocked: Any) -> None:
    """It is a few calls: minutes later its process counts as dead, a promotion's examination may take an hour."""
    registry, _ = promotion.opened(stocked.project, memory=stocked.memory())
    ends = {}
    for action in ("promote", "rollback", "archive"):
        entry = registry.ledger.begin(action, stage="production", version=2, before=1, actor="Bob", reason="")
        ends[action] = entry.deadline - entry.started
    assert ends["rollback"] < timedelta(minutes=6)
    assert ends["archive"] < timedelta(minutes=6)
    assert ends["promote"] > timedelta(minutes=30)


def test_a_question_that_nobody_answered_ends_as_a_refusal(stocked: Any) -> None:
    """Also where the process that waited for the answer is on another machine, and says nothing any more."""
    registry, _ = promotion.opened(stocked.project, memory=stocked.memory())
    asked = registry.ledger.begin("promote", stage="production", version=2, before=1, actor="Bob", reason="")
    registry.ledger._client.set_tag(asked.run_id, "process", "another-host/7/1.00")
    registry.ledger.wait(asked, hours=-2)
    entry = history(stocked)[-1]
    assert (entry.run_id, entry.outcome, entry.reason) == (asked.run_id, "refused", "nobody answered in time")
    assert serves(stocked) == 1


def test_whoever_asks_through_a_flow_can_say_who_they_are(stocked: Any) -> None:
    """The ledger names them, not the user on whose behalf the worker runs."""
    with pytest.raises(ParamsError, match="the actor has 201 characters"):
        promote(stocked, version=2, actor=201 * "A")
    promote(stocked, version=2, actor="Ada")
    stages.rollback(stocked.project, "digits", memory=stocked.memory(), actor="Bob", reason="it takes sevens for ones")
    assert [entry.actor for entry in history(stocked)][-2:] == ["Ada", "Bob"]
