"""Anyone's own labelled pictures: the dataset that docs/params.md shows, run as it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

ROWS = 400


def _draw(folder: Path) -> list[Path]:
    """Write scikit-learn's first digits, large and dark on light, into folders named by their labels."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    paths = []
    for row, (image, label) in enumerate(zip(bunch.images[:ROWS], bunch.target[:ROWS], strict=True)):
        paths.append(folder / str(label) / f"{row:03d}.png")
        paths[-1].parent.mkdir(parents=True, exist_ok=True)
        levels = np.rint(255 - image * 15).astype(np.uint8)
        Image.fromarray(levels).resize((64, 64), Image.Resampling.BICUBIC).save(paths[-1])
    return paths


def test_a_folder_of_pictures_is_run_as_the_docs_say(make_checkout: Any, root: Path) -> None:
    """One command goes from the pictures to a version; the blank one is set aside, told, and in no split."""
    checkout = make_checkout()
    pictures = _draw(checkout.root / "data/sources/mine")
    Image.new("L", (64, 64), 255).save(pictures[0].parent / "blank.png")
    page = (root / "docs/params.md").read_text(encoding="utf-8")
    shown = re.search(r"```yaml\n(  mine:\n.*?)```", page, re.DOTALL)
    assert shown is not None
    params = checkout.root / "params.yaml"
    content = yaml.safe_load(params.read_text(encoding="utf-8"))
    content["datasets"] |= yaml.safe_load(shown[1])
    params.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")

    done = checkout.digits("run", "mine", "--json")
    assert done.returncode == 0, done.stderr
    rows = {row["family"]: row for row in json.loads(done.stdout)}
    assert set(rows) == {"logistic_regression", "svm"}
    assert max(row["test_accuracy"] for row in rows.values()) > 0.9
    assert "1 images are set aside" in done.stderr
    (aside,) = json.loads((checkout.root / "data/quarantine/mine/reasons.json").read_text(encoding="utf-8"))
    assert aside["file"] == f"{pictures[0].parent.name}/blank.png"
    assert "blank" in aside["reasons"]
    roles = np.load(checkout.root / "data/splits/mine/roles.npy")
    assert [row for row, role in enumerate(roles) if role == -3] == [aside["row"]]
