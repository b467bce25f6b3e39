"""Promotion is earned, recorded and reversible, whatever happens: on SQLite, and on an MLflow server over HTTP."""

from __future__ import annotations

import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from copy import copy
from dataclasses import dataclass, field
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import numpy as np
import pytest

from digits.errors import GateFailed, MissingError, ParamsError
from digits.registry.versions import Registry
from digits.steps import registration, stages
from tests.versions import NAME, State, damaged, evaluated, history, promote, serves, told

#: A process that has ended.
DEAD = f"{os.uname().nodename}/1/1.00"


def _images(checkout: Any) -> np.ndarray:
    images: np.ndarray = np.load(checkout.root / "data/snapshots/digits/images.npy")[-100:]
    return images


def _proba(checkout: Any) -> np.ndarray:
    registry = Registry(checkout.memory())
    with registry.load(registry.serving()) as estimator:
        proba: np.ndarray = estimator.predict_proba(_images(checkout))
    return proba


def _by_hand(checkout: Any, version: int) -> None:
    checkout.memory().client.set_registered_model_alias(NAME, "production", str(version))


def _moved_by_hand(checkout: Any) -> list[str]:
    return Registry(checkout.memory()).moved_by_hand()


def test_a_better_challenger_serves_by_alias_and_by_stage(stocked_either: Any) -> None:
    """Plain MLflow gets the same from both, the old version is archived, and the ledger says why."""
    promote(stocked_either, version=2, reason="spring")
    assert serves(stocked_either) == 2
    stage = told(stocked_either)
    assert (stage[1], stage[2], stage[4]) == (("Archived",) * 2, ("Production",) * 2, ("Staging",) * 2)
    entry = history(stocked_either)[-1]
    assert (entry.version, entry.before, entry.reason, entry.outcome) == (2, 1, "spring", "promoted")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of stages, which MLflow will drop
        models = [mlflow.pyfunc.load_model(f"models:/{NAME}{way}") for way in ("@production", "/Production")]
    predicted = [model.predict(_images(stocked_either)).to_numpy() for model in models]
    np.testing.assert_array_equal(*predicted)
    np.testing.assert_array_equal(predicted[0][:, 1:], _proba(stocked_either))


def test_a_worse_challenger_is_refused(stocked_either: Any) -> None:
    """Exit code 3, one line with the reason, every criterion listed; nothing has moved, and the ledger knows."""
    done = stocked_either.digits("registry", "promote", "digits")
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("digits: ")]
    assert "version 4 of digits-classifier is not promoted: the champion stays; better than the champion" in line
    assert "not met" in done.stdout
    assert serves(stocked_either) == 1
    entry = history(stocked_either)[-1]
    assert (entry.outcome, entry.version, entry.moved) == ("refused", 4, None)
    assert "the champion stays" in entry.reason


def test_a_tie_keeps_the_champion(stocked_either: Any) -> None:
    """What the test images do not tell apart stays as it is; forced with a reason, it is done and recorded so."""
    promote(stocked_either, version=2)
    with pytest.raises(GateFailed, match="the champion stays"):
        promote(stocked_either, version=3)
    assert serves(stocked_either) == 2
    with pytest.raises(ParamsError, match="without a reason"):
        promote(stocked_either, version=3, force=True)
    assert promote(stocked_either, version=3, force=True, reason="on request").outcome == "forced"
    assert serves(stocked_either) == 3
    assert history(stocked_either)[-1].reason == "on request"


def test_rollback_restores_predictions_bit_for_bit(stocked_either: Any) -> None:
    """Production goes back one version at a time, to the very probabilities from before, while there is one."""
    before = _proba(stocked_either)
    promote(stocked_either, version=2)
    between = _proba(stocked_either)
    promote(stocked_either, version=3, force=True, reason="a third")
    assert not np.array_equal(before, between)
    memory = stocked_either.memory()
    for wanted in (between, before):
        stages.rollback(stocked_either.project, "digits", memory=memory, reason="it takes sevens for ones")
        np.testing.assert_array_equal(_proba(stocked_either), wanted)
    stage = told(stocked_either)
    assert (stage[1], stage[2], stage[3]) == (("Production",) * 2, ("Archived",) * 2, ("Archived",) * 2)
    with pytest.raises(MissingError, match="no version of digits-classifier served before version 1"):
        stages.rollback(stocked_either.project, "digits", memory=memory)
    assert _moved_by_hand(stocked_either) == []


@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_version_is_never_promoted(stocked_either: Any, force: bool) -> None:
    """Not even by force: its files are named, nothing moves, and the ledger has the refusal."""
    changed = pytest.raises(MissingError, match="the files of digits-classifier version 2 were changed")
    with damaged(stocked_either, 2), changed:
        promote(stocked_either, version=2, force=force, reason="I must")
    assert serves(stocked_either) == 1
    entry = history(stocked_either)[-1]
    assert (entry.outcome, entry.version) == ("refused", 2)


def test_a_damaged_champion_is_not_served(stocked_either: Any) -> None:
    """It is told by whoever looks, and neither `digits` nor plain MLflow loads it."""
    registry = Registry(stocked_either.memory())
    with damaged(stocked_either, 1):
        assert "version 1 @production were changed" in registry.fault(registry.serving())
        with pytest.raises(MissingError, match="were changed"):
            _proba(stocked_either)
        with pytest.raises(MissingError, match="was changed: SHA-256"):
            mlflow.pyfunc.load_model(f"models:/{NAME}@production")


