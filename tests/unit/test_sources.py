"""Each source becomes a snapshot whose bytes depend on the images alone, or one clear error and no change."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import yaml
from PIL import Image, ImageDraw
from pydantic import TypeAdapter, ValidationError

from digits.data import idx
from digits.data.images import MNIST_FRAME, read_picture
from digits.data.snapshot import Snapshot
from digits.data.sources import FolderSource, IngestParams, MnistSource, SklearnSource, ingest
from digits.errors import SourceError
from digits.reference.distorted import publish

if TYPE_CHECKING:
    from conftest import SmallMnist

MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of every file in a folder."""
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_sklearn_gives_its_1797_images(root: Path, tmp_path: Path) -> None:
    """scikit-learn's digits arrive in their order, with values up to 16 and the words of their card."""
    from sklearn.datasets import load_digits

    snapshot = ingest(SklearnSource(path=Path("data/sources/digits")), dataset="digits", path=tmp_path, root=root)

    assert (snapshot.n_samples, snapshot.height, snapshot.width, snapshot.max_value) == (1797, 8, 8, 16)
    assert np.array_equal(load_digits().images, snapshot.images())
    assert np.array_equal(load_digits().target, snapshot.labels())
    assert b"Alpaydin" in (tmp_path / "snapshot.json").read_bytes()


def test_two_ingests_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    """Every file of a snapshot is the same, byte for byte, when the source is read again."""
    for name in ("one", "two"):
        ingest(SklearnSource(path=Path("data/sources/digits")), dataset="digits", path=tmp_path / name, root=root)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_card_of_mnist_holds_the_published_md5s(root: Path) -> None:
    """The card in the checkout names the four files with the MD5s of their decompressed bytes, and two mirrors."""
    card = yaml.safe_load((root / "data/sources/mnist/source.yaml").read_text(encoding="utf-8"))

    files = [file for part in card["parts"] for file in (part["images"], part["labels"])]
    assert {file["name"]: file["md5"] for file in files} == MD5
    assert len(card["mirrors"]) >= 2


def test_plain_and_compressed_files_give_the_same_snapshot(small_mnist: SmallMnist, tmp_path: Path) -> None:
    """IDX files are read plain or as .gz, in the order train before test."""
    for name, compress in (("plain", False), ("gz", True)):
        small_mnist.write(tmp_path / "files" / name, compress=compress)
        ingest(small_mnist.params, dataset="small", path=tmp_path / name, mnist_dir=tmp_path / "files" / name)

    snapshot = Snapshot.load(tmp_path / "plain")
    assert np.array_equal(small_mnist.images, snapshot.images())
    assert np.array_equal(small_mnist.labels, snapshot.labels())
    assert contents(tmp_path / "plain") == contents(tmp_path / "gz")


def remove(folder: Path) -> None:
    """Take one of the files away."""
    (folder / "train-labels-idx1-ubyte.gz").unlink()


def truncate(folder: Path) -> None:
    """Cut one compressed file in half."""
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def shorten(folder: Path) -> None:
    """Leave out the last image, but not in the header."""
    path = folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-784]))


def flip(folder: Path) -> None:
    """Change one pixel."""
    path = folder / "train-images-idx3-ubyte.gz"
    payload = bytearray(gzip.decompress(path.read_bytes()))
    payload[-1] ^= 1
    path.write_bytes(gzip.compress(bytes(payload)))


def swap(folder: Path) -> None:
    """Put the images where the labels should be."""
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes((folder / "t10k-images-idx3-ubyte.gz").read_bytes())


def relabel(folder: Path) -> None:
    """Give one image another label."""
    path = folder / "t10k-labels-idx1-ubyte.gz"
    payload = bytearray(gzip.decompress(path.read_bytes()))
    payload[8] = (payload[8] + 1) % 10
    path.write_bytes(gzip.compress(bytes(payload)))


def blank(folder: Path) -> None:
    """Leave one file with no bytes."""
    (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (remove, r"misses 1 of 4 files: train-labels-idx1-ubyte; wanted each, plain or .gz"),
        (truncate, r"train-images-idx3-ubyte.gz is truncated or corrupt \(.+\); get it again"),
        (shorten, r"t10k-images-idx3-ubyte.gz is truncated: \d+ bytes, wanted \d+ for 20 x 28 x 28; get it again"),
        (flip, r"train-images-idx3-ubyte.gz is not the file it should be: MD5 \w+, wanted \w+; get it again"),
        (swap, r"t10k-labels-idx1-ubyte.gz is no IDX file of 1 dimensions: .+ 00000803, wanted 00000801"),
        (relabel, r"t10k-labels-idx1-ubyte.gz is not the file it should be: MD5"),
        (blank, r"t10k-labels-idx1-ubyte.gz is no IDX file of 1 dimensions: it begins with nothing"),
    ],
)
def test_bad_files_of_mnist_are_named_and_the_old_snapshot_stays(
    harm: Callable[[Path], None], message: str, small_mnist: SmallMnist, tmp_path: Path
) -> None:
    """A missing, truncated, corrupt or mislabelled file is one error that names it; the snapshot is as it was."""
    files, path = tmp_path / "files", tmp_path / "snapshots" / "small"
    small_mnist.write(files)
    ingest(small_mnist.params, dataset="small", path=path, mnist_dir=files)
    before = contents(path)
    harm(files)

    with pytest.raises(SourceError, match=message) as caught:
        ingest(small_mnist.params, dataset="small", path=path, mnist_dir=files, fetch_openml=small_mnist.openml)

    assert str(files) in str(caught.value)
    assert contents(path) == before
    assert [path] == list(path.parent.iterdir())


