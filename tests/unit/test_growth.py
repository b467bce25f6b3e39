"""Growth is judged as it is told: time against linear, memory against 7,000 images or more, on images as asked for."""

from __future__ import annotations

import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from digits.data.idx import decode
from digits.data.snapshot import Snapshot, write_snapshot
from digits.data.sources import MnistSource, ingest
from digits.errors import DigitsError, MissingError, ParamsError
from digits.processes import private_bytes
from digits.project import Project
from digits.reference.benchmark import Machine
from digits.reference.distorted import BATCH_ROWS, distorted, publish
from digits.reference.growth import Growth, StepMeasured
from digits.settings import Settings
from digits.steps.data import ingest as ingest_step
from digits.steps.scale import _made_project, _measured, _refuse_oblong, _refuse_too_little_room

MACHINE = Machine("a processor", 2, 8.0, False, 0.0, {"python": "3.11"}, "2026-11-30")


def _growth(*found: tuple[int, float, int], batched: bool = True) -> Growth:
    """Return the growth of a step that took so many images, seconds and bytes."""
    step = "validate" if batched else "sgd"
    measured = [
        StepMeasured(
            step=step,
            n_images=n_images,
            seconds=2 * seconds,
            processor_seconds=seconds,
            start_bytes=50,
            peak_bytes=peak,
            batched=batched,
            iterations=None if batched else 10,
        )
        for n_images, seconds, peak in found
    ]
    return Growth(dataset="mnist", machine=MACHINE, measured=measured)


@pytest.mark.parametrize(
    ("growth", "complaints"),
    [
        (_growth((7_000, 1.0, 100), (70_000, 10.9, 109)), []),
        (_growth((7_000, 1.0, 100), (70_000, 3.0, 100), (700_000, 30.0, 100)), []),
        (
            _growth((7_000, 1.0, 100), (70_000, 3.0, 100), (700_000, 34.0, 100)),
            ["validate of 700,000 images takes 1.13 times what is linear"],
        ),
        (
            _growth((7_000, 1.0, 100), (70_000, 1.0, 106), (700_000, 1.0, 112)),
            ["validate of 700,000 images takes 1.12 times the memory"],
        ),
        (_growth((7_000, 1.0, 100), (70_000, 9.0, 1000), batched=False), []),
        (_growth((300, 1.0, 100), (900, 1.0, 200), (7_000, 1.0, 300), (14_000, 1.0, 310)), []),
        (_growth((7_000, 1.0, 100)), []),
    ],
    ids=["within", "start-up", "time", "creeping memory", "a fit", "less than a batch", "one"],
)
def test_what_grows_too_much_is_named(growth: Growth, complaints: list[str]) -> None:
    """Time is compared with the next fewer images, memory with the fewest of 7,000 or more, and a fit's may grow."""
    assert growth.complaints(limit=1.1) == complaints


def test_the_page_shows_each_step_with_its_ratios() -> None:
    """The table has a row per step and number of images, the machine above it."""
    page = _growth((7_000, 1.0, 100 << 20), (70_000, 5.0, 150 << 20), batched=False).as_markdown().splitlines()
    assert page[0].startswith("Output of `digits bench scale`, 2026-11-30: a processor, 2 cores")
    first = "| sgd, 10 iterations | 7,000 | 1.00 s | 2.00 s | 142.9 ms |  | 100 MiB | 0 MiB |  |"
    second = "| sgd, 10 iterations | 70,000 | 5.00 s | 10.00 s | 71.4 ms | 0.50 | 150 MiB | 0 MiB | 1.50 (may grow) |"
    assert page[-2:] == [first, second]


@pytest.fixture
def snapshot(tmp_path: Path) -> Snapshot:
    """Return ten images of 8 by 8 pixels up to 16, each digit once."""
    images = np.random.default_rng(0).integers(0, 17, (10, 8, 8), dtype=np.uint8)
    batches = [(images, np.arange(10, dtype=np.uint8))]
    return write_snapshot(tmp_path / "ten", dataset="ten", batches=batches, max_value=16, description={})


