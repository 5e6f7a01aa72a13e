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
    """One answered clip or window. Times in seconds; level: "prediction", "grad_cam" ..."""

    model: str
    level: str
    decode: float
    queue: float
    transport: float
    forward: float
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
        encode=times.encode,
        total=times.total,
        methods=methods,
    )
