"""The bounds of every rule: section ``validate`` of a dataset in ``params.yaml``."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PositiveInt, model_validator

from digits.data.summary import N_CLASSES
from digits.params import Section

__all__ = ["Reference", "ValidateParams"]

N_DECILES = 9


def _ascending(values: tuple[float, ...]) -> tuple[float, ...]:
    if list(values) != sorted(values):
        raise ValueError(f"wanted ascending numbers, found {list(values)}")
    return values


Share = Annotated[float, Field(ge=0, le=1)]
Shares = Annotated[tuple[Share, Share], AfterValidator(_ascending)]
Counts = Annotated[tuple[PositiveInt, PositiveInt], AfterValidator(_ascending)]


class Reference(Section):
    """How labels and ink are distributed in the dataset as it was published.

    Attributes
    ----------
    label_shares
        Share of each digit, from 0 to 9.
    ink_deciles
        The nine deciles of the images' ink (mean of the pixels as a share of full ink).
    tolerance
        How far a distribution may stray: total variation distance for labels, Kolmogorov's at the deciles for ink.
    """

    label_shares: Annotated[tuple[Share, ...], Field(min_length=N_CLASSES, max_length=N_CLASSES)]
    ink_deciles: Annotated[
        tuple[Share, ...], Field(min_length=N_DECILES, max_length=N_DECILES), AfterValidator(_ascending)
    ]
    tolerance: float = Field(gt=0, lt=1)

    @model_validator(mode="after")
    def _shares_are_whole(self) -> Reference:
        if abs(sum(self.label_shares) - 1) > 1e-3:
            raise ValueError(f"label_shares must add up to 1, found {sum(self.label_shares):.4f}")
        return self


class ValidateParams(Section):
    """Section ``validate`` of ``params.yaml``; the defaults suit anyone's own pictures in the frame of MNIST.

    Attributes
    ----------
    rows
        Fewest and most images.
    height, width, max_value
        Size of every image in pixels, and the value of a pixel that is full of ink.
    class_share
        Smallest and largest share of all images that one digit may have.
    ink_level
        Share of `max_value` above which a pixel counts as inked.
    inked
        Smallest and largest share of an image's pixels that are inked: less is blank, more is saturated.
    min_size
        Shortest longer side of the box around the inked pixels, as a share of the image's side.
    max_offset
        Farthest that the centre of mass may lie from the middle, as a share of the image's side.
    mean_ink
        Smallest and largest mean of all pixels, as a share of `max_value`.
    reference
        Distribution of labels and ink to compare with; None when there is none.
    test_rows
        How many of the last rows are the publisher's test split. None: a random one will be drawn, then no image may
        stand twice at all.
    on_invalid
        Whether rows that break a rule about images fail the run or are set aside.
    """

    rows: Counts = (10, 10_000_000)
    height: PositiveInt = 28
    width: PositiveInt = 28
    max_value: Annotated[int, Field(gt=0, le=255)] = 255
    class_share: Shares = (0.02, 0.5)
    ink_level: Annotated[float, Field(ge=0, lt=1)] = 0.25
    inked: Shares = (0.01, 0.75)
    min_size: Share = 0.25
    max_offset: Share = 0.2
    mean_ink: Shares = (0.02, 0.5)
    reference: Reference | None = None
    test_rows: PositiveInt | None = None
    on_invalid: Literal["fail", "quarantine"] = "fail"
