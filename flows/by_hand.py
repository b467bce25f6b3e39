"""Flow runs that a person's command is: tagged, since no worker would notice their deaths."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prefect import tags

from flows.servers.answering import answering
from flows.servers.private import BY_HAND

__all__ = ["by_hand"]

P = ParamSpec("P")
T = TypeVar("T")


def by_hand(flow: Callable[P, T]) -> Callable[P, T]:
    """Return the flow as one whose runs are tagged, and which raises a `ServerError` when Prefect does not answer."""

    def run(*arguments: P.args, **named: P.kwargs) -> T:
        with tags(BY_HAND), answering():
            return flow(*arguments, **named)

    return run
