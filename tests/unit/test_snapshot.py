"""Promises of digits/data/snapshot.py."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from digits.data.snapshot import Snapshot, write_snapshot
from digits.errors import MissingError

Arrays = tuple[NDArray[np.uint8], NDArray[np.uint8]]


@pytest.fixture
def arrays() -> Arrays:
    """Return 30 images of 4 by 5 pixels and their labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 17, size=(30, 4, 5), dtype=np.uint8), np.arange(30, dtype=np.uint8) % 10


def write(path: Path, arrays: Arrays, *, source: str = "a test") -> Snapshot:
    """Write a snapshot of `arrays`."""
    images, labels = arrays
    return write_snapshot(
        path, dataset="tiny", batches=[(images, labels)], max_value=16, description={"source": source}
    )


def test_a_snapshot_is_read_back_as_it_was_written(tmp_path: Path, arrays: Arrays) -> None:
    """Arrays and description survive the round trip, and the digest holds."""
    snapshot = write(tmp_path / "tiny", arrays)

    assert Snapshot.load(tmp_path / "tiny") == snapshot
    assert (snapshot.n_samples, snapshot.height, snapshot.width, snapshot.max_value) == (30, 4, 5, 16)
    assert np.array_equal(snapshot.images(), arrays[0])
    assert np.array_equal(snapshot.labels(), arrays[1])
    snapshot.verify()


def test_arrays_are_mapped_and_cannot_be_changed(tmp_path: Path, arrays: Arrays) -> None:
    """Images and labels stay on disk until they are read, and nobody changes them by accident."""
    snapshot = write(tmp_path / "tiny", arrays)

    for array in (snapshot.images(), snapshot.labels()):
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable


def test_the_same_images_give_the_same_bytes(tmp_path: Path, arrays: Arrays) -> None:
    """Two snapshots of the same images are the same files, in whatever layout the arrays lay in memory."""
    write(tmp_path / "one", arrays)
    write(tmp_path / "two", (np.asfortranarray(arrays[0])[:], arrays[1][::-1][::-1]))
    one, two = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two"))

    assert set(one) == {"images.npy", "labels.npy", "snapshot.json"}
    assert one == two


@pytest.mark.parametrize("sizes", [(30,), (1, 29), (10, 10, 10)], ids=str)
def test_batches_make_no_difference(tmp_path: Path, arrays: Arrays, sizes: tuple[int, ...]) -> None:
    """However many batches the images come in, the files are those that NumPy writes of all at once."""
    images, labels = arrays
    cuts = np.cumsum(sizes)[:-1]
    batches = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
    write_snapshot(tmp_path / "parts", dataset="tiny", batches=batches, max_value=16, description={"source": "a test"})
    write(tmp_path / "whole", arrays)
    for name, array in (("images.npy", images), ("labels.npy", labels)):
        np.save(tmp_path / name, array)
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / name).read_bytes()
    parts, whole = ((tmp_path / name / "snapshot.json").read_bytes() for name in ("parts", "whole"))
    assert parts == whole


def test_images_of_two_sizes_are_no_snapshot(tmp_path: Path, arrays: Arrays) -> None:
    """A batch whose images have another size or type than the first's is an error, and nothing is written."""
    images, labels = arrays
    for other in (images.reshape(30, 2, 10), images.astype(np.int16)):
        batches = [(images, labels), (other, labels)]
        with pytest.raises(ValueError, match=r"wanted all like \(4, 5\) uint8"):
            write_snapshot(tmp_path / "two", dataset="tiny", batches=batches, max_value=16, description={})
    assert list(tmp_path.iterdir()) == []


def test_no_batch_is_no_snapshot(tmp_path: Path) -> None:
    """A source that gives nothing is an error that says so, and nothing is written."""
    with pytest.raises(ValueError, match="found no images"):
        write_snapshot(tmp_path / "none", dataset="tiny", batches=[], max_value=16, description={})
    assert list(tmp_path.iterdir()) == []


