"""Another's program, started so that it loads fast."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from digits.settings import GARBAGE_THRESHOLD

#: Prints how it was called, and what a worker process that it starts has loaded.
PROGRAM = """
import gc, json, multiprocessing, sys
sys.stderr.write("loaded ")
if __name__ == "__main__":
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        length = pool.apply(len, ["seven"])
    print(json.dumps([sys.argv, gc.get_threshold()[0], length]))
"""


def test_a_program_is_called_as_ever_and_its_workers_do_not_load_it(root: Path, tmp_path: Path) -> None:
    """It finds its arguments and is the main program; it is loaded once, and garbage is looked for seldom."""
    (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "digits.launch", "program", "--port", "1"],
        env={"PYTHONPATH": f"{tmp_path}:{root}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == "loaded "
    assert json.loads(done.stdout) == [["program", "--port", "1"], GARBAGE_THRESHOLD, 5]
