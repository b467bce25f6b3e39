"""The families that are networks: their hyper-parameters, and the estimator that they build."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from digits.models import tensorflow_runtime
from digits.models.family import Family, Search
from digits.models.keras_classifier import KerasClassifier
from digits.models.processor import has_bfloat16
from digits.params import Section

__all__ = ["Augmentation", "Cnn", "DenseNetwork", "Network", "Rnn"]

Width = Annotated[int, Field(ge=1, le=8192)]


class Augmentation(Section):
    """Bounds within which training images are distorted, anew in every epoch."""

    rotation: float = Field(default=10.0, ge=0, le=45, description="degrees")
    scale: float = Field(default=0.1, ge=0, le=0.5, description="relative change of each axis")
    shear: float = Field(default=8.0, ge=0, le=45, description="degrees")
    shift: float = Field(default=0.06, ge=0, le=0.5, description="share of the frame")


class Network(Family):
    """What the three networks share: how they are trained.

    Attributes
    ----------
    test_time_shift
        Predictions are the mean over an image and itself moved by so many pixels in each of four directions.
    dtype
        What training computes in. ``"auto"`` becomes ``"mixed_bfloat16"`` on a processor that has it and
        ``"float32"`` on any other, as soon as it is read: fingerprint, MLflow and DVC's record of the candidate tell
        which one it was.
    """

    epochs: int = Field(default=10, ge=1, le=1000)
    batch_size: Annotated[int, Search(choices=(32, 64, 128, 256))] = Field(default=128, ge=1, le=8192)
    learning_rate: Annotated[float, Search(1e-3, 0.03, log=True)] = Field(default=3e-3, gt=0, le=1)
    warm_up: float = Field(default=0.2, ge=0, lt=1)
    weight_decay: Annotated[float, Search(1e-4, 0.1, log=True)] = Field(default=0.01, ge=0, le=1)
    label_smoothing: Annotated[float, Search(0, 0.15)] = Field(default=0.05, ge=0, lt=1)
    dropout: Annotated[float, Search(0, 0.5)] = Field(default=0.2, ge=0, lt=1)
    augmentation: Augmentation | None = Augmentation()
    test_time_shift: int = Field(default=0, ge=0, le=4, description="pixels")
    dtype: Literal["float32", "mixed_bfloat16"] = "float32"

    @field_validator("dtype", mode="before")
    @classmethod
    def _what_this_processor_has(cls, dtype: Any) -> Any:
        if dtype == "auto":
            return "mixed_bfloat16" if has_bfloat16() else "float32"
        return dtype

    def import_libraries(self) -> None:
        """Import TensorFlow; see `Family.import_libraries`."""
        tensorflow_runtime.start(threads=self.threads)

    def build(self, *, seed: int) -> KerasClassifier:
        """Return an unfitted `KerasClassifier`; see `Family.build`."""
        shared = set(Network.model_fields) - {"dropout"}
        trained = self.model_dump(include=shared)
        return KerasClassifier(self.name, network_params=self.model_dump(exclude=shared), random_state=seed, **trained)


class DenseNetwork(Network):
    """Fully connected layers on the pixels: what a network knows without being told that they form an image.

    No dropout: images that are distorted anew in every epoch are enough to learn from.
    """

    name: ClassVar[str] = "dense_network"

    dropout: Annotated[float, Search(0, 0.5)] = Field(default=0.0, ge=0, lt=1)
    units: tuple[Width, ...] = Field(default=(512, 512), min_length=1)


class Cnn(Network):
    """Convolutions in stages, each stage on a smaller map."""

    name: ClassVar[str] = "cnn"

    stages: tuple[tuple[Width, ...], ...] = Field(default=((24,), (48, 48), (96, 96)), min_length=1)
    strides: tuple[Annotated[int, Field(ge=1, le=4)], ...] = (2, 1, 2)
    normalised: tuple[bool, ...] = (False, False, True)

    @model_validator(mode="after")
    def _one_value_for_each_stage(self) -> Self:
        if not len(self.stages) == len(self.strides) == len(self.normalised):
            raise ValueError(
                f"{len(self.stages)} stages, {len(self.strides)} strides, {len(self.normalised)} normalised: "
                "wanted one of each for every stage"
            )
        return self


class Rnn(Network):
    """A recurrent layer that reads the rows of the image as a sequence."""

    name: ClassVar[str] = "rnn"

    cell: Literal["lstm", "gru"] = "lstm"
    units: Width = 128
    rows_per_step: int = Field(default=4, ge=1)
    bidirectional: bool = True
