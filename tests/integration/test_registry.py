"""Promotion is earned, recorded and reversible: with real MLflow, on SQLite and on a server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import numpy as np
import pytest
import yaml

from digits.errors import BusyError, GateFailed, MissingError, ParamsError
from digits.files import only_one
from digits.registry.history import holder_at
from digits.registry.versions import Registry
from digits.steps import data, promotion, stages

NAME = "digits-classifier"


def _promote(checkout: Any, memory: Any = None, **arguments: Any) -> Any:
    memory = memory or checkout.memory()
    proposal = promotion.propose(checkout.project, "digits", memory=memory, **arguments)
    return promotion.conclude(checkout.project, "digits", proposal, memory=memory)


def _client(checkout: Any) -> Any:
    return mlflow.MlflowClient(checkout.project.tracking_uri)


def _serves(checkout: Any) -> int:
    return int(_client(checkout).get_model_version_by_alias(NAME, "production").version)


def _stages(client: Any) -> dict[int, tuple[str, str]]:
    """Return version → the stage that its tag and MLflow's own field say."""
    found = client.search_model_versions(f"name = '{NAME}'")
    return {int(item.version): (item.tags.get("stage", "None"), item.current_stage) for item in found}


def _history(checkout: Any) -> list[Any]:
    return stages.history(checkout.project, memory=checkout.memory())


def _model_file(checkout: Any, version: int) -> Path:
    files = _client(checkout).get_model_version_download_uri(NAME, str(version))
    return Path(files.removeprefix("file://")) / "artifacts/model/model.skops"


def _proba(checkout: Any) -> np.ndarray:
    registry = Registry(checkout.memory())
    images = np.load(checkout.root / "data/snapshots/digits/images.npy")[-797:]
    proba: np.ndarray = registry.load(registry.serving()).predict_proba(images)
    return proba


def test_a_better_challenger_is_promoted(stocked: Any) -> None:
    """The alias, the tag and MLflow's own stage agree, the old version is archived, and the ledger says why."""
    done = stocked.digits("registry", "promote", "digits", "--version", "2", "--reason", "spring", DIGITS_ACTOR="Ada")
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr
    assert "digits-classifier version 2: promoted (production)" in done.stdout
    for words in ("better than the champion", "validated snapshot", "times less time", "not met"):
        assert words in done.stdout
    assert _serves(stocked) == 2
    told = _stages(_client(stocked))
    assert told[1] == ("Archived", "Archived")
    assert told[2] == ("Production", "Production")
    assert told[4] == ("Staging", "Staging")
    entry = _history(stocked)[-1]
    assert (entry.version, entry.before, entry.actor, entry.reason) == (2, 1, "Ada", "spring")
    assert (entry.outcome, entry.status) == ("promoted", "FINISHED")
    table = mlflow.artifacts.load_dict(f"{_client(stocked).get_run(entry.run_id).info.artifact_uri}/gate.json")
    assert table["passed"] is True
    assert len(table["criteria"]) >= 11


def test_a_worse_challenger_is_refused(stocked: Any) -> None:
    """Exit code 3, one line with the reason, every criterion listed; nothing has moved, and the ledger knows."""
    done = stocked.digits("registry", "promote", "digits")
    assert done.returncode == 3
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("digits: ")]
    assert "version 4 of digits-classifier is not promoted: the champion stays; better than the champion" in line
    assert "not met" in done.stdout
    assert _serves(stocked) == 1
    entry = _history(stocked)[-1]
    assert (entry.outcome, entry.version, entry.moved) == ("refused", 4, None)
    assert "the champion stays" in entry.reason


def test_a_tie_keeps_the_champion(stocked: Any) -> None:
    """What the test images do not tell apart stays as it is; forced with a reason, it is done and recorded so."""
    _promote(stocked, version=2)
    with pytest.raises(GateFailed, match="the champion stays"):
        _promote(stocked, version=3)
    assert _serves(stocked) == 2
    with pytest.raises(ParamsError, match="without a reason"):
        _promote(stocked, version=3, force=True)
    assert _promote(stocked, version=3, force=True, reason="on request").outcome == "forced"
    assert _serves(stocked) == 3
    entry = _history(stocked)[-1]
    assert entry.reason == "on request"


