"""A person has to agree: the promotion pauses on a real Prefect server until somebody answers, or time is up."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import Any

import pytest

from digits.errors import GateFailed
from digits.registry.versions import Registry
from digits.steps import promotion, stages
from digits.steps.proposal import Answer
from tests.web import WEB


def _paused(url: str, process: Any) -> dict[str, Any]:
    """Return the flow run that waits for an answer."""
    query = {"flow_runs": {"state": {"type": {"any_": ["PAUSED"]}}, "name": {"like_": "promote digits"}}}
    for _ in range(1200):
        if found := WEB.post(f"{url}/flow_runs/filter", json=query).raise_for_status().json():
            paused: dict[str, Any] = found[0]
            return paused
        assert process.poll() is None, process.communicate()
        time.sleep(0.2)
    raise AssertionError("no promotion pauses")


def _form(url: str, run: dict[str, Any]) -> str:
    """Return what a person reads above the form; Prefect keeps it a moment after the run has paused."""
    keyset = run["state"]["state_details"]["run_input_keyset"]
    for _ in range(300):
        answered = WEB.get(f"{url}/flow_runs/{run['id']}/input/{keyset['description']}")
        if answered.status_code != 404:
            break
        time.sleep(0.2)
    return str(answered.raise_for_status().json())


def _serves(checkout: Any) -> int:
    return Registry(checkout.memory()).stages.holders()["production"]


def test_a_person_approves_in_the_prefect_ui(stocked: Any, prefect_url: str) -> None:
    """The form shows the gate's table; who waits holds nobody up; answer, name and reason go into the ledger."""
    stocked.params(promote={"approval": "required"})
    process = stocked.start("registry", "promote", "digits", "--version", "2", "--reason", "it is better")
    try:
        run = _paused(prefect_url, process)
        assert run["tags"] == ["digits-by-hand"], "its silence would tell nobody"
        assert "| better than the champion" in _form(prefect_url, run)
        assert _serves(stocked) == 1
        stocked.params(promote={"approval_hours": 0.0003})
        late = stocked.digits("registry", "promote", "digits", "--version", "3", "--json")
        assert late.returncode == 3
        said = json.loads(late.stdout)
        assert (said["outcome"], said["reason"]) == ("refused", "nobody refused: no answer within 0.0003 hours")
        assert said["gate"]["passed"] is True
        assert "nobody refused: no answer within 0.0003 hours" in late.stderr
        answer = {"answer": "approve", "name": "Ada", "reason": "looked at the sevens"}
        WEB.post(f"{prefect_url}/flow_runs/{run['id']}/resume", json={"run_input": answer}).raise_for_status()
        out, err = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.poll() == 0, err
    table, told = out.split("digits-classifier version 2: promoted (production)")
    assert "better than the champion" in table
    assert told.strip() == ""
    assert _serves(stocked) == 2
    entries = stages.history(stocked.project, memory=stocked.memory())
    asked = {entry.version: entry for entry in entries if entry.stage == "production"}
    assert (asked[2].approved_by, asked[2].approval_reason) == ("Ada", "looked at the sevens")
    assert (asked[2].outcome, asked[3].outcome) == ("promoted", "refused")


def test_whoever_closes_the_terminal_asks_no_longer(stocked: Any, prefect_url: str) -> None:
    """The question is shown as crashed at once, and nothing moves."""
    stocked.params(promote={"approval": "required"})
    process = stocked.start("registry", "promote", "digits", "--version", "2")
    try:
        run = _paused(prefect_url, process)
        os.kill(process.pid, signal.SIGHUP)
        _, err = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.poll() == 130, err
    assert "Traceback" not in err
    assert WEB.get(f"{prefect_url}/flow_runs/{run['id']}").json()["state_type"] == "CRASHED"
    assert _serves(stocked) == 1


def test_a_person_refuses(stocked: Any) -> None:
    """A refusal is one line with the name and the reason, and nothing moves; nobody asked is a refusal too."""
    stocked.params(promote={"approval": "required"})
    memory = stocked.memory()
    for answer, words in (
        (Answer(False, by="Ada", reason="not on Friday"), "Ada refused: not on Friday"),
        (None, "nobody"),
    ):
        proposal = promotion.propose(stocked.project, "digits", memory=memory, version=2)
        assert proposal.asks
        with pytest.raises(GateFailed, match=words):
            promotion.conclude(stocked.project, "digits", proposal, memory=memory, answer=answer)
    assert _serves(stocked) == 1
    refused, unasked = stages.history(stocked.project, memory=memory)[-2:]
    assert (refused.outcome, refused.approved_by, refused.approval_reason) == ("refused", "Ada", "not on Friday")
    assert (unasked.outcome, unasked.approved_by) == ("refused", "")


def test_without_a_server_nobody_can_be_asked(stocked: Any) -> None:
    """The plain command says in one line that a Prefect server is needed."""
    stocked.params(promote={"approval": "required"})
    done = stocked.digits("registry", "promote", "digits", "--version", "2", PREFECT_API_URL="")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "no Prefect server is there to ask on" in done.stderr
