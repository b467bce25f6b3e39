"""Params: everything a result depends on, and nothing else.

Each step defines its own `Section` beside its code and receives that section alone; ``digits.project`` puts them
together from ``params.yaml``. There is no environment override: DVC and MLflow would not see it.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]


class Section(BaseModel):
    """One section of ``params.yaml``: strict about its keys, and never changed after it was read."""

    # Text is taken for a number where it spells one: to YAML 1e-4 is text.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, content: Any) -> Any:
        """Spell true and false where no field wants them: Python takes them for 1 and 0."""
        if not isinstance(content, dict):
            return content
        wanted = {key: field for name, field in cls.model_fields.items() for key in (name, field.alias)}
        spelt = {True: "true", False: "false"}
        return {
            key: spelt[value]
            if isinstance(value, bool) and key in wanted and "bool" not in str(wanted[key].annotation)
            else value
            for key, value in content.items()
        }