def test_more_images_begin_with_the_same(snapshot: Snapshot) -> None:
    """The seed decides the images, not how many there are; no two are alike, labels go with them."""
    (few, few_labels), *more = distorted(snapshot, n_images=25, seed=3)
    (first, labels), (rest, _) = distorted(snapshot, n_images=BATCH_ROWS + 5, seed=3)
    assert (more, len(first), len(rest)) == ([], BATCH_ROWS, 5)
    assert np.array_equal(first[:25], few)
    assert labels[:25].tolist() == few_labels.tolist() == [*range(10), *range(10), *range(5)]
    assert len(np.unique(few, axis=0)) == 25
    assert not np.array_equal(first[:5], rest)
    assert 200 < few.max() <= 255
    ((other, _),) = distorted(snapshot, n_images=25, seed=4)
    assert not np.array_equal(few, other)


def test_what_is_published_is_ingested(snapshot: Snapshot, tmp_path: Path) -> None:
    """The files and their card are a source like MNIST's, in as many parts as batches."""
    batches = list(distorted(snapshot, n_images=BATCH_ROWS + 5, seed=0))
    publish(iter(batches), title="ten, distorted", files=tmp_path / "files", card=tmp_path / "card")
    made = ingest(
        MnistSource(path=tmp_path / "card"), dataset="made", path=tmp_path / "made", mnist_dir=tmp_path / "files"
    )
    assert np.array_equal(made.images(), np.concatenate([images for images, _ in batches]))
    assert len(list((tmp_path / "files").iterdir())) == 4
    last = (tmp_path / "files" / "00001-labels-idx1-ubyte").read_bytes()
    assert decode(last, dimensions=1, name="last").tolist() == batches[1][1].tolist()


def test_too_little_room_is_one_line(tmp_path: Path) -> None:
    """Where the copies do not fit, that is said before anything is written."""
    with pytest.raises(MissingError, match=r"too little room in .*: \d+\.\d\d GB free, wanted 1000000000\.00 GB"):
        _refuse_too_little_room(tmp_path, n_bytes=1e18)


def test_oblong_images_are_refused(tmp_path: Path) -> None:
    """Images that are not square cannot be distorted, and one line says so."""
    batches = [(np.zeros((1, 8, 6), np.uint8), np.zeros(1, np.uint8))]
    oblong = write_snapshot(tmp_path / "o", dataset="oblong", batches=batches, max_value=16, description={})
    with pytest.raises(ParamsError, match="images of oblong are 8 x 6 pixels, wanted square ones"):
        _refuse_oblong(oblong)


def test_a_step_that_fails_says_why_in_one_line(
    snapshot: Snapshot, root: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The process of the step leaves its own line, without a traceback, and the error says where to look."""
    fit = Project(root=root).params("digits").fit
    section = Project(root=root).section("digits")
    made = _made_project(tmp_path / "made", snapshot, fit=fit, section=section, n_images=20)
    ingest_step(made, "distorted", settings=Settings(mnist_dir=made.root / "files"))
    with pytest.raises(DigitsError, match="validate of 20 images left with 1; see above"):
        _measured(made, "validate", n_images=20)
    said = capfd.readouterr().err
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("digits: snapshot distorted breaks ")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="told apart on Linux only")
def test_private_memory_is_that_of_arrays_not_of_mapped_files(tmp_path: Path) -> None:
    """An array counts, a file that is mapped and read does not, a process that has ended has none."""
    np.save(tmp_path / "mapped.npy", np.ones(32 << 20, np.uint8))
    before = private_bytes()
    mapped = np.load(tmp_path / "mapped.npy", mmap_mode="r")
    assert mapped.sum() == 32 << 20
    assert private_bytes() - before < 8 << 20
    # From the system itself: the allocator may have as much that was freed, and which counts already.
    array = np.frombuffer(mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE), np.uint8)
    array[:] = 1
    assert private_bytes() - before > 30 << 20
    assert private_bytes(os.getpid()) >= array.nbytes
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    assert private_bytes(ended.pid) == 0
