"""What the hot path notes about its work, in plain values; `service/metrics.py` turns it into metrics."""

from __future__ import annotations

from dataclasses import dataclass

from actionlens.v1 import answer_pb2


@dataclass(frozen=True, slots=True)
class MethodRecord:
    """One explanation. seconds: what computing it took; the other two as in actionlens.v1.Quality."""

    method: str
    seconds: float
    motion_share: float | None
    conservation_defect: float | None


@dataclass(frozen=True, slots=True)
class AnswerRecord:
    """One answered clip or window. Times in seconds; level: "prediction", "grad_cam" ...; predict: its share of the
    batch's forward."""

    model: str
    level: str
    decode: float
    queue: float
    transport: float
    forward: float
    predict: float
    encode: float
    total: float
    methods: tuple[MethodRecord, ...]


def record_answer(answer: answer_pb2.Answer) -> AnswerRecord:
    """What metrics need to know of an answer."""
    methods = tuple(
        MethodRecord(
            method=explanation.method,
            seconds=seconds,
            motion_share=explanation.quality.motion_share if explanation.quality.HasField("motion_share") else None,
            conservation_defect=explanation.quality.conservation_defect
            if explanation.quality.HasField("conservation_defect")
            else None,
        )
        for explanation, seconds in zip(answer.explanations, answer.timings.explain, strict=False)
        if not explanation.HasField("failure")
    )
    times = answer.timings
    level = answer_pb2.ExplanationLevel.Name(answer.level).removeprefix("EXPLANATION_LEVEL_").lower()
    return AnswerRecord(
        model=answer.model,
        level=level,
        decode=times.decode,
        queue=times.queue,
        transport=times.transport,
        forward=times.forward,
        predict=predict_seconds(times),
        encode=times.encode,
        total=times.total,
        methods=methods,
    )


def predict_seconds(times: answer_pb2.Timings) -> float:
    """What predicting took for this clip alone: its share of the batch's forward, as `explain` has shares."""
    return times.forward / max(1, times.batch_size)
