"""Validation in a process of its own: silent, nothing sent, nothing left behind; MNIST keeps its contract."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import yaml

from digits.data.contract import ValidateParams, validate
from digits.data.sources import MnistSource, ingest

# Any attempt to reach another host is recorded and refused.
_SCRIPT = """
import socket, sys
from pathlib import Path
import numpy as np

tried = []
def refuse(*args, **kwargs):
    tried.append(args)
    raise OSError("no network here")
socket.getaddrinfo = socket.create_connection = socket.socket.connect = refuse

from digits.data.contract import ValidateParams, validate
from digits.data.snapshot import write_snapshot

heavy = {"great_expectations", "pandas", "matplotlib", "tensorflow"} & set(sys.modules)
assert not heavy, heavy
folder = Path(sys.argv[1])
images = np.zeros((20, 28, 28), np.uint8)
images[:, 4:24, 9:19] = np.random.default_rng(0).integers(128, 256, (20, 20, 10))
labels = np.tile(np.arange(10, dtype=np.uint8), 2)
snapshot = write_snapshot(
    folder / "s", dataset="mine", batches=[(images, labels)], max_value=255, description={}
)
validate(snapshot, params=ValidateParams(), path=folder / "v", docs=folder / "docs")
assert tried == [], tried
"""


def test_validation_is_silent_sends_nothing_and_leaves_nothing(tmp_path: Path, root: Path) -> None:
    """Without any setting: no line on either stream, no connection, no file in the home or temporary folder."""
    for name in ("home", "tmp", "work"):
        (tmp_path / name).mkdir()
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, str(tmp_path / "work")],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path / "home"),
            "TMPDIR": str(tmp_path / "tmp"),
            "PYTHONPATH": str(root),
        },
        cwd=tmp_path / "work",
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert sorted(path.name for path in (tmp_path / "work").iterdir()) == ["docs", "s", "v"]
    assert [path for name in ("home", "tmp") for path in (tmp_path / name).rglob("*") if path.is_file()] == []


def test_mnist_keeps_the_contract_in_seconds(tmp_path: Path, root: Path, mnist_dir: Path) -> None:
    """All 70,000 images keep every rule of the project's own params; far below ten seconds on a busy machine."""
    content = yaml.safe_load((root / "params.yaml").read_text(encoding="utf-8"))["datasets"]["mnist"]
    source = MnistSource.model_validate(content["ingest"])
    snapshot = ingest(source, dataset="mnist", path=tmp_path / "s", root=root, mnist_dir=mnist_dir)
    params = ValidateParams.model_validate(content["validate"])
    import great_expectations  # noqa: F401  its import is not what is timed

    start = time.perf_counter()
    report = validate(snapshot, params=params, path=tmp_path / "v", docs=tmp_path / "docs")
    assert time.perf_counter() - start < 10
    assert report.success
    assert all(rule.passed for rule in report.rules)
