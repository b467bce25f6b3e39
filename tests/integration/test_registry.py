"""The registry's commands and who may do what when, with real MLflow on SQLite; `test_registry_stores` has the rest."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import mlflow  # noqa: TID253 - every test here needs it
import pytest
import yaml

from digits.errors import BusyError, GateFailed, MissingError, ParamsError
from digits.files import only_one
from digits.registry.history import holder_at
from digits.registry.versions import Registry
from digits.steps import data, promotion, registration, stages
from digits.steps.proposal import Answer
from tests.versions import NAME, damaged, evaluated, history, model_file, promote, serves, told


def test_a_better_challenger_is_promoted(stocked: Any) -> None:
    """The alias, the tag and MLflow's own stage agree, the old version is archived, and the ledger says why."""
    done = stocked.digits("registry", "promote", "digits", "--version", "2", "--reason", "spring", DIGITS_ACTOR="Ada")
    assert done.returncode == 0, done.stderr
    assert "FutureWarning" not in done.stderr
    assert "digits-classifier version 2: promoted (production)" in done.stdout
    for words in ("better than the champion", "validated snapshot", "times less time", "not met"):
        assert words in done.stdout
    assert serves(stocked) == 2
    stage = told(stocked)
    assert (stage[1], stage[2], stage[4]) == (("Archived",) * 2, ("Production",) * 2, ("Staging",) * 2)
    entry = history(stocked)[-1]
    assert (entry.version, entry.before, entry.actor, entry.reason) == (2, 1, "Ada", "spring")
    assert (entry.outcome, entry.status) == ("promoted", "FINISHED")
    table = mlflow.artifacts.load_dict(f"{stocked.memory().client.get_run(entry.run_id).info.artifact_uri}/gate.json")
    assert table["passed"] is True
    assert len(table["criteria"]) >= 11


def test_who_was_in_production_can_be_told(stocked: Any) -> None:
    """For any moment since the first version, also through the command, which is told a wrong time in one line."""
    start = datetime.now(UTC)
    promote(stocked, version=2)
    middle = datetime.now(UTC)
    back = stocked.digits("registry", "rollback", "digits", "--reason", "it takes sevens for ones")
    assert back.returncode == 0, back.stderr
    entries = history(stocked)
    moments = {start: 1, middle: 2, datetime.now(UTC): 1}
    assert {moment: holder_at(entries, moment).version for moment in moments} == moments
    assert holder_at(entries, start - timedelta(days=1)) is None
    at = stocked.digits("registry", "history", "digits", "--at", middle.isoformat())
    assert at.stdout.startswith("version 2 was in production (promoted")
    wrong = stocked.digits("registry", "history", "digits", "--at", "spring")
    assert (wrong.returncode, wrong.stderr.count("\n")) == (1, 1)


def test_changed_code_in_a_package_is_found(stocked: Any) -> None:
    """The code by which MLflow serves a version is held against its digest too: by `verify`, and before promotion."""
    served = model_file(stocked, 2).parents[2] / "served.py"
    served.write_bytes(served.read_bytes() + b"# more\n")
    with pytest.raises(MissingError, match="the files of digits-classifier version 2 were changed"):
        promote(stocked, version=2)
    (fault,) = stages.faults(stocked.project, memory=stocked.memory())
    assert "version 2 were changed" in fault


def test_a_version_that_somebody_archived_is_not_rolled_back_to(stocked: Any) -> None:
    """Out of use is out of use; promoted again, it counts again."""
    promote(stocked, version=2)
    stages.archive(stocked.project, "digits", version=1, memory=stocked.memory())
    with pytest.raises(MissingError, match="served before version 2"):
        stages.rollback(stocked.project, "digits", memory=stocked.memory())
    assert serves(stocked) == 2
    promote(stocked, version=1, force=True, reason="it was right after all")
    assert stages.rollback(stocked.project, "digits", memory=stocked.memory()).version == 2


def test_two_processes_that_promote_at_once_leave_one_answer(stocked: Any) -> None:
    """Each ends with its own word: done, or that another is under way; alias and ledger agree afterwards."""
    both = [stocked.start("registry", "promote", "digits", "--version", str(version)) for version in (2, 3)]
    said = [command.communicate(timeout=200) for command in both]
    codes = [command.poll() for command in both]
    assert codes.count(0) == 1, said
    (other,) = (code for code in codes if code != 0)
    lines = "".join(err for _, err in said)
    assert (other == 1 and "under way" in lines) or (other == 3 and "the champion stays" in lines), said
    assert serves(stocked) == (2, 3)[codes.index(0)]
    assert stages.faults(stocked.project, memory=stocked.memory()) == []
    assert all(not entry.is_open for entry in history(stocked))


