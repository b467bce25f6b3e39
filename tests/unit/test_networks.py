"""The families that are networks."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

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


def test_augmentation_can_be_left_out() -> None:
    """Null in params.yaml trains on the images as they are."""
    assert Cnn(augmentation=None).build(seed=0).augmentation is None
    assert {"rotation", "scale", "shear", "shift"} == set(Augmentation().model_dump())
