"""Every reference system, with its params as its tutorial wrote them and the figure that it published."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

from digits.reference.champions import detects, holds_out_one_percent, scored_on_test_rows
from digits.reference.linear import detector, multinomial, sgd
from digits.reference.machine import machine
from digits.reference.networks import dense, perceptron
from digits.reference.system import Outcome, System

__all__ = ["SYSTEMS"]


def _system(
    name: str,
    title: str,
    *,
    dataset: str,
    published: float,
    text: str,
    run: Callable[..., Outcome],
    champion: Callable[..., tuple[float, str]],
    **params: Any,
) -> System:
    return System(
        name=name,
        title=title,
        dataset=dataset,
        published=published,
        published_text=text,
        params=params,
        run=partial(run, **params),
        champion=champion,
    )


_ALL = (
    _system(
        "detector",
        "is it a 2? logistic regression, 3 folds",
        dataset="mnist",
        published=0.97,
        text="95 to 97 %",
        run=detector,
        champion=detects,
        folds=3,
        tol=0.1,
        solver="liblinear",
    ),
    _system(
        "detector_lbfgs",
        "the same with lbfgs, 5 folds",
        dataset="mnist",
        published=0.97,
        text="97 %",
        run=detector,
        champion=detects,
        folds=5,
        tol=0.1,
        solver="lbfgs",
    ),
    _system(
        "multinomial",
        "multinomial logistic regression",
        dataset="mnist",
        published=0.92,
        text="92 %",
        run=multinomial,
        champion=scored_on_test_rows,
        max_iter=100,
    ),
    _system(
        "sgd",
        "logistic regression by SGD",
        dataset="mnist",
        published=0.88,
        text="88 %",
        run=sgd,
        champion=scored_on_test_rows,
        loss="log_loss",
        shuffle=True,
        random_state=0,
    ),
    _system(
        "dense",
        "Keras: Dense(128), Dense(10), 20 epochs",
        dataset="mnist",
        published=0.9765,
        text="97.65 %",
        run=dense,
        champion=scored_on_test_rows,
        units=128,
        batch_size=64,
        epochs=20,
        validation_split=0.2,
    ),
    _system(
        "svc",
        "SVC(gamma=0.001, C=100), 1 % held out",
        dataset="digits",
        published=1.0,
        text="100 %",
        run=machine,
        champion=holds_out_one_percent,
        test_share=0.01,
        ranges=(1000, 1200, 1500),
        gamma=0.001,
        C=100,
    ),
    _system(
        "perceptron",
        "MLP of 15 logistic units, first 1,000 rows",
        dataset="digits",
        published=0.91468,
        text="91.468 %",
        run=perceptron,
        champion=scored_on_test_rows,
        train_rows=1000,
        hidden_layer_sizes=(15,),
        activation="logistic",
        alpha=1e-4,
        solver="sgd",
        tol=1e-4,
        random_state=1,
        learning_rate_init=0.1,
    ),
)

#: Name → system, in the order of the tutorials.
SYSTEMS: Mapping[str, System] = MappingProxyType({system.name: system for system in _ALL})
