"""The families that are networks."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from digits.experiments.fingerprint import fingerprint
from digits.models import processor
from digits.models.architectures import rnn
from digits.models.networks import Augmentation, Cnn, DenseNetwork, Network, Rnn


@pytest.mark.parametrize("family", [DenseNetwork(), Cnn(), Rnn()])
def test_every_param_reaches_the_estimator(family: Network) -> None:
    """No field is read and then forgotten: each is a parameter of the estimator or of its architecture."""
    estimator = family.build(seed=7)
    found = estimator.get_params(deep=False)
    found |= found.pop("network_params")
    assert family.model_dump() | {"network": family.name, "random_state": 7} == found


def test_a_stage_needs_one_of_each() -> None:
    """Lists of different lengths are refused where they are read, not in the middle of a run."""
    with pytest.raises(ValidationError, match="3 stages, 2 strides, 3 normalised"):
        Cnn(strides=(1, 2))


def test_rows_that_do_not_fit_are_named() -> None:
    """A number of rows that does not divide the height is told in one line, before anything is trained."""
    params = Rnn(rows_per_step=3).build(seed=0).network_params
    with pytest.raises(ValueError, match="rows_per_step is 3, which does not divide the 8 rows of an image"):
        rnn(None, shape=(8, 8), n_classes=10, dtype="float32", **params)


def test_augmentation_can_be_left_out() -> None:
    """Null in params.yaml trains on the images as they are."""
    assert Cnn(augmentation=None).build(seed=0).augmentation is None
    assert {"rotation", "scale", "shear", "shift"} == set(Augmentation().model_dump())


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("fpu sse2 avx2 avx512f avx512_bf16 avx512_vnni", "mixed_bfloat16"),
        ("fpu sse2 avx2 avx512f amx_bf16 amx_tile", "mixed_bfloat16"),
        ("fpu sse2 avx2 avx512f avx512_vnni", "float32"),
        (None, "float32"),
    ],
)
def test_auto_is_what_the_processor_has(
    flags: str | None, expected: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Training computes in bfloat16 only where a processor is known to have it; the fingerprint says which it was."""
    if flags is not None:
        (tmp_path / "cpuinfo").write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t:\n", encoding="utf-8")
    monkeypatch.setattr(processor, "_CPU_INFO", tmp_path / "cpuinfo")
    family = Cnn.model_validate({"dtype": "auto"})

    assert fingerprint(family, data="", seed=0).params["dtype"] == expected
    assert Cnn.model_validate_json(family.model_dump_json()) == family
    assert Cnn.model_validate({"dtype": "mixed_bfloat16"}).dtype == "mixed_bfloat16"
