"""Not a test: ``log_at_once.py STORE FOLDER`` logs what eight families log, each in a process, all at once."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from pathlib import Path
from typing import Any

import mlflow  # noqa: F401, TID253 - imported once, for all processes
import numpy as np

from digits.data.snapshot import Snapshot
from digits.experiments.candidate import Candidate
from digits.experiments.fingerprint import Fingerprint
from digits.experiments.metrics import score
from digits.experiments.tracking import Tracking

FAMILIES, EPOCHS = 8, 50


def main(uri: str, folder: Path) -> int:
    """Start the processes, wait for them, and return how many have failed."""
    context = multiprocessing.get_context("fork")  # nothing here has a thread yet
    start = context.Barrier(FAMILIES)
    processes = [
        context.Process(
            target=log_family, args=(f"family_{number}",), kwargs={"uri": uri, "folder": folder, "start": start}
        )
        for number in range(FAMILIES)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return sum(process.exitcode != 0 for process in processes)


def log_family(family: str, *, uri: str, folder: Path, start: Any) -> None:
    """Log what a fit of a family logs; the store may be empty before the first one opens it."""
    candidate = _candidate(family, folder / family)
    snapshot = Snapshot(folder, "digits", digest="0" * 64, n_samples=4, height=8, width=8, max_value=16)
    start.wait()
    try:
        memory = Tracking(uri, dataset="digits", artifacts=folder / "artifacts")
        run_id = memory.start_candidate_run(
            parent=None, snapshot=snapshot, n_samples=4, fingerprint=candidate.fingerprint, tags={"wave": "1"}
        )
        with memory.finishing(run_id):
            memory.log_candidate(candidate, run_id=run_id)
    except BaseException:
        traceback.print_exc()
        raise


def _candidate(family: str, folder: Path) -> Candidate:
    (folder / "model").mkdir(parents=True)
    (folder / "model" / "model.bin").write_bytes(family.encode() * 1000)
    (folder / "validation_proba.npy").write_bytes(b"0" * 1000)
    params = {f"param_{number}": number for number in range(10)}
    return Candidate(
        path=folder,
        dataset="digits",
        family=family,
        fingerprint=Fingerprint("0" * 64, family, params, seed=0, code={}, libraries={}, members={}),
        digest="1" * 64,
        proba_digest="2" * 64,
        validation=score([0, 0, 1, 2], np.eye(3)[[0, 1, 1, 2]] * 0.7 + 0.1, classes=[0, 1, 2]),
        fold_accuracies=[1.0],
        history={curve: np.linspace(1, 0, EPOCHS).tolist() for curve in ("loss", "accuracy", "val_loss")},
        fit_seconds=1.0,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2])))
