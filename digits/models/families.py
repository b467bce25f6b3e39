"""Every family by its name.

To add one: write its class beside its like, and name it below. Params, stages, tracking, serving and the contract
tests follow by themselves.
"""

from __future__ import annotations

from digits.models.classical import (
    DecisionTree,
    ExtraTrees,
    GradientBoosting,
    KNearestNeighbors,
    LogisticRegression,
    Mlp,
    RandomForest,
    Sgd,
    Svm,
)
from digits.models.ensemble_families import Stacking, Voting
from digits.models.family import Family
from digits.models.networks import Cnn, DenseNetwork, Rnn

__all__ = ["FAMILIES"]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        LogisticRegression,
        Sgd,
        DecisionTree,
        RandomForest,
        ExtraTrees,
        GradientBoosting,
        KNearestNeighbors,
        Svm,
        Mlp,
        DenseNetwork,
        Cnn,
        Rnn,
        Voting,
        Stacking,
    )
}