def test_an_alias_moved_by_hand_is_reported(stocked_either: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By `verify`, with exit code 1, and by every load; a rollback puts it back to what the ledger knows."""
    _by_hand(stocked_either, 3)
    said = "@production of digits-classifier is version 3, the ledger says version 1: somebody moved it by hand"
    verified = stocked_either.digits("registry", "verify", "digits")
    assert verified.returncode == 1
    assert said in verified.stdout
    _proba(stocked_either)
    assert [record.getMessage() for record in caplog.records if said in record.getMessage()]
    stages.rollback(stocked_either.project, "digits", memory=stocked_either.memory())
    assert serves(stocked_either) == 1
    assert _moved_by_hand(stocked_either) == []


class _Dying:
    """MLflow's client, which kills its process with SIGKILL instead of making a call of that name."""

    def __init__(self, client: Any, *, at: str) -> None:
        self._client, self._at = client, at

    def __getattr__(self, name: str) -> Any:
        if name == self._at:
            os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._client, name)


@pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL are Unix's")
@pytest.mark.parametrize(
    ("at", "version", "outcome"),
    [("set_registered_model_alias", 1, "abandoned"), ("set_terminated", 2, "promoted")],
)
def test_a_killed_promotion_is_settled(stocked_either: Any, at: str, version: int, outcome: str) -> None:
    """Whoever comes next sees that the process has died: what had moved is completed, what had not is ended."""
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            memory = stocked_either.memory()
            memory.client = _Dying(memory.client, at=at)
            promote(stocked_either, memory, version=2)
        os._exit(9)
    assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    assert history(stocked_either)[-1].outcome == outcome
    assert serves(stocked_either) == version


@dataclass
class _Watched:
    """MLflow's client, which looks before each of its calls at what a kill there would leave."""

    client: Any
    checkout: Any
    states: list[State] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        call = getattr(self.client, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            # Questions change nothing; what does changes the database, files or not.
            if not self.states or self.states[-1].database != self.checkout.database.read_bytes():
                self.states.append(State.of(self.checkout))
            return call(*arguments, **named)

        return watched


def _promote(checkout: Any, memory: Any) -> None:
    promote(checkout, memory, version=2)


def _stage(checkout: Any, memory: Any) -> None:
    promote(checkout, memory, version=3, to="staging")


def _refuse(checkout: Any, memory: Any) -> None:
    with pytest.raises(GateFailed):
        promote(checkout, memory, version=4)


def _rollback(checkout: Any, memory: Any) -> None:
    stages.rollback(checkout.project, "digits", memory=memory, reason="it takes sevens for ones")


def _archive(checkout: Any, memory: Any) -> None:
    stages.archive(checkout.project, "digits", version=4, memory=memory, reason="it is old")


def _replace(checkout: Any, memory: Any) -> None:
    one = evaluated(checkout, "decision_tree", memory=checkout.memory())
    registration.register(checkout.project, "digits", memory=memory, evaluation=one)


#: What is done, and what becomes of it.
OUTCOMES = {
    _promote: "promoted",
    _stage: "promoted",
    _refuse: "refused",
    _rollback: "rolled back",
    _archive: "archived",
    _replace: "replaced",
}

#: Which calls there are is up to the command and not to the store: on the server two of them are enough.
KILLED = [*(("SQLite", act) for act in OUTCOMES), ("server", _promote), ("server", _archive)]


@pytest.fixture
def _prepared(stocked_either: Any, act: Callable[[Any, Any], None]) -> Iterator[None]:
    """Make something that can be rolled back, or replaced."""
    if act is _rollback:
        promote(stocked_either, version=2)
    with damaged(stocked_either, 1) if act is _replace else nullcontext():
        yield


@pytest.mark.usefixtures("_prepared")
@pytest.mark.parametrize(("stocked_either", "act"), KILLED, indirect=["stocked_either"])
def test_a_kill_between_any_two_calls_leaves_the_old_state_or_the_new_one(
    stocked_either: Any, act: Callable[[Any, Any], None]
) -> None:
    """Whoever comes next completes what had moved and ends what had not; asked again, it is done, and once."""
    memory = stocked_either.memory()
    registry = Registry(memory)
    old, n_entries = registry.stages.holders(), len(registry.ledger.entries())
    watched = _Watched(memory.client, stocked_either)
    watching = copy(memory)
    watching.client = watched
    act(stocked_either, watching)
    new, done = registry.stages.holders(), registry.ledger.entries()[-1]
    seen = set()
    for state in reversed(watched.states):  # files are only taken away
        held = _dead_in(state, stocked_either, registry)
        ended = stages.history(stocked_either.project, memory=memory)[n_entries:]
        assert all(entry.outcome == "abandoned" or entry.reason == done.reason for entry in ended)
        assert not any(entry.is_open for entry in ended)
        holders = registry.stages.holders()
        assert holders in (old, new)
        assert holders["production"] == held["production"]
        assert registry.moved_by_hand() == []
        mirrored = {names: number for number, names in told(stocked_either, memory).items()}
        assert {alias: mirrored.get((alias.capitalize(),) * 2) for alias in holders} == holders
        if (outcomes := tuple(entry.outcome for entry in ended)) in seen:
            continue
        seen.add(outcomes)
        _dead_in(state, stocked_either, registry)
        act(stocked_either, memory)
        assert registry.stages.holders() == new
        assert [entry.outcome for entry in registry.ledger.entries()[n_entries:]].count(OUTCOMES[act]) == (
            2 if act is _refuse and outcomes == ("refused",) else 1
        )
    assert seen == {(), ("abandoned",), (OUTCOMES[act],)}


def _dead_in(state: State, checkout: Any, registry: Registry) -> dict[str, int]:
    """Let the process have died in that state, and return who held which alias."""
    state.restore(checkout)
    for entry in registry.ledger.unfinished():
        registry.ledger._client.set_tag(entry.run_id, "process", DEAD)
    return registry.stages.holders()