def test_a_batch_is_let_go_of_before_the_next_is_asked_for(tmp_path: Path, arrays: Arrays) -> None:
    """However many batches there are, the images of one at most are held."""
    held: list[weakref.ref[NDArray[np.uint8]]] = []

    def batches() -> Iterator[Arrays]:
        for start in (0, 10, 20):
            assert all(batch() is None for batch in held)
            images = arrays[0][start : start + 10].copy()
            held.append(weakref.ref(images))
            yield images, arrays[1][start : start + 10]
            del images

    write_snapshot(tmp_path / "tiny", dataset="tiny", batches=batches(), max_value=16, description={})
    assert len(held) == 3


def test_the_digest_depends_on_images_labels_and_shape_alone(tmp_path: Path, arrays: Arrays) -> None:
    """One changed pixel, one changed label or another shape is another digest; another source is not."""
    images, labels = arrays
    changed_images, changed_labels = images.copy(), labels.copy()
    changed_images[-1, -1, -1] ^= 1
    changed_labels[-1] ^= 1
    digest = write(tmp_path / "same", arrays).digest
    others = [(changed_images, labels), (images, changed_labels), (images.reshape(30, 5, 4), labels)]

    assert write(tmp_path / "source", arrays, source="another").digest == digest
    assert len({digest, *(write(tmp_path / "other", other).digest for other in others)}) == 4


def test_a_damaged_array_is_found(tmp_path: Path, arrays: Arrays) -> None:
    """Verify notices one flipped bit and says what to run."""
    snapshot = write(tmp_path / "tiny", arrays)
    content = bytearray((tmp_path / "tiny" / "images.npy").read_bytes())
    content[-1] ^= 1
    (tmp_path / "tiny" / "images.npy").write_bytes(content)

    with pytest.raises(MissingError, match=r"is damaged.*run `digits ingest tiny`"):
        snapshot.verify()


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
@pytest.mark.parametrize("content", [None, b"", b"not an array"], ids=["missing", "empty", "other"])
def test_an_array_that_cannot_be_read_says_what_to_do(
    tmp_path: Path, arrays: Arrays, name: str, content: bytes | None
) -> None:
    """A missing, empty or foreign file in the place of an array names the command that makes it again."""
    snapshot = write(tmp_path / "tiny", arrays)
    (tmp_path / "tiny" / name).unlink()
    if content is not None:
        (tmp_path / "tiny" / name).write_bytes(content)

    with pytest.raises(MissingError, match=rf"cannot read .*{name}.*run `digits ingest tiny`"):
        snapshot.verify()


@pytest.mark.parametrize("content", [None, "", "{", "{}", '{"dataset": "tiny"}'])
def test_a_missing_or_broken_description_says_what_to_do(tmp_path: Path, content: str | None) -> None:
    """No snapshot, or one whose description cannot be read, names the command that makes it."""
    path = tmp_path / "tiny"
    if content is not None:
        path.mkdir()
        (path / "snapshot.json").write_text(content)

    with pytest.raises(MissingError, match=r"no snapshot in .*run `digits ingest tiny`"):
        Snapshot.load(path)


def test_a_snapshot_that_cannot_be_written_leaves_the_old(tmp_path: Path, arrays: Arrays) -> None:
    """When writing fails, the snapshot that was there is whole and nothing is left beside it."""
    snapshot = write(tmp_path / "tiny", arrays)
    with pytest.raises(TypeError):
        write_snapshot(
            tmp_path / "tiny",
            dataset="tiny",
            batches=[(arrays[0] + 1, arrays[1])],
            max_value=17,
            description={"source": object()},
        )

    assert Snapshot.load(tmp_path / "tiny") == snapshot
    snapshot.verify()
    assert list(tmp_path.iterdir()) == [tmp_path / "tiny"]


def test_a_description_that_is_no_mapping_is_none(tmp_path: Path, arrays: Arrays) -> None:
    """JSON of another shape is one line that says what to run."""
    snapshot = write(tmp_path / "tiny", arrays)
    (snapshot.path / "snapshot.json").write_text("[]", encoding="utf-8")
    with pytest.raises(MissingError, match=r"no snapshot in .*run `digits ingest tiny`"):
        Snapshot.load(snapshot.path)