def test_a_version_can_be_archived_unless_it_serves(stocked: Any) -> None:
    """It is staged no more; the one in production is refused with what to do instead."""
    refused = stocked.digits("registry", "archive", "digits", "--version", "1")
    assert refused.returncode == 1
    assert "promote another version, or `digits registry rollback digits`" in refused.stderr
    done = stocked.digits("registry", "archive", "digits", "--version", "4")
    assert done.returncode == 0, done.stderr
    assert told(stocked)[4] == ("Archived", "Archived")
    with pytest.raises(MissingError, match="no version of digits-classifier is staged"):
        promote(stocked)
    listed = yaml.safe_load(stocked.digits("registry", "list", "digits", "--json").stdout)
    assert [item["stage"] for item in listed] == ["Archived", "None", "None", "Production"]
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_two_promotions_at_once_one_wins(stocked: Any) -> None:
    """On one host the lock tells the other; from elsewhere the older entry of the ledger does."""
    with (
        only_one(stocked.project.lock("digits", "promotion", "production")),
        pytest.raises(BusyError, match="another promotion of digits is under way here"),
    ):
        promote(stocked, version=2)
    ledger = Registry(stocked.memory()).ledger
    elsewhere = ledger.begin("promote", stage="production", version=3, before=1, actor="Bob", reason="")
    ledger._client.set_tag(elsewhere.run_id, "process", "another-host/7/1.00")
    with pytest.raises(BusyError, match="the promote of version 3 of digits by Bob is under way"):
        promote(stocked, version=2)
    assert history(stocked)[-1].outcome == "withdrawn"
    ledger._client.set_tag(elsewhere.run_id, "deadline", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert promote(stocked, version=2).outcome == "promoted"
    assert {entry.run_id: entry.outcome for entry in history(stocked)}[elsewhere.run_id] == "abandoned"


def test_a_rollback_waits_for_no_promotion(stocked: Any) -> None:
    """What is wrong in production ends at once; whoever examines a challenger meanwhile, anywhere, learns of it."""
    promote(stocked, version=2)
    memory = stocked.memory()
    ledger = Registry(memory).ledger
    elsewhere = ledger.begin("promote", stage="production", version=4, before=2, actor="Bob", reason="")
    ledger._client.set_tag(elsewhere.run_id, "process", "another-host/7/1.00")
    with only_one(stocked.project.lock("digits", "promotion", "production")):  # as in an examination
        assert stages.rollback(stocked.project, "digits", memory=memory).version == 1
    assert serves(stocked) == 1
    _, changes = promotion.opened(stocked.project, memory=memory)
    with (
        changes.alone(),
        pytest.raises(BusyError, match=r"the rollback of version 1 of digits by .+ came in between"),
        changes.recorded(elsewhere),
    ):
        changes.carry_out(elsewhere, outcome="promoted", reason="")
    assert serves(stocked) == 1


@pytest.mark.parametrize("gave", [False, True], ids=["announced", "moved"])
def test_a_rollback_over_what_died_elsewhere_goes_back(stocked: Any, gave: bool) -> None:
    """Whether the alias had moved or not when the promotion died, it goes back, and the ledger says what was."""
    memory = stocked.memory()
    promote(stocked, version=2)
    registry, _ = promotion.opened(stocked.project, memory=memory)
    ledger = registry.ledger
    dead = ledger.begin("promote", stage="production", version=3, before=2, actor="Bob", reason="")
    ledger._client.set_tag(dead.run_id, "process", "another-host/7/1.00")
    ledger.moving(dead, outcome="promoted", reason="", known=ledger.entries())
    if gave:
        registry.stages.give("production", 3)
    served = datetime.now(UTC)
    assert stages.rollback(stocked.project, "digits", memory=memory).version == (2 if gave else 1)
    ledger._client.set_tag(dead.run_id, "deadline", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    entries = history(stocked)
    assert {entry.run_id: entry.outcome for entry in entries}[dead.run_id] == ("promoted" if gave else "abandoned")
    held = holder_at(entries, served)
    assert held is not None
    assert held.version == (3 if gave else 2)
    assert stages.faults(stocked.project, memory=memory) == []


def test_what_died_before_it_moved_is_not_proven_by_a_later_change(stocked: Any) -> None:
    """A rollback to the version that a dead promotion was to give: that one is abandoned, and the next goes further."""
    memory = stocked.memory()
    promote(stocked, version=2)
    promote(stocked, version=3, force=True, reason="to see")
    registry, _ = promotion.opened(stocked.project, memory=memory)
    dead = registry.ledger.begin("promote", stage="production", version=2, before=3, actor="Bob", reason="")
    registry.ledger._client.set_tag(dead.run_id, "process", "another-host/7/1.00")
    registry.ledger.moving(dead, outcome="promoted", reason="", known=registry.ledger.entries())
    assert stages.rollback(stocked.project, "digits", memory=memory).version == 2
    registry.ledger._client.set_tag(dead.run_id, "deadline", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    assert {entry.run_id: entry.outcome for entry in history(stocked)}[dead.run_id] == "abandoned"
    assert stages.rollback(stocked.project, "digits", memory=memory).version == 1
    assert stages.faults(stocked.project, memory=memory) == []


def test_a_promotion_that_was_taken_back_is_not_reported_as_done(stocked: Any) -> None:
    """It died elsewhere after it had moved, and was rolled back: asked for again, the gate is asked again."""
    memory = stocked.memory()
    registry, _ = promotion.opened(stocked.project, memory=memory)
    promote(stocked, version=2)
    dead = registry.ledger.begin("promote", stage="production", version=3, before=2, actor="Bob", reason="")
    registry.ledger._client.set_tag(dead.run_id, "process", "another-host/7/1.00")
    registry.ledger.moving(dead, outcome="promoted", reason="", known=registry.ledger.entries())
    registry.stages.give("production", 3)
    assert stages.rollback(stocked.project, "digits", memory=memory).version == 2
    registry.ledger._client.set_tag(dead.run_id, "deadline", (datetime.now(UTC) - timedelta(hours=1)).isoformat())
    with pytest.raises(GateFailed, match="the champion stays"):
        promote(stocked, version=3)
    assert serves(stocked) == 2


def test_a_version_that_was_put_in_production_by_hand_is_not_replaced(stocked: Any) -> None:
    """Damaged as it is, nothing takes its place without the gate: the ledger knows of another champion."""
    memory = stocked.memory()
    memory.client.set_registered_model_alias(NAME, "production", "4")
    with damaged(stocked, 4):
        evaluation = evaluated(stocked, "extra_trees", memory=memory)
        made = registration.register(stocked.project, "digits", memory=memory, evaluation=evaluation)
    assert made.version == 5
    assert serves(stocked) == 4
    assert any("somebody moved it by hand" in line for line in stages.faults(stocked.project, memory=memory))


def test_the_champion_of_the_ledger_is_not_archived(stocked: Any) -> None:
    """Nor where somebody has taken its alias away: what comes next is still held against it."""
    memory = stocked.memory()
    memory.client.delete_registered_model_alias(NAME, "production")
    with pytest.raises(ParamsError, match="serves and cannot be archived"):
        stages.archive(stocked.project, "digits", version=1, memory=memory)


def test_a_stage_that_was_set_by_hand_is_reported_and_put_right(stocked: Any) -> None:
    """MLflow's own field and the tag say what the aliases say, or `verify` names the version."""
    client = stocked.memory().client
    assert stages.faults(stocked.project, memory=stocked.memory()) == []
    with pytest.warns(FutureWarning):
        client.transition_model_version_stage(NAME, "3", "Production")
    client.set_model_version_tag(NAME, "2", "stage", "Staging")
    said = stages.faults(stocked.project, memory=stocked.memory())
    assert [line.partition(": somebody")[0] for line in said] == [
        f"version 3 of {NAME} is in the stage None, but MLflow's own stage says Production",
        f"version 2 of {NAME} is in the stage None, but its tag `stage` says Staging",
    ]
    promote(stocked, version=2)
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


def test_a_champion_that_somebody_deleted_can_be_replaced_by_force(stocked: Any) -> None:
    """There is nothing to compare with, so it takes a reason; then production is held again."""
    stocked.memory().client.delete_model_version(NAME, "1")
    with pytest.raises(MissingError, match="the champion cannot be examined: no version 1 of digits-classifier"):
        promote(stocked, version=2)
    done = promote(stocked, version=2, force=True, reason="the first was deleted")
    assert (done.outcome, done.reason) == ("forced", "the first was deleted")
    assert serves(stocked) == 2
    assert stages.faults(stocked.project, memory=stocked.memory()) == []


@pytest.mark.parametrize("meanwhile", ["archived", "back and forth", "damaged", "other bounds", "new split"])
def test_an_approval_counts_for_what_was_shown(stocked: Any, meanwhile: str) -> None:
    """What was archived, overtaken, damaged or asked for more meanwhile does not serve by an old answer."""
    stocked.params(promote={"approval": "required"})
    memory = stocked.memory()
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
    proposal = promotion.wait_for_answer(proposal, memory=memory, hours=1)
    stocked.params(promote={"approval": "none"})
    if meanwhile == "archived":
        stages.archive(stocked.project, "digits", version=2, memory=memory)
    elif meanwhile == "back and forth":
        promote(stocked, version=3, force=True, reason="to see")
        stages.rollback(stocked.project, "digits", memory=memory)
    elif meanwhile == "other bounds":
        stocked.params(promote={"minimum_recall": 0.31})
    elif meanwhile == "new split":
        stocked.params(split={"validation": {"take": "fraction", "fraction": 0.3}})
        data.split(stocked.project, "digits")
    else:
        model = model_file(stocked, 2)
        model.write_bytes(model.read_bytes()[:-1])
    before = serves(stocked)
    with pytest.raises((BusyError, MissingError)):
        promotion.conclude(
            stocked.project, "digits", proposal, memory=memory, answer=Answer(True, by="Ada", reason="fine")
        )
    assert serves(stocked) == before == 1
    asked = next(entry for entry in history(stocked) if entry.run_id == proposal.entry.run_id)
    assert (asked.outcome, asked.approved_by) == ("refused" if meanwhile == "damaged" else "withdrawn", "Ada")


def test_a_version_that_has_learned_from_the_test_images_is_refused(stocked: Any) -> None:
    """After another split, what was fitted before is examined on images that it may have seen."""
    stocked.params(split={"test": {"take": "fraction", "fraction": 0.3}}, validate={"test_rows": None})
    data.validate(stocked.project, "digits")
    data.split(stocked.project, "digits")
    with pytest.raises(GateFailed, match="test images unseen by the fit 0, wanted at least 1"):
        promote(stocked, version=2)


def test_a_version_that_serves_is_not_staged(stocked: Any) -> None:
    """It would be staged no more at once; the ledger and the version that is staged stay as they were."""
    before = history(stocked)
    with pytest.raises(ParamsError, match="serves, so it cannot be staged"):
        promote(stocked, version=serves(stocked), to="staging")
    assert history(stocked) == before


def test_whoever_comes_second_with_the_same_version_is_told_and_blocks_nobody(stocked: Any) -> None:
    """Two decisions for one version: the second finds the alias moved, and its entry ends as withdrawn."""
    memory = stocked.memory()
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
    waiting = Registry(memory).ledger.wait(proposal.entry, hours=1)
    assert promote(stocked, version=2).outcome == "promoted"
    late = replace(proposal, entry=waiting, asks=True)
    with pytest.raises(BusyError):
        promotion.conclude(stocked.project, "digits", late, memory=memory, answer=Answer(True, by="Eve", reason=""))
    assert {entry.run_id: entry.outcome for entry in history(stocked)}[waiting.run_id] == "withdrawn"
    assert stages.rollback(stocked.project, "digits", memory=memory).outcome == "rolled back"


def test_a_decision_against_another_champion_does_not_count(stocked: Any) -> None:
    """Who serves is looked at again right before the alias moves."""
    memory = stocked.memory()
    proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
    stocked.memory().client.set_registered_model_alias(NAME, "production", "3")
    with pytest.raises(BusyError, match="is version 3 now, the decision was made when it was 1"):
        promotion.conclude(stocked.project, "digits", proposal, memory=memory)
    assert serves(stocked) == 3


def test_a_killed_promotion_is_completed_by_asking_again(stocked: Any) -> None:
    """The same command says what has become of it instead of refusing it, and a rollback is not done twice."""
    promote(stocked, version=4, to="staging")
    memory = stocked.memory()
    registry, changes = promotion.opened(stocked.project, memory=memory)
    entry = changes.begin("promote", stage="production", version=2, reason="")
    registry.ledger.moving(entry, outcome="promoted", reason="", known=registry.ledger.entries())
    registry.stages.give("production", 2)
    registry.ledger._client.set_tag(entry.run_id, "process", f"{os.uname().nodename}/1/1.00")
    assert promote(stocked, version=2).run_id == entry.run_id
    assert promote(stocked, version=2).run_id == entry.run_id  # it serves already
    assert told(stocked)[1] == ("Archived", "Archived")


def test_a_killed_archiving_of_a_deleted_version_blocks_nobody(stocked: Any) -> None:
    """What cannot say any more that it is out of use is out of use; every other command works on."""
    registry, changes = promotion.opened(stocked.project, memory=stocked.memory())
    entry = changes.begin("archive", stage="archived", version=3, reason="")
    registry.ledger.moving(entry, outcome="archived", reason="", known=registry.ledger.entries())
    registry.ledger._client.set_tag(entry.run_id, "process", f"{os.uname().nodename}/1/1.00")
    stocked.memory().client.delete_model_version(NAME, "3")
    assert history(stocked)[-1].outcome == "archived"
    assert promote(stocked, version=2).outcome == "promoted"
