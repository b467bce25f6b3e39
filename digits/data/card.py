"""The card of a source, ``source.yaml``: what the images are, whose they are, and on what terms."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import Field, ValidationError

from digits.errors import SourceError
from digits.params import Section

__all__ = ["CARD", "Card", "read_card"]

CARD = "source.yaml"


class Card(Section):
    """What goes from the card into a snapshot's description.

    Attributes
    ----------
    title, homepage, licence, citation
        One line each.
    """

    title: str = Field(min_length=1)
    homepage: str = Field(min_length=1)
    licence: str = Field(min_length=1)
    citation: str = Field(min_length=1)

    def description(self) -> dict[str, str]:
        """Return title, homepage, licence and citation, and nothing that tells where the bytes came from."""
        return {name: getattr(self, name) for name in Card.model_fields}


C = TypeVar("C", bound=Card)


def read_card(folder: Path, *, model: type[C]) -> C:
    """Read the card in `folder`.

    Raises
    ------
    SourceError
        There is no ``source.yaml``, or it does not hold what `model` wants.
    """
    path = folder / CARD
    try:
        return model.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        message = " ".join(str(error).split())
        raise SourceError(f"cannot read the source's card: {message}; wanted {path}, mend or restore it") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole file"
        raise SourceError(f"{path}: {key}: {first['msg']}; mend or restore it") from error
