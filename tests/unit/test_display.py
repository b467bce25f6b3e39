"""What a person sees while a run goes on."""

from __future__ import annotations

import re

import pytest

from digits.cli.display import events_shown
from digits.events import report


def test_work_that_is_tried_again_starts_its_clock_anew(capsys: pytest.CaptureFixture[str]) -> None:
    """The seconds of a second try are its own, not counted from anything of the first one."""
    with events_shown():
        for state in ("running", "failed", "running", "done"):
            report("fit", subject="svm", state=state)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[2] for line in lines] == ["failed", "done"]
    assert all(float(re.search(r"([\d.]+) s", line)[1]) < 1 for line in lines)  # type: ignore[index]