def test_missing_mnist_folder_is_named(small_mnist: SmallMnist, tmp_path: Path) -> None:
    """A folder that does not exist is an error, not a reason to download."""
    with pytest.raises(SourceError, match=r"nowhere does not exist; MNIST needs 4 of 4 files"):
        ingest(small_mnist.params, dataset="small", path=tmp_path / "snapshot", mnist_dir=tmp_path / "nowhere")


def test_parts_of_two_sizes_are_one_error(tmp_path: Path) -> None:
    """Files that a card puts together though their images differ in size are named, with both sizes."""
    batches = [(np.zeros((3, *size), np.uint8), np.zeros(3, np.uint8)) for size in ((28, 28), (28, 20))]
    publish(iter(batches), title="two", files=tmp_path / "files", card=tmp_path / "card")
    message = (
        r"00001-images-idx3-ubyte has images of 28 x 20 pixels, wanted 28 x 28 as in 00000-images-idx3-ubyte; mend"
    )
    with pytest.raises(SourceError, match=message):
        ingest(MnistSource(path=tmp_path / "card"), dataset="two", path=tmp_path / "two", mnist_dir=tmp_path / "files")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["card", "files"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read the source's card: .*No such file"),
        ("title: [", "cannot read the source's card"),
        ("title: A\nhomepage: B\nlicence: C\n", "citation: Field required"),
        ("title: A\nhomepage: B\nlicence: C\ncitation: D\ncolour: red\n", "colour: Extra inputs"),
    ],
    ids=["missing", "no YAML", "incomplete", "unknown key"],
)
def test_bad_card_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    """A card that is missing or says too little or too much is an error that names the key."""
    if content is not None:
        (tmp_path / "source.yaml").write_text(content, encoding="utf-8")

    with pytest.raises(SourceError, match=message):
        ingest(SklearnSource(path=tmp_path), dataset="digits", path=tmp_path / "snapshot")


def test_params_choose_the_source() -> None:
    """The key `source` tells which kind of source is meant; another word, or another key, is an error."""
    parse = TypeAdapter(IngestParams).validate_python

    assert parse({"source": "folder", "path": "mine"}) == FolderSource(path=Path("mine"))
    assert parse({"source": "mnist", "path": "card"}) == MnistSource(path=Path("card"))
    with pytest.raises(ValidationError, match="'sklearn', 'mnist', 'folder'"):
        parse({"source": "camera", "path": "mine"})
    with pytest.raises(ValidationError, match="Extra inputs"):
        parse({"source": "folder", "path": "mine", "recursive": True})


def draw(path: Path, *, label: int, paper: int, ink: int) -> None:
    """Save a picture of as many bars as `label`, and one more, across a stroke."""
    picture = Image.new("L", (90 + 7 * label, 120), paper)
    pen = ImageDraw.Draw(picture)
    pen.line([(40, 10), (40, 110)], fill=ink, width=9)
    for bar in range(label + 1):
        pen.line([(40, 14 + 10 * bar), (75, 14 + 10 * bar)], fill=ink, width=4)
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Return a folder with two pictures of each digit, and litter that file managers leave."""
    folder = tmp_path / "pictures"
    for label in range(10):
        draw(folder / str(label) / "b.png", label=label, paper=255, ink=0)
        draw(folder / str(label) / "a.jpg", label=label, paper=20, ink=230)
    for litter in (".DS_Store", "3/Thumbs.db", "3/.hidden.png", "README.md"):
        (folder / litter).write_bytes(b"litter")
    return folder


def test_folder_gives_its_pictures_in_the_mnist_frame(pictures: Path, tmp_path: Path) -> None:
    """Rows are sorted by the files' names, each as `read_picture` reads it and labelled by its folder."""
    snapshot = ingest(FolderSource(path=pictures), dataset="mine", path=tmp_path / "snapshot")

    content = yaml.safe_load((tmp_path / "snapshot" / "snapshot.json").read_text(encoding="utf-8"))
    assert content["files"] == [f"{label}/{name}" for label in range(10) for name in ("a.jpg", "b.png")]
    assert snapshot.labels().tolist() == [label for label in range(10) for _ in range(2)]
    assert (snapshot.height, snapshot.width, snapshot.max_value) == (28, 28, 255)
    expected = [read_picture(pictures / name, frame=MNIST_FRAME) for name in content["files"]]
    assert np.array_equal(expected, snapshot.images())


