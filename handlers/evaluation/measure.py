"""Base classes of measures, and what they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict
from torch import Tensor

from handlers.evaluation.subject import Explain, Subject
from handlers.explainers.attribution import Attribution, Curve
from handlers.models.action_model import ActionModel


class MeasureParameters(BaseModel):
    """Parameters of a measure; the defaults are those of the paper or of METRICS. Every number has a lower and an upper
    bound, which GetModel tells and the service checks at its door; every list has a most of entries."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


P = TypeVar("P", bound=MeasureParameters)


class Better(StrEnum):
    """Which way a number is good."""

    HIGHER = "higher"
    LOWER = "lower"
    NEITHER = ""


class LeftOut(Exception):
    """This measure says nothing about this clip and method; the text says why, and is counted in the table."""


@dataclass(frozen=True)
class Value:
    """One number of a measure. unit: "", "probability", "%", "frames", "px"."""

    number: float
    better: Better = Better.NEITHER
    unit: str = ""


@dataclass(frozen=True)
class Measured:
    """What a measure found for one clip (and one method).

    values: numbers by name, the first of them is the measure's own; averaged over clips in the table. left_out: names
    of values that are not defined here, with the reason. curves: for plots; averaged over clips where x is the same.
    arrays: float or uint8 tensors by name, which are kept per clip.
    """

    values: Mapping[str, Value]
    left_out: Mapping[str, str] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    arrays: Mapping[str, Tensor] = field(default_factory=dict)


class Measure(ABC, Generic[P]):
    """One measure. Stateless."""

    name: ClassVar[str]
    """As on the command line: "insertion"."""
    summary: ClassVar[str]
    """One line for `--help`: what the number means and which way is better."""
    source: ClassVar[str]
    """Paper and equation."""
    parameters: type[P]
    needs: ClassVar[frozenset[str]] = frozenset()
    """Parts of the ground truth without which it is left out: "label", "objects", "segment"."""

    def unsupported(self, model: ActionModel) -> str | None:
        """Why the measure cannot be taken on this model, or None when it can."""
        return None

    @abstractmethod
    def forwards(self, model: ActionModel, frames: int, parameters: P) -> int:
        """How many clips go through the network for one clip of so many frames (and one method)."""


class MapMeasure(Measure[P]):
    """A measure of one explanation of one clip."""

    random_draws: ClassVar[int] = 5
    """How many random explanations the baseline is averaged over."""

    @abstractmethod
    def measure(self, subject: Subject, attribution: Attribution, parameters: P) -> Measured:
        """Raises LeftOut where the explanation has no such number: a constant map, no voxels."""

    def baselines(self, subject: Subject, parameters: P) -> Mapping[str, Attribution]:
        """Further orders to compare with beside "random", by name, which the evaluation also measures."""
        return {}


class ClipMeasure(Measure[P]):
    """A measure of the model on one clip, whatever explains it."""

    @abstractmethod
    def measure(self, subject: Subject, parameters: P) -> Measured:
        """Raises LeftOut."""


class AgreementMeasure(Measure[P]):
    """A measure of several explanations of one clip together."""

    @abstractmethod
    def measure(self, subject: Subject, attributions: Mapping[str, Attribution], parameters: P) -> Measured:
        """attributions: by the method's name with its parameters, as the user wrote it. Raises LeftOut."""


class ExplainAgainMeasure(Measure[P]):
    """A measure that explains the clip again, with another network or another clip."""

    @abstractmethod
    def measure(self, subject: Subject, method: str, explain: Explain, parameters: P) -> Measured:
        """explain: explains a clip by `method` on `subject`'s model, or on another. Raises LeftOut."""
