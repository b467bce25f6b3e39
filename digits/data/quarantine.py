"""The pictures that are set aside, so that a person can look at them and decide."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from digits.data.report import SetAside
from digits.data.snapshot import Snapshot
from digits.files import replaced_folder, write_json

__all__ = ["picture", "write_quarantine"]

REASONS = "reasons.json"


def write_quarantine(path: Path, *, rows: Iterable[SetAside], snapshot: Snapshot) -> None:
    """Write the pictures of `rows` and ``reasons.json`` into `path`, replacing what is there when all are written.

    Parameters
    ----------
    path
        Folder to write to.
    rows
        The rows that are set aside.
    snapshot
        The snapshot that they belong to; nothing is taken from it.
    """
    images, labels = snapshot.images(), snapshot.labels()
    with replaced_folder(path) as work:
        reasons = []
        for aside in rows:
            name = f"{aside.row:06d}.png"
            (work / name).write_bytes(picture(images[aside.row], max_value=snapshot.max_value))
            reasons.append({"picture": name, "label": int(labels[aside.row]), **asdict(aside)})
        write_json(work / REASONS, reasons)


def picture(image: NDArray[Any], *, max_value: int) -> bytes:
    """Return an image, ``(height, width)`` in ``[0, max_value]``, as PNG with white ink on black."""
    from PIL import Image

    levels = np.rint(np.clip(np.nan_to_num(image.astype(np.float64)) / max_value, 0, 1) * 255)
    stream = io.BytesIO()
    Image.fromarray(levels.astype(np.uint8)).save(stream, format="PNG")
    return stream.getvalue()