def test_rollback_restores_predictions_bit_for_bit(stocked: Any) -> None:
    """Production goes back one version at a time, to the very probabilities from before, while there is one."""
    before = _proba(stocked)
    _promote(stocked, version=2)
    between = _proba(stocked)
    _promote(stocked, version=3, force=True, reason="a third")
    assert not np.array_equal(before, between)
    back = stocked.digits("registry", "rollback", "digits", "--reason", "it takes sevens for ones")
    assert back.returncode == 0, back.stderr
    np.testing.assert_array_equal(_proba(stocked), between)
    stages.rollback(stocked.project, "digits", memory=stocked.memory())
    np.testing.assert_array_equal(_proba(stocked), before)
    told = _stages(_client(stocked))
    assert (told[1], told[2], told[3]) == (("Production",) * 2, ("Archived",) * 2, ("Archived",) * 2)
    with pytest.raises(MissingError, match="no version of digits-classifier served before version 1"):
        stages.rollback(stocked.project, "digits", memory=stocked.memory())
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_who_was_in_production_can_be_told(stocked: Any) -> None:
    """For any moment since the first version, also through the command, which is told a wrong time in one line."""
    start = datetime.now(UTC)
    _promote(stocked, version=2)
    middle = datetime.now(UTC)
    stages.rollback(stocked.project, "digits", memory=stocked.memory())
    entries = _history(stocked)
    moments = {start: 1, middle: 2, datetime.now(UTC): 1}
    assert {moment: holder_at(entries, moment).version for moment in moments} == moments
    assert holder_at(entries, start - timedelta(days=1)) is None
    told = stocked.digits("registry", "history", "digits", "--at", middle.isoformat())
    assert told.stdout.startswith("version 2 was in production (promoted")
    wrong = stocked.digits("registry", "history", "digits", "--at", "spring")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)


@pytest.mark.parametrize("force", [False, True])
def test_a_damaged_version_is_never_promoted(stocked: Any, force: bool) -> None:
    """Not even by force: its files are named, nothing moves, and the ledger has the refusal."""
    path = _model_file(stocked, 2)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(MissingError, match="the files of digits-classifier version 2 were changed"):
        _promote(stocked, version=2, force=force, reason="I must")
    assert _serves(stocked) == 1
    entry = _history(stocked)[-1]
    assert (entry.outcome, entry.version) == ("refused", 2)
    verified = stocked.digits("registry", "verify", "digits")
    assert verified.returncode == 1
    assert "version 2 were changed" in verified.stdout


def test_changed_code_in_a_package_is_found(stocked: Any) -> None:
    """The code by which MLflow serves a version is held against its digest too: by `verify`, and before promotion."""
    served = _model_file(stocked, 2).parents[2] / "served.py"
    served.write_bytes(served.read_bytes() + b"# more\n")
    with pytest.raises(MissingError, match="the files of digits-classifier version 2 were changed"):
        _promote(stocked, version=2)
    (fault,) = stages.faults(stocked.project, memory=stocked.memory())
    assert "version 2 were changed" in fault


def test_a_version_that_somebody_archived_is_not_rolled_back_to(stocked: Any) -> None:
    """Out of use is out of use; promoted again, it counts again."""
    _promote(stocked, version=2)
    stages.archive(stocked.project, "digits", version=1, memory=stocked.memory())
    with pytest.raises(MissingError, match="served before version 2"):
        stages.rollback(stocked.project, "digits", memory=stocked.memory())
    assert _serves(stocked) == 2
    _promote(stocked, version=1, force=True, reason="it was right after all")
    assert stages.rollback(stocked.project, "digits", memory=stocked.memory()).version == 2


