"""Promises of digits/files.py: the old content or the new one, never half of either."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import pytest

from digits import files
from digits.files import replaced_file, replaced_folder, sha256_of_file, write_json


@pytest.mark.parametrize("swaps", [True, False], ids=["swapped", "in two steps"])
def test_a_folder_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, swaps: bool) -> None:
    """Files of the old folder are gone, those of the new one are there, and nothing else is left behind."""
    if not swaps:
        monkeypatch.setattr(files, "_swapped", lambda *_: False)
    path = tmp_path / "below" / "folder"
    for name in ("old", "new"):
        with replaced_folder(path) as work:
            (work / name).write_text(name)

    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can swap two folders in one step")
def test_a_folder_is_at_no_moment_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill finds the old folder in its place or the new one: nothing is moved away first."""
    path = tmp_path / "folder"
    path.mkdir()
    monkeypatch.setattr(Path, "rename", lambda *_: pytest.fail("moved away"))
    with replaced_folder(path) as work:
        (work / "new").touch()
    assert [file.name for file in path.iterdir()] == ["new"]
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_survives_a_block_that_raises(tmp_path: Path) -> None:
    """After an error the folder is as it was, and the unfinished one is gone."""
    path = tmp_path / "folder"
    with replaced_folder(path) as work:
        (work / "old").write_text("old")

    def interrupted() -> None:
        with replaced_folder(path) as work:
            (work / "new").write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert {file.name: file.read_text() for file in path.iterdir()} == {"old": "old"}
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_is_replaced(tmp_path: Path) -> None:
    """The new content is there, readable by others, in folders made for it, and no temporary file is left."""
    path = tmp_path / "below" / "file.txt"
    for content in ("old", "new"):
        with replaced_file(path) as work:
            assert work.suffix == ".txt"
            work.write_text(content)

    assert path.read_text() == "new"
    assert path.stat().st_mode & 0o777 == 0o644
    assert list(path.parent.iterdir()) == [path]


def test_a_file_survives_a_block_that_raises(tmp_path: Path) -> None:
    """After an error the file is as it was, and the unfinished one is gone."""
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted() -> None:
        with replaced_file(path) as work:
            work.write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        interrupted()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_json_is_written_whole_and_readable(tmp_path: Path) -> None:
    """What was written is read back; other alphabets stay legible; the file ends with a newline."""
    path = tmp_path / "content.json"
    content = {"name": "číslice", "counts": [1, 2]}
    write_json(path, content)

    assert json.loads(path.read_text(encoding="utf-8")) == content
    assert "číslice" in path.read_text(encoding="utf-8")
    assert path.read_bytes().endswith(b"}\n")


def test_json_that_cannot_be_written_leaves_the_old(tmp_path: Path) -> None:
    """Content that JSON cannot hold is an error, and the old file stays."""
    path = tmp_path / "content.json"
    write_json(path, [1])
    with pytest.raises(TypeError):
        write_json(path, [object()])

    assert json.loads(path.read_text()) == [1]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_sha256_of_file_is_that_of_its_bytes(tmp_path: Path, size: int) -> None:
    """Files of one byte, of none and of several chunks have the digest of their bytes."""
    path = tmp_path / "bytes"
    path.write_bytes(b"x" * size)

    assert sha256_of_file(path) == hashlib.sha256(b"x" * size).hexdigest()
