"""Measuring how the steps grow with the number of images, each in a process of its own, in a project made for it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from threadpoolctl import threadpool_limits

from digits.data.snapshot import Snapshot
from digits.data.sources import MnistSource
from digits.data.sources import ingest as ingest_source
from digits.dataset_params import FitParams
from digits.errors import DigitsError, MissingError, ParamsError
from digits.events import report
from digits.files import write_json
from digits.models.features import features
from digits.models.linear import LogisticRegression, Sgd
from digits.processes import private_bytes
from digits.project import PARAMS, Project
from digits.reference.benchmark import Machine
from digits.reference.distorted import BATCH_ROWS, distorted, publish
from digits.reference.growth import Growth, StepMeasured
from digits.settings import ONE_THREAD, Settings, environment_without
from digits.steps.data import ingest, validate

__all__ = ["BATCHED", "measure", "scale"]

#: The steps that go through the images batch by batch, in the order of the line.
BATCHED = ("ingest", "validate", "features")

#: The dataset of the project that is made: its one name.
_DATASET = "distorted"

#: What a step took, in the folder of the project that is made.
_TOLD = "took.json"

#: How often the memory of a step is looked at.
_SAMPLE_SECONDS = 0.01

#: Of MNIST's images, every seventh is a test image: the last ones.
_TEST_SHARE = 7

#: Space for the images twice, as source and as snapshot, and a tenth for what lies beside them.
_COPIES = 2.1


def scale(project: Project, dataset: str, *, images: Sequence[int], settings: Settings) -> Growth:
    """Measure ingest, validate, features and the linear families for several numbers of images.

    Parameters
    ----------
    project, dataset
        Whose images are distorted, and whose params the families have, but for `copies`.
    images
        The numbers of images.
    settings
        Where the files of MNIST may lie.

    Raises
    ------
    MissingError
        The dataset's images are not here, or there is too little room for the copies.
    ParamsError
        The dataset's images are not square.
    DigitsError
        A step did not end well; a process of its own did it, and said on standard error why.
    """
    fit = project.params(dataset).fit
    families = [name for name, family in fit.families.items() if isinstance(family, LogisticRegression | Sgd)]
    machine = Machine.here()
    measured = []
    with tempfile.TemporaryDirectory(prefix="digits-scale-") as folder:
        work = Path(folder)
        source = _source(project, dataset, settings=settings, work=work)
        _refuse_oblong(source)
        _refuse_too_little_room(work, n_bytes=_COPIES * max(images) * source.height * source.width)
        for n_images in sorted(set(images)):
            made = _made_project(
                work / str(n_images), source, fit=fit, section=project.section(dataset), n_images=n_images
            )
            measured += [_measured(made, step, n_images=n_images) for step in (*BATCHED, *families)]
            shutil.rmtree(made.root)
    return Growth(dataset=dataset, machine=machine, measured=measured)


def _source(project: Project, dataset: str, *, settings: Settings, work: Path) -> Snapshot:
    """Return the images to distort: the project's snapshot, or one that is ingested for it without a network."""
    if project.snapshot(dataset).exists():
        return Snapshot.load(project.snapshot(dataset))
    params = project.params(dataset).ingest
    if isinstance(params, MnistSource) and settings.mnist_dir is None:
        raise MissingError(
            f"no images of {dataset}: there is no snapshot in {project.snapshot(dataset)}, and DIGITS_MNIST_DIR names "
            f"no folder; set it, or run `digits ingest {dataset}`"
        )
    return ingest_source(params, dataset=dataset, path=work / "source", root=project.root, mnist_dir=settings.mnist_dir)


def _refuse_oblong(source: Snapshot) -> None:
    if source.height != source.width:
        raise ParamsError(
            f"images of {source.dataset} are {source.height} x {source.width} pixels, wanted square ones, which are "
            "distorted as the networks' are; choose another --dataset"
        )


def _refuse_too_little_room(work: Path, *, n_bytes: float) -> None:
    if (free := shutil.disk_usage(work).free) < n_bytes:
        raise MissingError(
            f"too little room in {work.parent}: {free / 1e9:.2f} GB free, wanted {n_bytes / 1e9:.2f} GB for the most "
            "images; ask for fewer with --images, or set TMPDIR to a folder with more room"
        )


