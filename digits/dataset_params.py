"""The params of one dataset: what ``params.yaml`` may hold under its name, a section per step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Self, get_args

from pydantic import Field, ValidationError, create_model, model_validator
from pydantic_core import ErrorDetails

from digits.data.bounds import ValidateParams
from digits.data.sources import IngestParams
from digits.data.split import LastRows, SplitParams
from digits.errors import ParamsError
from digits.experiments.assessment import EvaluateParams
from digits.models.families import FAMILIES
from digits.models.family import Family
from digits.models.networks import Network
from digits.params import Section
from digits.registry.gate import PromoteParams

__all__ = ["DatasetParams", "FitParams"]

if TYPE_CHECKING:

    class Families(Section): ...

    class Ensembles(Section): ...

else:
    #: A key per family, so that a fault is named with its path; those that are not named are not fitted. One that is
    #: named with nothing behind it is a fault: only the default may be none.
    Families, Ensembles = (
        create_model(
            title,
            __base__=Section,
            **{
                name: (family, Field(default=None, validate_default=False))
                for name, family in FAMILIES.items()
                if family.section == section
            },
        )
        for title, section in (("Families", "families"), ("Ensembles", "ensembles"))
    )


class FitParams(Section):
    """Section ``fit`` of ``params.yaml``: the seed, and each family and ensemble with its hyper-parameters."""

    seed: int = Field(ge=0, lt=2**32)  # what NumPy's and scikit-learn's generators take
    singles: Families = Field(alias="families")
    combined: Ensembles = Field(alias="ensembles")  # `{}` for none: dvc.yaml has a stage for each

    @property
    def families(self) -> dict[str, Family]:
        """What to fit, by name: the families, then the ensembles."""
        named: dict[str, Family | None] = {**dict(self.singles), **dict(self.combined)}
        return {name: family for name in FAMILIES if (family := named[name]) is not None}

    @model_validator(mode="after")
    def _members_are_fitted(self) -> Self:
        fitted = [name for name, family in self.families.items() if not family.members]
        for name, family in self.families.items():
            if missing := sorted(set(family.members) - set(fitted)):
                known = f"not among the families {', '.join(fitted)}"
                raise ValueError(f"ensembles.{name}.members names {', '.join(missing)}, {known}")
            if len(set(family.members)) < len(family.members):
                raise ValueError(f"ensembles.{name}.members names a family twice: {', '.join(family.members)}")
        threads = {family.threads for family in self.families.values() if isinstance(family, Network)}
        if len(threads) > 1:
            raise ValueError(f"the networks' threads are {sorted(threads)}; TensorFlow has one number per process")
        if not fitted:
            raise ValueError(f"families names none; there are {', '.join(dict(self.singles))}")
        return self


class DatasetParams(Section):
    """Everything that the results of one dataset depend on; a section per step, `{}` where its defaults will do."""

    ingest: IngestParams
    validate_: ValidateParams = Field(alias="validate")
    split: SplitParams
    fit: FitParams
    evaluate: EvaluateParams
    promote: PromoteParams

    @model_validator(mode="after")
    def _test_rows_are_those_of_the_split(self) -> Self:
        rows = self.split.test.rows if isinstance(self.split.test, LastRows) else None
        if self.validate_.test_rows not in {None, rows}:
            drawn = f"takes the last {rows}" if rows else "draws them at random; take test_rows out"
            raise ValueError(f"validate.test_rows is {self.validate_.test_rows}, but split.test {drawn}")
        return self

    @classmethod
    def read(cls, content: Any, *, path: str) -> Self:
        """Return the params that `content`, plain values found under the key `path`, spells.

        Raises
        ------
        ParamsError
            It holds an unknown key, a wrong type or a value out of range; the message begins with the key's path.
        """
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ParamsError(_one_line(error, content, section=path)) from error


def _one_line(error: ValidationError, content: Any, *, section: str) -> str:
    """Return the first fault with the path of its key, and how many more there are."""
    faults: dict[tuple[str, ...], list[ErrorDetails]] = {}
    for fault in error.errors():
        faults.setdefault(_keys(fault["loc"], content), []).append(fault)
    keys, (first, *others) = next(iter(faults.items()))
    path = ".".join([section, *keys])
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = _keys_beside(first["loc"])
        return f"{path} is not a known key{f'; known are {known}' if known else ''}{more}"
    # Where a key takes values of several kinds, each says what it wants.
    wanted = " or ".join(dict.fromkeys(fault["msg"].removeprefix("Value error, ") for fault in (first, *others)))
    found = "" if isinstance(first["input"], dict) else f" is {first['input']!r}"
    return f"{path}{found}: {wanted}{more}"


def _keys(path: tuple[int | str, ...], content: Any) -> tuple[str, ...]:
    """Return the keys of `content` that lead to a fault; between them pydantic names kinds that a value may have."""
    keys: list[str] = []
    sections: list[type[Section]] = [DatasetParams]
    for part in path:
        if len(sections) > 1:
            sections = _of_kind(sections, part)
        elif isinstance(content, list if isinstance(part, int) else dict):
            keys.append(str(part))
            sections = _below(sections, part)
            content = dict(enumerate(content) if isinstance(content, list) else content).get(part)
    return tuple(keys)


def _keys_beside(path: tuple[int | str, ...]) -> str:
    """Return the keys that the section at `path` may hold, but for its last part."""
    sections: list[type[Section]] = [DatasetParams]
    for part in path[:-1]:
        sections = _of_kind(sections, part) if len(sections) > 1 else _below(sections, part)
    return ", ".join(field.alias or name for section in sections for name, field in section.model_fields.items())


def _of_kind(sections: Sequence[type[Section]], kind: int | str) -> list[type[Section]]:
    """Return the one of several sections that pydantic chose, by the value of the field that tells them apart."""
    return [section for section in sections if kind in {field.default for field in section.model_fields.values()}]


def _below(sections: Sequence[type[Section]], key: int | str) -> list[type[Section]]:
    """Return the sections among which the key of a section leaves a choice; none where it has a plain value."""
    fields = {field.alias or name: field for section in sections for name, field in section.model_fields.items()}
    return _sections(fields[str(key)].annotation) if key in fields else []


def _sections(annotation: Any) -> list[type[Section]]:
    """Return the sections among which an annotation leaves a choice."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [section for part in get_args(annotation) for section in _sections(part)]
