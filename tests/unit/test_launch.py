"""Another's program, started so that it loads fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from digits.settings import GARBAGE_THRESHOLD

PROGRAM = "import gc, json, sys\nprint(json.dumps([__name__, sys.argv, gc.get_threshold()[0]]))\n"


def test_a_program_is_called_as_ever_and_looks_for_garbage_seldom(root: Path, tmp_path: Path) -> None:
    """It is the main program, and finds its arguments."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "digits.launch", "program", "--port", "1"],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == ["__main__", ["program", "--port", "1"], GARBAGE_THRESHOLD]