def test_two_processes_that_promote_at_once_leave_one_answer(stocked: Any) -> None:
    """Each ends with its own word: done, or that another is under way; alias and ledger agree afterwards."""
    both = [
        subprocess.Popen(
            stocked.command("registry", "promote", "digits", "--version", str(version)),
            cwd=stocked.root,
            env=stocked.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for version in (2, 3)
    ]
    said = [process.communicate(timeout=200) for process in both]
    codes = [process.returncode for process in both]
    assert codes.count(0) == 1, said
    (other,) = (code for code in codes if code != 0)
    lines = "".join(err for _, err in said)
    assert (other == 1 and "under way" in lines) or (other == 3 and "the champion stays" in lines), said
    assert _serves(stocked) == (2, 3)[codes.index(0)]
    assert stages.faults(stocked.project, memory=stocked.memory()) == []
    assert all(not entry.is_open for entry in _history(stocked))


def test_plain_mlflow_refuses_changed_files(stocked: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mlflow.pyfunc` holds the files against the digest that travels with the model; by stage and by alias."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", stocked.project.tracking_uri)
    images = np.load(stocked.root / "data/snapshots/digits/images.npy")[:3]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of stages, which it will drop
        models = [mlflow.pyfunc.load_model(f"models:/{NAME}{way}") for way in ("@production", "/Production")]
    np.testing.assert_array_equal(*(model.predict(images) for model in models))
    assert stages.faults(stocked.project, memory=stocked.memory()) == []  # what MLflow leaves there is no damage
    path = _model_file(stocked, 1)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(MissingError, match="was changed: SHA-256"):
        mlflow.pyfunc.load_model(f"models:/{NAME}@production")


def test_an_alias_moved_by_hand_is_reported(stocked: Any, caplog: pytest.LogCaptureFixture) -> None:
    """By `verify`, with exit code 1, and by every load; a rollback puts it back to what the ledger knows."""
    _client(stocked).set_registered_model_alias(NAME, "production", "3")
    verified = stocked.digits("registry", "verify", "digits")
    told = "@production of digits-classifier is version 3, the ledger says version 1: somebody moved it by hand"
    assert verified.returncode == 1
    assert told in verified.stdout
    _proba(stocked)
    assert [record.getMessage() for record in caplog.records if told in record.getMessage()]
    stages.rollback(stocked.project, "digits", memory=stocked.memory())
    assert _serves(stocked) == 1
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_a_version_can_be_archived_unless_it_serves(stocked: Any) -> None:
    """It is staged no more; the one in production is refused with what to do instead."""
    refused = stocked.digits("registry", "archive", "digits", "--version", "1")
    assert refused.returncode == 1
    assert "promote another version, or `digits registry rollback digits`" in refused.stderr
    done = stocked.digits("registry", "archive", "digits", "--version", "4")
    assert done.returncode == 0, done.stderr
    assert _stages(_client(stocked))[4] == ("Archived", "Archived")
    with pytest.raises(MissingError, match="no version of digits-classifier is staged"):
        _promote(stocked)
    listed = yaml.safe_load(stocked.digits("registry", "list", "digits", "--json").stdout)
    assert [item["stage"] for item in listed] == ["Archived", "None", "None", "Production"]
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_two_promotions_at_once_one_wins(stocked: Any) -> None:
    """On one host the lock tells the other; from elsewhere the older entry of the ledger does."""
    with (
        only_one(stocked.project.lock("digits", "promotion", "production")),
        pytest.raises(BusyError, match="another promotion of digits is under way here"),
    ):
        _promote(stocked, version=2)
    ledger = Registry(stocked.memory()).ledger
    elsewhere = ledger.begin("promote", stage="production", version=3, before=1, actor="Bob", reason="")
    ledger._client.set_tag(elsewhere.run_id, "process", "another-host/7/1.00")
    with pytest.raises(BusyError, match="the promote of version 3 of digits by Bob is under way"):
        _promote(stocked, version=2)
    assert _history(stocked)[-1].outcome == "withdrawn"
    ledger._client.set_tag(elsewhere.run_id, "deadline", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert _promote(stocked, version=2).outcome == "promoted"
    assert {entry.run_id: entry.outcome for entry in _history(stocked)}[elsewhere.run_id] == "abandoned"


def test_a_version_that_has_learned_from_the_test_images_is_refused(stocked: Any) -> None:
    """After another split, what was fitted before is examined on images that it may have seen."""
    stocked.params(split={"test": {"take": "fraction", "fraction": 0.3}})
    data.split(stocked.project, "digits")
    with pytest.raises(GateFailed, match="test images unseen by the fit 0, wanted at least 1"):
        _promote(stocked, version=2)


def test_a_version_that_serves_is_not_staged(stocked: Any) -> None:
    """It would be staged no more at once; the ledger and the version that is staged stay as they were."""
    before = _history(stocked)
    with pytest.raises(ParamsError, match="serves, so it cannot be staged"):
        _promote(stocked, version=_serves(stocked), to="staging")
    assert _history(stocked) == before


def test_whoever_comes_second_with_the_same_version_is_told_and_blocks_nobody(stocked: Any) -> None:
    """Two decisions for one version: the second finds the alias moved, and its entry ends as withdrawn."""
    memory = stocked.memory()
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
    waiting = Registry(memory).ledger.wait(proposal.entry, hours=1)
    assert _promote(stocked, version=2).outcome == "promoted"
    late = replace(proposal, entry=waiting, asks=True)
    with pytest.raises(BusyError):
        promotion.conclude(
            stocked.project, "digits", late, memory=memory, answer=promotion.Answer(True, by="Eve", reason="")
        )
    assert {entry.run_id: entry.outcome for entry in _history(stocked)}[waiting.run_id] == "withdrawn"
    assert stages.rollback(stocked.project, "digits", memory=memory).outcome == "rolled back"


def test_a_decision_against_another_champion_does_not_count(stocked: Any) -> None:
    """Who serves is looked at again right before the alias moves."""
    memory = stocked.memory()
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
    _client(stocked).set_registered_model_alias(NAME, "production", "3")
    with pytest.raises(BusyError, match="is version 3 now, the decision was made when it was 1"):
        promotion.conclude(stocked.project, "digits", proposal, memory=memory)
    assert _serves(stocked) == 3


class _Dying:
    """MLflow's client, which kills its process with SIGKILL instead of making its n-th call."""

    def __init__(self, client: Any, *, calls: int) -> None:
        self._client, self._left = client, calls

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return counted


def _killed_before(checkout: Any, calls: int) -> bool:
    """Promote version 2 in a process of its own, killed before this call of MLflow; return whether it was."""
    child = os.fork()
    if child == 0:
        try:
            memory = checkout.memory()
            memory.client = _Dying(memory.client, calls=calls)
            entry = Registry(memory).ledger.begin(
                "promote", stage="production", version=2, before=1, actor="Ada", reason=""
            )
            opened = promotion.opened(checkout.project, memory=memory)[1]
            opened.carry_out(entry, outcome="promoted", reason="")
        except BaseException:
            os._exit(9)
        os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


@pytest.mark.skipif(sys.platform == "win32", reason="fork and SIGKILL are Unix's")
def test_a_kill_between_any_two_calls_leaves_the_old_state_or_the_new_one(stocked: Any) -> None:
    """Whoever comes next completes what had moved and ends what had not; no call is left out."""
    calls, moved = 0, set()
    memory = stocked.memory()
    Registry(memory).ledger.entries()  # its experiment is there
    while _killed_before(stocked, calls):
        assert _serves(stocked) in {1, 2}
        served = _serves(stocked)
        _history(stocked)
        assert _serves(stocked) == served
        assert {entry.status for entry in _history(stocked)} <= {"FINISHED", "KILLED"}
        assert stages.faults(stocked.project, memory=stocked.memory()) == []
        told = _stages(_client(stocked))
        assert [number for number, stage in told.items() if stage == ("Production", "Production")] == [served]
        moved.add(served)
        if served == 2:
            stages.rollback(stocked.project, "digits", memory=stocked.memory())
        calls += 1
    assert moved == {1, 2}
    assert calls > 15
    assert _serves(stocked) == 2


def test_a_killed_promotion_is_completed_by_asking_again(stocked: Any) -> None:
    """The same command says what has become of it instead of refusing it, and a rollback is not done twice."""
    _promote(stocked, version=4, to="staging")
    memory = stocked.memory()
    registry, changes = promotion.opened(stocked.project, memory=memory)
    entry = changes.begin("promote", stage="production", version=2, reason="")
    registry.ledger.moving(entry, outcome="promoted")
    registry.stages.give("production", 2)
    registry.ledger._client.set_tag(entry.run_id, "process", f"{os.uname().nodename}/1/1.00")
    assert _promote(stocked, version=2).run_id == entry.run_id
    assert _promote(stocked, version=2).run_id == entry.run_id  # it serves already
    assert _stages(_client(stocked))[1] == ("Archived", "Archived")
