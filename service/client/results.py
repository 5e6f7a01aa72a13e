"""Gives answers as numbers and NumPy arrays, beside the message they came in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format
from numpy.typing import NDArray

from actionlens.tensors import to_array
from actionlens.v1 import answer_pb2, explanation_pb2, service_pb2
from service.errors import ActionLensError
from service.evaluation.measurement import ClipMeasurement
from service.unique_names import explanation_names


@dataclass(frozen=True)
class ExplanationResult:
    """One explanation. message: as it came. seconds: computing time."""

    message: explanation_pb2.Explanation
    seconds: float

    @property
    def method(self) -> str:
        """The method's name, "grad-cam"."""
        return self.message.method

    @property
    def reading(self) -> str:
        """One line for people."""
        return self.message.reading

    @property
    def failed(self) -> bool:
        """Whether this method failed while the rest of the answer stands; `values` raises the reason then."""
        return self.message.HasField("failure")

    @cached_property
    def values(self) -> NDArray[np.float32]:
        """Native values: saliency [T', H', W'], relevance matrix [T', N], frame attribution [N] or [N, K].
        An evaluation has rows, no values: [0].

        Raises ActionLensError with the reason when the method failed.
        """
        if self.failed:
            failure = self.message.failure
            error = ActionLensError(failure.message, field=failure.field, reason=failure.reason)
            error.code = _code(failure.code)
            raise error
        kind = self.message.WhichOneof("value")
        if kind is None or kind == "evaluation":
            return np.zeros(0, np.float32)
        return to_array(getattr(self.message, kind).values)

    @cached_property
    def mask(self) -> NDArray[np.bool_] | None:
        """bool [T', H', W']: what a selective method keeps; None for other methods."""
        saliency = self.message.saliency
        return to_array(saliency.mask) > 0 if saliency.HasField("mask") else None

    @property
    def frame_positions(self) -> tuple[float, ...]:
        """The model frame at the centre of each of the T' steps (rows); empty for frame attributions."""
        kind = self.message.WhichOneof("value")
        return tuple(getattr(getattr(self.message, kind or ""), "frame_positions", ()))

    @property
    def quality(self) -> dict[str, float]:
        """The numbers that were computed: motion_share, selected_positions, conservation_defect, frame_entropy,
        agreement (with the other explanations), insertion_deletion_gap (where asked for)."""
        return {field.name: value for field, value in self.message.quality.ListFields() if field.has_presence}

    @cached_property
    def arrays(self) -> Mapping[str, NDArray[np.float32]]:
        """Further arrays by name; of an evaluation "MEASURE/METHOD/NAME"."""
        return {name: to_array(tensor) for name, tensor in self.message.arrays.items()}

    def measurements(self, clip: str) -> list[ClipMeasurement]:
        """The rows of an evaluation; of other methods none. clip: the clip's name, for the rows.

        A measure that is left out as a whole has one row with an empty value.
        """
        return [
            ClipMeasurement(
                clip=clip,
                method=row.method,
                measure=row.measure,
                value=row.value,
                number=row.number if row.HasField("number") else None,
                left_out=row.left_out,
                better=row.better,
                unit=row.unit,
            )
            for row in self.message.evaluation.rows
        ]

    @property
    def curves(self) -> Sequence[explanation_pb2.EvaluationCurve]:
        """The series of an evaluation, each with its method and measure; of other methods none."""
        return self.message.evaluation.curves

    @property
    def parameters(self) -> dict[str, Any]:
        """The parameters as used, after defaults."""
        return json_format.MessageToDict(self.message.provenance.parameters)


@dataclass(frozen=True)
class Result:
    """The answer for one clip or one window. message: as it came.

    `prediction.top[0].label` and `.probability`; `explanations["grad-cam"].values`; a method asked for twice is
    "grad-cam" and "grad-cam-2".
    """

    message: answer_pb2.Answer

    @property
    def prediction(self) -> explanation_pb2.Prediction:
        """`top`: classes, best first, each with index, label, logit and probability (0 .. 1)."""
        return self.message.prediction

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """float32 [K] over all classes."""
        return to_array(self.message.prediction.logits)

    @cached_property
    def frame_logits(self) -> NDArray[np.float32] | None:
        """float32 [T', K] where the model has logits per time step."""
        prediction = self.message.prediction
        return to_array(prediction.frame_logits) if prediction.HasField("frame_logits") else None

    @cached_property
    def explanations(self) -> Mapping[str, ExplanationResult]:
        """By method, in the order asked for."""
        seconds = [*self.message.timings.explain]
        seconds += [0.0] * (len(self.message.explanations) - len(seconds))
        found = zip(explanation_names(self.message), self.message.explanations, seconds, strict=False)
        return {name: ExplanationResult(entry, spent) for name, entry, spent in found}

    @property
    def agreement(self) -> float | None:
        """Mean rank correlation over frames of all pairs of explanations, -1 .. 1; None where there is none."""
        quality = self.message.quality
        return quality.agreement if quality.HasField("agreement") else None

    @property
    def frames(self) -> answer_pb2.FrameReport:
        """Frames of the source that the model saw: numbers, times, and their placement in its input."""
        return self.message.frames

    @property
    def timings(self) -> answer_pb2.Timings:
        """Seconds per stage."""
        return self.message.timings


@dataclass(frozen=True)
class WindowResult(Result):
    """The answer for one window of a stream. window_message: the whole message with `counts`.

    window: 0, 1, 2 ... over the windows that came due. lag: seconds from the arrival of its newest frame at the
    service to the answer. skipped_windows: so far, because a newer one was ready.
    """

    window_message: service_pb2.WindowAnswer

    @classmethod
    def of(cls, message: service_pb2.WindowAnswer) -> WindowResult:
        """The result in a stream's message."""
        return cls(message.answer, message)

    @property
    def window(self) -> int:
        return self.window_message.window

    @property
    def lag(self) -> float:
        return self.window_message.lag

    @property
    def counts(self) -> service_pb2.FrameCounts:
        """Frames since the stream opened: received = used + dropped_* + rejected + waiting."""
        return self.window_message.counts

    @property
    def skipped_windows(self) -> int:
        return self.window_message.skipped_windows


def _code(number: int) -> grpc.StatusCode:
    return next((code for code in grpc.StatusCode if code.value[0] == number), grpc.StatusCode.UNKNOWN)
