"""MNIST over HTTP: mirrors in turn, then OpenML; the same snapshot from all of them."""

from __future__ import annotations

import functools
import gzip
import http.server
import re
import threading
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import IncompleteRead
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from digits.data.sources import MnistSource, ingest
from digits.errors import SourceError

if TYPE_CHECKING:
    from conftest import SmallMnist


class _Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, keeps a list of what was asked for, and says nothing."""

    def log_message(self, *_: object) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]  # set where the server is made


@contextmanager
def mirror(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serve a folder on a free loopback port; yield its URL and the list of requests."""
    folder.mkdir(parents=True, exist_ok=True)
    handler = functools.partial(_Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.asked = []  # type: ignore[attr-defined]  # read by the handler
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", server.asked  # type: ignore[attr-defined]  # set above
        server.shutdown()


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def expected(small_mnist: SmallMnist, tmp_path: Path) -> dict[str, bytes]:
    """Return the snapshot that the files give when they are read from a folder."""
    files = tmp_path / "folder"
    small_mnist.write(files)
    ingest(small_mnist.params, dataset="small", path=tmp_path / "expected", mnist_dir=files)
    return contents(tmp_path / "expected")


def _nothing(folder: Path) -> None:
    """Leave every file unfound."""
    for path in folder.iterdir():
        path.unlink()


def _truncated(folder: Path) -> None:
    """Cut the second file short."""
    path = folder / "train-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:20])


def _another(folder: Path) -> None:
    """Serve the page of a captive portal in place of the last file."""
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"<html>please log in</html>")


