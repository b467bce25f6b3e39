"""Params: everything a result depends on, and nothing else.

Each step defines its own `Section` beside its code and receives that section alone; ``digits.project`` puts them
together from ``params.yaml``. There is no environment override: DVC and MLflow would not see it.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

__all__ = ["Section"]


class Section(BaseModel):
    """One section of ``params.yaml``: strict about its keys, and never changed after it was read."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)
