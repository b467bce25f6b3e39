"""Params: everything a result depends on, and nothing else.

Each step defines its own `Section` beside its code and receives that section alone; ``digits.project`` puts them
together from ``params.yaml``. There is no environment override: DVC and MLflow would not see it.
"""

from __future__ import annotations

from typing import Any, get_args

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]


class Section(BaseModel):
    """One section of ``params.yaml``: strict about its keys, and never changed after it was read."""

    # Text is taken for a number where it spells one: to YAML 1e-4 is text.
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, validate_default=True)

    @model_validator(mode="before")
    @classmethod
    def _truth_is_no_number(cls, content: Any) -> Any:
        """Spell true and false where a field wants numbers: Python takes them for 1 and 0."""
        if not isinstance(content, dict):
            return content
        numbers = {
            key
            for name, field in cls.model_fields.items()
            for key in (name, field.alias)
            if (kinds := _plain_types(field.annotation)) & {int, float} and bool not in kinds
        }
        return {key: _spelt(value) if key in numbers else value for key, value in content.items()}


def _plain_types(annotation: Any) -> set[Any]:
    """Return the types that an annotation is made of, at any depth."""
    inner = get_args(annotation)
    return set().union(*map(_plain_types, inner)) if inner else {annotation}


def _spelt(value: Any) -> Any:
    """Return `value` with true and false as text, also within lists and mappings."""
    if isinstance(value, list):
        return [_spelt(item) for item in value]
    if isinstance(value, dict):
        return {key: _spelt(item) for key, item in value.items()}
    return str(value).lower() if isinstance(value, bool) else value