@pytest.mark.parametrize("harm", [_nothing, _truncated, _another])
def test_second_mirror_gives_what_the_first_does_not(
    harm: Callable[[Path], None], small_mnist: SmallMnist, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """After a mirror that misses, truncates or replaces a file, the next one gives the very same snapshot."""
    for name in ("bad", "good"):
        small_mnist.write(tmp_path / name)
    harm(tmp_path / "bad")

    with mirror(tmp_path / "bad") as (bad, _), mirror(tmp_path / "good") as (good, _):
        small_mnist.write_card(mirrors=[bad, f"{good}/"])
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", downloads=tmp_path / "downloads")

    assert contents(tmp_path / "snapshot") == expected


def test_downloads_are_kept_and_a_damaged_one_is_fetched_again(
    small_mnist: SmallMnist, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """A second ingest asks the mirror for nothing but the file that was damaged meanwhile."""
    small_mnist.write(tmp_path / "good")
    with mirror(tmp_path / "good") as (url, asked):
        small_mnist.write_card(mirrors=[url])
        for _ in range(2):
            ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", downloads=tmp_path / "downloads")
        assert len(asked) == 4
        (tmp_path / "downloads" / "train-labels-idx1-ubyte.gz").write_bytes(b"damaged")
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", downloads=tmp_path / "downloads")

    assert asked[4:] == ["/train-labels-idx1-ubyte.gz"]
    assert contents(tmp_path / "snapshot") == expected


def test_a_plain_file_in_the_cache_is_not_taken_for_a_download(
    small_mnist: SmallMnist, expected: dict[str, bytes], tmp_path: Path
) -> None:
    """What is read is what was checked: a stale file of the name without ``.gz`` is left alone."""
    small_mnist.write(tmp_path / "good")
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads" / "train-labels-idx1-ubyte").write_bytes(b"stale")
    with mirror(tmp_path / "good") as (url, _):
        small_mnist.write_card(mirrors=[url])
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", downloads=tmp_path / "downloads")

    assert contents(tmp_path / "snapshot") == expected
    assert (tmp_path / "downloads" / "train-labels-idx1-ubyte").read_bytes() == b"stale"


def test_nothing_is_begun_before_everything_is_downloaded(small_mnist: SmallMnist, tmp_path: Path) -> None:
    """While a download goes on, a kill leaves nothing beside the snapshot."""
    snapshots = tmp_path / "snapshots"
    snapshots.mkdir()
    found: list[list[Path]] = []

    def slow(*names: object, **options: object) -> tuple[np.ndarray, np.ndarray]:
        found.append(list(snapshots.iterdir()))
        return small_mnist.openml(*names, **options)

    ingest(small_mnist.params, dataset="small", path=snapshots / "small", fetch_openml=slow)
    assert found == [[]]
    assert list(snapshots.iterdir()) == [snapshots / "small"]


def test_files_of_openml_are_kept(small_mnist: SmallMnist, expected: dict[str, bytes], tmp_path: Path) -> None:
    """What OpenML gave lies in the cache as a mirror's files would, and nobody is asked again."""
    options = {"dataset": "small", "path": tmp_path / "snapshot", "downloads": tmp_path / "downloads"}
    with mirror(tmp_path / "empty") as (url, asked):
        small_mnist.write_card(mirrors=[url])
        ingest(small_mnist.params, **options, fetch_openml=small_mnist.openml)
        n_asked = len(asked)
        kept = {path.stem: gzip.decompress(path.read_bytes()) for path in (tmp_path / "downloads").glob("*.gz")}
        assert kept == small_mnist.files()
        ingest(small_mnist.params, **options, fetch_openml=None)
        assert len(asked) == n_asked

    assert contents(tmp_path / "snapshot") == expected


def test_a_cache_that_cannot_be_written_is_no_fault_of_openml(small_mnist: SmallMnist, tmp_path: Path) -> None:
    """What the system says of the disk is told as it is, not as a source that gives nothing."""
    (tmp_path / "downloads" / "train-images-idx3-ubyte.gz").mkdir(parents=True)
    small_mnist.write_card(mirrors=[])
    with pytest.raises(IsADirectoryError):
        ingest(
            small_mnist.params,
            dataset="small",
            path=tmp_path / "snapshot",
            downloads=tmp_path / "downloads",
            fetch_openml=small_mnist.openml,
        )


def test_openml_gives_the_same_snapshot(small_mnist: SmallMnist, expected: dict[str, bytes], tmp_path: Path) -> None:
    """Where no mirror answers, the files rebuilt from OpenML's arrays give the very same snapshot."""
    with mirror(tmp_path / "empty") as (url, asked):
        small_mnist.write_card(mirrors=[url, "gopher://unknown"])
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", fetch_openml=small_mnist.openml)

    assert len(asked) >= 1
    assert contents(tmp_path / "snapshot") == expected


@pytest.mark.parametrize(
    "fault",
    [OSError("network is unreachable"), EOFError("cut off"), IncompleteRead(b"cut off"), zlib.error("cut off")],
    ids=lambda fault: type(fault).__name__,
)
def test_no_source_at_all_is_one_error_that_names_each(
    small_mnist: SmallMnist, tmp_path: Path, fault: Exception
) -> None:
    """When mirrors and OpenML fail, one line tells what each answered and what to do; nothing is written."""

    def offline(*_: object, **__: object) -> tuple[np.ndarray, np.ndarray]:
        raise fault

    with mirror(tmp_path / "empty") as (url, _):
        small_mnist.write_card(mirrors=[url])
        with pytest.raises(SourceError, match=rf"404.*{re.escape(str(fault))}.*DIGITS_MNIST_DIR") as caught:
            ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", fetch_openml=offline)

    assert url in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "snapshot").exists()


def test_openml_with_other_images_is_refused(small_mnist: SmallMnist, tmp_path: Path) -> None:
    """Images of OpenML in another order do not pass for MNIST."""

    def shuffled(*names: object, **options: object) -> tuple[np.ndarray, np.ndarray]:
        data, target = small_mnist.openml(*names, **options)
        return data[::-1], target[::-1]

    small_mnist.write_card(mirrors=[])
    with pytest.raises(SourceError, match="train-images-idx3-ubyte is not the file it should be: MD5"):
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", fetch_openml=shuffled)


def test_mnist_is_the_same_from_files_mirror_and_openml(root: Path, mnist_dir: Path, tmp_path: Path) -> None:
    """All of MNIST from a folder, from a mirror and from OpenML's arrays: one digest, one description."""
    params = MnistSource(path=tmp_path / "card")
    (tmp_path / "card").mkdir()
    card = (root / "data/sources/mnist/source.yaml").read_text(encoding="utf-8")
    snapshot = ingest(
        MnistSource(path=Path("data/sources/mnist")),
        dataset="mnist",
        path=tmp_path / "a",
        root=root,
        mnist_dir=mnist_dir,
    )
    data = snapshot.images().reshape(70_000, 784).astype(np.float64)
    target = snapshot.labels().astype(str).astype(object)

    with mirror(mnist_dir) as (url, _):
        only = "\n".join(line for line in card.splitlines() if not line.startswith("  - http"))
        (tmp_path / "card/source.yaml").write_text(only.replace("mirrors:", f"mirrors: [{url}]"), encoding="utf-8")
        ingest(params, dataset="mnist", path=tmp_path / "b")
    (tmp_path / "card/source.yaml").write_text(only.replace("mirrors:", "mirrors: []"), encoding="utf-8")
    ingest(params, dataset="mnist", path=tmp_path / "c", fetch_openml=lambda *_, **__: (data, target))

    assert snapshot.n_samples == 70_000
    assert np.bincount(snapshot.labels()[60_000:]).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    for name in ("b", "c"):
        assert (tmp_path / name / "snapshot.json").read_bytes() == (tmp_path / "a" / "snapshot.json").read_bytes()
