"""Records of answers and frames in plain values, as the hot path makes them and the metrics count them."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2

SEVERAL = "several"
"""Stands for a method's name where several methods were timed together."""


@dataclass(slots=True)
class FrameCounts:
    """Totals since the stream opened; the fields of actionlens.v1.FrameCounts."""

    received: int = 0
    used: int = 0
    dropped_stale: int = 0
    dropped_full: int = 0
    rejected: int = 0
    waiting: int = 0
    missing: int = 0
    resized: int = 0
    clock_jumps: int = 0


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """One explanation.

    seconds: of computing it. failed: whether there is only the reason why there is none. measuring: seconds of its
    insertion-deletion gap, 0 where that is not asked for. The others as in actionlens.v1.Quality and RelevanceMatrix
    (lengths in frames), None where there is no such number.
    """

    method: str
    seconds: float
    failed: bool
    motion_share: float | None
    conservation_defect: float | None
    average_length: float | None
    maximum_length: float | None
    measuring: float = 0.0
    insertion_deletion_gap: float | None = None
    agreement: float | None = None


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answered clip or window. Times are in seconds; level: "prediction", "grad_cam" ...

    label, confidence: the best class and its probability. predict: this clip's share of the batch's forward.
    together: of several methods' seconds only the sum is known. trace: the one that tells of it, in hexadecimal, or "".
    """

    model: str
    level: str
    label: str
    confidence: float
    decode: float
    queue: float
    transport: float
    forward: float
    predict: float
    encode: float
    total: float
    methods: tuple[MethodRecord, ...]
    together: bool
    trace: str

    def explaining(self) -> list[tuple[str, float]]:
        """List the seconds of the computed explanations: by method, or one entry for SEVERAL together."""
        spent = [(entry.method, entry.seconds) for entry in self.methods if not entry.failed]
        return [(SEVERAL, sum(seconds for _, seconds in spent))] if self.together and len(spent) > 1 else spent


def record_answer(answer: answer_pb2.Answer, trace: str = "") -> AnswerRecord:
    """Take from an answer what the metrics need. trace: the answer's trace in hexadecimal, or ""."""
    times = answer.timings
    methods = tuple(
        _record_method(explanation, seconds, measuring)
        for explanation, seconds, measuring in zip(
            answer.explanations, times.explain, times.measure or [0.0] * len(times.explain), strict=False
        )
    )
    best = answer.prediction.top[0]
    level = answer_pb2.ExplanationLevel.Name(answer.level).removeprefix("EXPLANATION_LEVEL_").lower()
    return AnswerRecord(
        model=answer.model,
        level=level,
        label=best.label,
        confidence=best.probability,
        decode=times.decode,
        queue=times.queue,
        transport=times.transport,
        forward=times.forward,
        predict=predict_seconds(times),
        encode=times.encode,
        total=times.total,
        methods=methods,
        together=times.explain_together,
        trace=trace,
    )


def predict_seconds(times: answer_pb2.Timings) -> float:
    """The seconds of predicting this clip alone: its share of the batch's forward, as `explain` has shares."""
    return times.forward / max(1, times.batch_size)


def explain_seconds(times: answer_pb2.Timings | worker_pb2.ComputeTimings) -> float:
    """The seconds of explaining this clip, measures of its explanations included."""
    return sum(times.explain) + sum(times.measure)


def _record_method(explanation: explanation_pb2.Explanation, seconds: float, measuring: float) -> MethodRecord:
    quality, matrix = explanation.quality, explanation.relevance_matrix
    # Lengths that count blocks of frames are not to be mixed with those of frames.
    of_blocks = bool(dict(explanation.provenance.parameters).get("blocks", False))
    return MethodRecord(
        method=explanation.method,
        seconds=seconds,
        failed=explanation.HasField("failure"),
        motion_share=_set(quality, "motion_share"),
        conservation_defect=_set(quality, "conservation_defect"),
        measuring=measuring,
        insertion_deletion_gap=_set(quality, "insertion_deletion_gap"),
        agreement=_set(quality, "agreement"),
        average_length=None if of_blocks else _set(matrix, "average_length"),
        maximum_length=None if of_blocks else _set(matrix, "maximum_length"),
    )


def _set(message: Message, field: str) -> float | None:
    return getattr(message, field) if message.HasField(field) else None
