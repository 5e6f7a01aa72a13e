"""Model cards: what a served model is and what it takes. YAML files, validated."""

from __future__ import annotations

import math
import re
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from actionlens.documents import DocumentError, read_yaml

CARD_FILE = "card.yaml"

_OWN = r"(?:[^\W\d]\w*(?:\.[^\W\d]\w*)*|[^\W\d]\w*\.py):[^\W\d]\w*"
_NAME = r"^[a-z0-9][a-z0-9._-]{0,63}$"


class CardError(ValueError):
    """A model card that cannot be used; the message names the file, the field and the fix."""


class Resize(StrEnum):
    """How a picture of any size becomes the model's frame."""

    STRETCH = "stretch"
    LETTERBOX = "letterbox"
    CROP = "crop"


class SamplingRule(StrEnum):
    """Which T of a file's n frames the model sees by default: as it was trained and evaluated.

    UNIFORM: spread over all, both ends included, rounded. SEGMENTS: the middle one of each of T equal segments (TSN,
    TRN, TSM). STARTS: the first one of each of T segments of n // T frames (Keras' LRCN). DENSE: from the first one on,
    a stride apart. SPAN: spread over T strides from the first one on, both ends included, rounded down (PySlowFast,
    PyTorchVideo). RATE: from the first one on, so many a second whatever the file's rate, rounded down (torchvision);
    as DENSE where the file's rate is not known.
    """

    UNIFORM = "uniform"
    SEGMENTS = "segments"
    STARTS = "starts"
    DENSE = "dense"
    SPAN = "span"
    RATE = "rate"

    @property
    def is_stretch(self) -> bool:
        """Whether the frames are a stretch whose length the stride or rate decides, not spread over the whole file."""
        return self in (SamplingRule.DENSE, SamplingRule.SPAN, SamplingRule.RATE)


class ColorOrder(StrEnum):
    """Order of the colour channels that the network expects; FLOW: optical flow in their place, two channels."""

    RGB = "rgb"
    BGR = "bgr"
    FLOW = "flow"


class Scores(StrEnum):
    """What a network puts out for a clip, [K] numbers.

    LOGITS: any numbers, whose softmax is the prediction. PROBABILITIES: that softmax. LOG_PROBABILITIES: its logarithm.
    SIGMOID: of every class for itself a probability; several may be near 1.
    """

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    LOG_PROBABILITIES = "log-probabilities"
    SIGMOID = "sigmoid"