def test_snapshot_of_a_folder_does_not_tell_where_it_lay(pictures: Path, tmp_path: Path) -> None:
    """The same pictures in another place give the same bytes."""
    moved = tmp_path / "elsewhere" / "deeper"
    ingest(FolderSource(path=pictures), dataset="mine", path=tmp_path / "one")
    moved.parent.mkdir()
    pictures.rename(moved)
    ingest(FolderSource(path=Path("deeper")), dataset="mine", path=tmp_path / "two", root=moved.parent)

    assert contents(tmp_path / "one") == contents(tmp_path / "two")


def test_a_blank_picture_is_an_image_without_ink(pictures: Path, tmp_path: Path) -> None:
    """Whether a blank picture ends the run or is set aside, validation says; it is not lost before."""
    Image.new("L", (30, 30), 255).save(pictures / "4" / "white.png")
    snapshot = ingest(FolderSource(path=pictures), dataset="mine", path=tmp_path / "snapshot")
    files = json.loads((snapshot.path / "snapshot.json").read_text(encoding="utf-8"))["files"]
    assert [files[row] for row in np.flatnonzero(snapshot.images().max((1, 2)) == 0)] == ["4/white.png"]


def spoil(folder: Path) -> None:
    """Add text files to the labels 1 and 4, and three empty files."""
    for name in ("1/notes.txt", "4/notes.txt"):
        (folder / name).write_text("not a picture", encoding="utf-8")
    for name in ("7/x.png", "8/x.png", "9/x.png"):
        (folder / name).write_bytes(b"")


def misname(folder: Path) -> None:
    """Name two label folders after no digit."""
    (folder / "7").rename(folder / "seven")
    (folder / "8").rename(folder / "08")


def nest(folder: Path) -> None:
    """Put a folder into a label folder."""
    draw(folder / "5" / "more" / "c.png", label=5, paper=255, ink=0)


def stray(folder: Path) -> None:
    """Put a picture beside the label folders."""
    draw(folder / "unlabelled.PNG", label=5, paper=255, ink=0)


def clear(folder: Path) -> None:
    """Take all pictures away."""
    for path in folder.glob("*/*"):
        path.unlink()


def vanish(folder: Path) -> None:
    """Take the folder itself away."""
    folder.rename(folder.with_name("gone"))


def garble(folder: Path) -> None:
    """Give a picture a name that is no UTF-8, as archives of other systems do."""
    (folder / "1" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            spoil,
            r"5 of 25 files in .+ cannot be read as pictures of digits: .+1/notes.txt: the file is no picture.+; "
            r".+4/notes.txt: the file is no picture.+; .+7/x.png: the file is empty.+, and 2 more; mend them",
        ),
        (misname, "2 of 10 folders in .+ are no digits: 08; seven; wanted 0 to 9 only"),
        (nest, "1 folders lie inside the label folders of .+: 5/more; wanted pictures only"),
        (stray, "1 pictures lie outside the label folders of .+: unlabelled.PNG; move them"),
        (garble, r"1 names of files in .+ are no text: 'caf\\udce9\.png'; rename them"),
        (clear, r"no pictures in .+; wanted PATH/0/\*.png to PATH/9/\*.png"),
        (vanish, "cannot read the folder .+No such file"),
    ],
)
def test_bad_folders_are_refused_and_the_old_snapshot_stays(
    harm: Callable[[Path], None], message: str, pictures: Path, tmp_path: Path
) -> None:
    """Whatever is wrong with a folder is one error with the first offenders and the count; nothing is written."""
    path = tmp_path / "snapshots" / "mine"
    ingest(FolderSource(path=pictures), dataset="mine", path=path)
    before = contents(path)
    harm(pictures)

    with pytest.raises(SourceError, match=message) as caught:
        ingest(FolderSource(path=pictures), dataset="mine", path=path)

    assert "\n" not in str(caught.value)
    assert contents(path) == before
    assert [path] == list(path.parent.iterdir())


@pytest.mark.parametrize("shape", [(0,), (3,), (2, 28, 28)])
def test_idx_round_trip(shape: tuple[int, ...]) -> None:
    """What is written as IDX is read back."""
    array = np.arange(np.prod(shape), dtype=np.uint64).astype(np.uint8).reshape(shape)

    assert np.array_equal(array, idx.decode(idx.encode(array), dimensions=array.ndim, name="made"))
