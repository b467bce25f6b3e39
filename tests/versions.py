"""What tests of the registry ask of a checkout with versions, and do to it, in their own process."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from digits.experiments.evaluation import Evaluation
from digits.registry.versions import Registry
from digits.steps import candidates, promotion, stages
from digits.steps.data import load_split

__all__ = ["NAME", "State", "damaged", "evaluated", "history", "model_file", "promote", "serves", "told"]

NAME = "digits-classifier"


def promote(checkout: Any, memory: Any = None, **arguments: Any) -> Any:
    """Propose a promotion and conclude it, and return its entry in the ledger."""
    memory = memory or checkout.memory()
    proposal = promotion.propose(checkout.project, "digits", memory=memory, **arguments)
    return promotion.conclude(checkout.project, "digits", proposal, memory=memory)


def serves(checkout: Any) -> int:
    """Return the number of the version that holds ``@production``."""
    return Registry(checkout.memory()).stages.holders()["production"]


def told(checkout: Any, memory: Any = None) -> dict[int, tuple[str, str]]:
    """Return version → the stage that its tag and MLflow's own field say."""
    found = (memory or checkout.memory()).client.search_model_versions(f"name = '{NAME}'")
    return {int(item.version): (item.tags.get("stage", "None"), item.current_stage) for item in found}


def history(checkout: Any) -> list[Any]:
    """Return the ledger."""
    return stages.history(checkout.project, memory=checkout.memory())


def model_file(checkout: Any, version: int) -> Path:
    """Return the file of a version's model in the store's folder."""
    address = checkout.memory().client.get_model_version_download_uri(NAME, str(version))
    path = address.removeprefix(checkout.artifacts.as_uri()).removeprefix("mlflow-artifacts:")
    return Path(f"{checkout.artifacts}{path}", "artifacts", "model", "model.skops")


@contextmanager
def damaged(checkout: Any, version: int) -> Iterator[None]:
    """Take the last bytes of a version's model away in the block."""
    path = model_file(checkout, version)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    try:
        yield
    finally:
        path.write_bytes(content)


@dataclass(frozen=True)
class State:
    """What the store of a checkout's versions holds at some moment."""

    database: bytes
    files: frozenset[Path]

    @classmethod
    def of(cls, checkout: Any) -> State:
        """Return what it holds now."""
        files = frozenset(Path(folder, name) for folder, _, names in os.walk(checkout.artifacts) for name in names)
        return cls(database=checkout.database.read_bytes(), files=files)

    def restore(self, checkout: Any) -> None:
        """Make it hold again what it did before: files were only added to it.

        The database by SQLite's own means: a server's connections see by a counter in the file that what they remember
        of it has changed, and bytes written over it would turn that counter back.
        """
        with closing(sqlite3.connect(":memory:")) as held, closing(sqlite3.connect(checkout.database)) as store:
            for pragma in (
                "synchronous = OFF",
                "journal_mode = MEMORY",
            ):  # nothing else writes to it, and no power fails
                store.execute(f"PRAGMA {pragma}")
            held.deserialize(self.database)
            held.backup(store)
        for path in State.of(checkout).files - self.files:
            path.unlink()


def evaluated(checkout: Any, family: str, *, memory: Any) -> Evaluation:
    """Return the last evaluation as if this family had been alone in it, with its candidate as the server knows it."""
    project = checkout.project
    done = Evaluation.load(
        project.evaluation("digits"),
        candidate=partial(project.candidate, "digits"),
        split=load_split(project, "digits"),
    )
    (row,) = (row for row in done.rows if row.family == family)
    candidate = candidates.fit(project, "digits", family, memory=memory).candidate
    return replace(done, rows=(replace(row, candidate=candidate),))
