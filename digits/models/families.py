"""Every family by its name.

To add one: write its class beside its like, and name it below. Params, stages, tracking, serving and the contract
tests follow by themselves.
"""

from __future__ import annotations

from digits.models.boosting import GradientBoosting
from digits.models.ensemble_families import Stacking, Voting
from digits.models.family import Family
from digits.models.linear import LogisticRegression, Sgd
from digits.models.mlp import Mlp
from digits.models.neighbors import KNearestNeighbors
from digits.models.networks import Cnn, DenseNetwork, Rnn
from digits.models.svm import Svm
from digits.models.trees import DecisionTree, ExtraTrees, RandomForest

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