_LEAST_OF_FLOW = 16
"""Pixels, of either side: optical flow is not computed in smaller pictures."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Weights(_Strict):
    """The trained parameters, a safetensors file beside the card; of the family `onnx`, the .onnx file itself."""

    file: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]

    @field_validator("file")
    @classmethod
    def _beside_the_card(cls, value: str) -> str:
        if Path(value).name != value or "\0" in value or not value.endswith((".safetensors", ".onnx")):
            raise ValueError("name a .safetensors or .onnx file that lies beside the card, without a folder")
        return value


class Code(_Strict):
    """The source of a network of one's own: a zip archive of Python files beside the card, run only where trusted."""

    # The one name, which nothing can import by: workers have the model's folder on their path.
    file: Literal["code.zip"] = "code.zip"
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Input(_Strict):
    """The clip that the network takes: pixel/255, minus mean, over std, per channel in network order.

    shorter: of resize crop, the pixels that the picture's shorter side is scaled to before the middle is cut out; 0: as
    few as fill the frame. color flow: the optical flow between its frames, within -1 .. 1, which no mean and std is
    applied to. fps: of sampling rate, frames per second that the network sees. windows: the network is run on so many
    parts of the clip, each of frames / windows frames, and its logits are averaged, as clip scores are; the sampling
    rule's stretches are spread over the file from its first frame to its last.
    """

    frames: Annotated[int, Field(ge=1, le=512)]
    height: Annotated[int, Field(ge=8, le=1024)]
    width: Annotated[int, Field(ge=8, le=1024)]
    resize: Resize = Resize.STRETCH
    color: ColorOrder = ColorOrder.RGB
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    sampling: SamplingRule = SamplingRule.UNIFORM
    stride: Annotated[int, Field(ge=1, le=64)] = 1
    shorter: Annotated[int, Field(ge=0, le=2048)] = 0
    fps: Annotated[float, Field(ge=0, le=1000)] = 0.0
    windows: Annotated[int, Field(ge=1, le=64)] = 1

    @field_validator("mean")
    @classmethod
    def _finite(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if not all(map(math.isfinite, value)):
            raise ValueError("every mean must be a finite number")
        return value

    @field_validator("std")
    @classmethod
    def _positive(cls, value: tuple[float, float, float]) -> tuple[float, float, float]:
        if any(not math.isfinite(v) or v <= 0 for v in value):
            raise ValueError("every std must be a positive number")
        return value

    @model_validator(mode="after")
    def _of_crop(self) -> Input:
        if self.shorter and self.resize is not Resize.CROP:
            raise ValueError(f"shorter: belongs to resize: crop, and it is {self.resize}")
        if self.shorter and self.shorter < min(self.height, self.width):
            raise ValueError(f"shorter: {self.shorter} pixels do not fill {self.width} x {self.height}; leave it out")
        return self

    @model_validator(mode="after")
    def _of_rate(self) -> Input:
        if (self.sampling is SamplingRule.RATE) != (self.fps > 0):
            raise ValueError("sampling: rate and fps, the frames per second that the network sees, belong together")
        return self

    @model_validator(mode="after")
    def _of_windows(self) -> Input:
        if self.frames % self.windows:
            raise ValueError(f"windows: {self.windows} do not share {self.frames} frames; frames are those of all")
        if self.windows > 1 and not self.sampling.is_stretch:
            raise ValueError(f"windows: are stretches of sampling: dense, span or rate, and it is {self.sampling}")
        if self.windows > 1 and self.color is ColorOrder.FLOW:
            raise ValueError("windows: color: flow would show the motion from one window to the next")
        return self

    @model_validator(mode="after")
    def _of_flow(self) -> Input:
        if self.color is ColorOrder.FLOW:
            if self.frames < 2:
                raise ValueError("color: flow lies between two frames, and the clip has one; give frames: 2 or more")
            if min(self.height, self.width) < _LEAST_OF_FLOW:
                raise ValueError(f"color: flow takes pictures of {_LEAST_OF_FLOW} x {_LEAST_OF_FLOW} pixels or more")
            if any(self.mean) or set(self.std) != {1.0}:
                raise ValueError("color: flow is within -1 .. 1 as it is; leave mean and std out")
        return self


class ModelCard(_Strict):
    """One served model.

    architecture: a family; or `model.py:build` or `package.module:build`, what makes the network in code of its own.
    scores: what its network puts out, as importing finds or the author says; absent: not known, taken for logits unless
    the file's graph shows otherwise. Predictions are shown as the network gives them; explanations start at the logits.
    """

    name: Annotated[str, Field(pattern=_NAME)]
    version: Annotated[str, Field(pattern=r"^[0-9][A-Za-z0-9.]{0,31}$")] = "1.0"
    description: str = ""
    licence: str = ""
    architecture: str
    arguments: dict[str, Any] = {}
    weights: Weights
    code: Code | None = None
    labels: Annotated[tuple[str, ...], Field(min_length=2)]
    input: Input
    layer: str = ""
    class_prior: tuple[float, ...] | None = None
    scores: Scores | None = None

    @property
    def of_network(self) -> ModelCard:
        """The card as it is of the network alone, which sees one window."""
        if self.input.windows == 1:
            return self
        one = {"frames": self.input.frames // self.input.windows, "windows": 1}
        return self.model_copy(update={"input": self.input.model_copy(update=one)})

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if (":" in self.architecture) != (self.code is not None):
            raise ValueError("code: belongs to an architecture of one's own, package.module:build or model.py:build")
        if self.code is not None and not re.fullmatch(_OWN, self.architecture):
            raise ValueError(
                f"architecture: {self.architecture!r} is not package.module:build, nor model.py:build of a file beside "
                "the card"
            )
        if len(set(self.labels)) != len(self.labels):
            raise ValueError("labels: every label must be different")
        if self.class_prior is not None:
            if len(self.class_prior) != len(self.labels):
                raise ValueError(f"class_prior: {len(self.class_prior)} numbers for {len(self.labels)} labels")
            if min(self.class_prior) < 0 or not math.isclose(sum(self.class_prior), 1.0, abs_tol=1e-4):
                raise ValueError("class_prior: must be probabilities that sum to 1")
        return self


def read_card(folder: Path) -> ModelCard:
    """Read and validate the card in a model's folder.

    Raises CardError when the file is absent, is not YAML, or has a field that does not fit.
    """
    path = folder / CARD_FILE
    try:
        document = read_yaml(path)
    except DocumentError as error:
        raise CardError(f"{path}: {error}") from error
    try:
        return ModelCard.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "card"
        raise CardError(f"{path}: {field}: {first['msg']}") from error


def write_card(card: ModelCard, folder: Path) -> Path:
    """Write a card into a model's folder and return its path."""
    path = folder / CARD_FILE
    document = card.model_dump(mode="json", exclude_none=True)
    path.write_text(yaml.safe_dump(document, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return path


def list_models(store: Path) -> dict[str, Path]:
    """Folders of a model store that hold a card, by model name, sorted.

    Raises CardError when a card is invalid or two cards share a name.
    """
    found: dict[str, Path] = {}
    for path in sorted(store.glob(f"*/{CARD_FILE}")):
        name = read_card(path.parent).name
        if name in found:
            raise CardError(f"{path}: name: {name!r} is already used by {found[name] / CARD_FILE}")
        found[name] = path.parent
    return found
