"""Every reference system, with its params as its tutorial wrote them and the figure that it published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any

from digits.reference.champions import detects, holds_out, learns_ranges, scored_on_test_rows
from digits.reference.linear import detector, multinomial, sgd
from digits.reference.machine import claimed, machine
from digits.reference.networks import dense, perceptron
from digits.reference.system import System

__all__ = ["SYSTEMS"]


_SGD = System(
    name="sgd",
    title="logistic regression by SGD, pixels / 255",
    dataset="mnist",
    published=0.88,
    published_text="88 %",
    params={"divide_by": 255, "loss": "log_loss", "shuffle": True, "random_state": 0},
    run=sgd,
    champion=scored_on_test_rows,
    test_rows=10_000,
)

_HELD_OUT: Mapping[str, Any] = {"test_share": 0.01, "random_state": 0}
_SVC = {"gamma": 0.001, "C": 100}

_ALL = (
    System(
        name="detector",
        title="is it a {digit}? logistic regression, 3 folds",
        dataset="mnist",
        published=0.97,
        published_text="95 to 97 %",
        params={"folds": 3, "tol": 0.1, "solver": "liblinear"},
        run=detector,
        champion=detects,
        digit=2,
    ),
    System(
        name="detector_lbfgs",
        title="the same with lbfgs, 5 folds",
        dataset="mnist",
        published=0.97,
        published_text="97 %",
        params={"folds": 5, "tol": 0.1, "solver": "lbfgs"},
        run=detector,
        champion=detects,
        digit=2,
    ),
    System(
        name="multinomial",
        title="multinomial logistic regression, pixels / 255",
        dataset="mnist",
        published=0.92,
        published_text="92 %",
        params={"divide_by": 255, "max_iter": 100},
        run=multinomial,
        champion=scored_on_test_rows,
        test_rows=10_000,
    ),
    _SGD,
    replace(_SGD, name="sgd_raw", title="the same, pixels up to 255", params={**_SGD.params, "divide_by": 1}),
    System(
        name="dense",
        title="Keras: Dense(128), Dense(10), 20 epochs",
        dataset="mnist",
        published=0.9765,
        published_text="97.65 %",
        params={"units": 128, "batch_size": 64, "epochs": 20, "validation_split": 0.2},
        run=dense,
        champion=scored_on_test_rows,
        test_rows=10_000,
    ),
    System(
        name="svc",
        title="SVC(gamma=0.001, C=100), 1 % held out",
        dataset="digits",
        published=1.0,
        published_text="100 %",
        params={**_HELD_OUT, **_SVC},
        run=machine,
        champion=partial(holds_out, **_HELD_OUT),
    ),
    System(
        name="svc_claim",
        title="this SVC after 1,000, 1,200, 1,500 rows, mean",
        dataset="digits",
        published=None,
        published_text="",
        params=_SVC,
        run=claimed,
        champion=learns_ranges,
    ),
    System(
        name="perceptron",
        title="MLP of 15 logistic units, first 1,000 rows",
        dataset="digits",
        published=0.91468,
        published_text="91.468 %",
        params={
            "train_rows": 1000,
            "hidden_layer_sizes": (15,),
            "activation": "logistic",
            "alpha": 1e-4,
            "solver": "sgd",
            "tol": 1e-4,
            "random_state": 1,
            "learning_rate_init": 0.1,
        },
        run=perceptron,
        champion=scored_on_test_rows,
        test_rows=797,
    ),
)

#: Name → system, in the order of the tutorials.
SYSTEMS: Mapping[str, System] = MappingProxyType({system.name: system for system in _ALL})