def _made_project(root: Path, source: Snapshot, *, fit: FitParams, section: dict[str, Any], n_images: int) -> Project:
    """Return a project whose one dataset is so many distorted images, published in files as MNIST is."""
    report(f"{n_images:,}", subject="distort", state="running")
    files, card = root / "files", Path("data", "sources", _DATASET)
    title = f"{source.dataset}, distorted"
    publish(distorted(source, n_images=n_images, seed=fit.seed), title=title, files=files, card=root / card)
    n_test = max(1, n_images // _TEST_SHARE)
    frame = {"height": source.height, "width": source.width}
    made = {
        "ingest": {"source": "mnist", "path": str(card)},
        "validate": {"rows": [n_images, n_images], **frame, "test_rows": n_test},
        "split": {**section["split"], "test": {"take": "last", "rows": n_test}},
        "evaluate": {},
    }
    content = {"datasets": {_DATASET: {**section, **made}}}
    (root / PARAMS).write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    report(f"{n_images:,}", subject="distort", state="done")
    return Project(root=root)


def _measured(project: Project, step: str, *, n_images: int) -> StepMeasured:
    """Do a step in a process of its own and look at its private memory until it ends."""
    report(f"{n_images:,}", subject=step, state="running")
    code = "import sys; from digits.steps.scale import measure; measure(*sys.argv[1:])"
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(project.root), step],
        env=environment_without(()) | ONE_THREAD | {"DIGITS_MNIST_DIR": str(project.root / "files")},
        stdout=subprocess.DEVNULL,  # nobody reads it; ours may be JSON
    )
    peak = 0
    try:
        while process.poll() is None:
            peak = max(peak, private_bytes(process.pid))
            time.sleep(_SAMPLE_SECONDS)
    finally:
        process.kill()
        process.wait()
    if process.returncode:
        report(f"{n_images:,}", subject=step, state="failed", detail="see above")
        raise DigitsError(
            f"{step} of {n_images:,} images left with {process.returncode}; see above, or was there no memory left?"
        )
    told = json.loads((project.root / _TOLD).read_text(encoding="utf-8"))
    peak = max(peak, told.pop("end_bytes"), told["start_bytes"])  # a short step ends between two looks
    found = StepMeasured(step=step, n_images=n_images, peak_bytes=peak, batched=step in BATCHED, **told)
    detail = f"{found.processor_seconds:.1f} s of the processor, {peak >> 20} MiB"
    report(f"{n_images:,}", subject=step, state="done", detail=detail)
    return found


def measure(root: str, step: str) -> None:
    """Do a step on the project's dataset and write down what it took: what a new process does.

    What `DigitsError` says is one line on standard error, and the process leaves with its exit code.
    """
    project = Project(root=Path(root))
    try:
        write_json(project.root / _TOLD, _took(project, step))
    except DigitsError as error:
        sys.stderr.write(f"digits: {' '.join(str(error).split())}\n")
        sys.exit(error.exit_code)


def _took(project: Project, step: str) -> dict[str, Any]:
    work = _loaded(project, step)
    start_bytes = private_bytes()
    start, used = time.perf_counter(), time.process_time()
    done = work()
    return {
        "seconds": time.perf_counter() - start,
        "processor_seconds": time.process_time() - used,
        "start_bytes": start_bytes,
        "end_bytes": private_bytes(),
        "iterations": None if step in BATCHED else done,
    }


def _loaded(project: Project, step: str) -> Callable[[], object]:
    """Return what does the step, after all libraries that it needs have been loaded."""
    fit = project.params(_DATASET).fit
    if step == "ingest":
        return partial(ingest, project, _DATASET, settings=Settings.load(project.root))
    if step == "validate":
        import great_expectations  # noqa: F401 - its import is not what is timed

        return partial(validate, project, _DATASET)
    snapshot = Snapshot.load(project.snapshot(_DATASET))
    if step == "features":
        return partial(_features, snapshot)
    from digits.experiments.fitting import refuse_too_few_rows

    refuse_too_few_rows(fit.families[step], n_rows=len(snapshot.labels()))
    return partial(_fit, snapshot, fit=fit, family=step)


def _features(snapshot: Snapshot) -> None:
    """Learn from all images, then compute the features of one batch after the other."""
    images = snapshot.images()
    transformer: Any = features("hog").fit(images)
    for start in range(0, len(images), BATCH_ROWS):
        transformer.transform(images[start : start + BATCH_ROWS])


def _fit(snapshot: Snapshot, *, fit: FitParams, family: str) -> int:
    """Fit a family to all images and return how many iterations its solver took."""
    params = fit.families[family].model_copy(update={"copies": 0})  # as many images as the table says
    with threadpool_limits(limits=params.threads):
        estimator: Any = params.build(seed=fit.seed).fit(snapshot.images(), np.asarray(snapshot.labels()))
    return int(np.max(estimator[-1].n_iter_))
