"""One block of a job's iteration: from a state to a later state, within a few seconds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from handlers.engine.engine import ClipRequest, Engine
from handlers.errors import INTERNAL, RESOURCE_EXHAUSTED, RequestError
from handlers.explainers import Question, State, iterative
from handlers.explainers.attribution import Attribution, Target, as_used
from handlers.relevance import MemoryLimitExceeded

_LOGITS = "question.logits"
_TARGET = "question.target"


@dataclass(frozen=True)
class JobBlock:
    """The outcome of one block of a job. result: None unless requested."""

    state: State
    logits: Tensor
    target: Target
    method: str
    parameters: Mapping[str, Any]
    result: Attribution | None


def advance(engine: Engine, request: ClipRequest, state: bytes, seconds: float, seed: int, result: bool) -> JobBlock:
    """Take a request's one method further from a serialised state, empty at the start.

    The clip's logits and target are found at the start and travel in the state. Raises RequestError; also for a state
    or an objective that is not finite: no later block would make it a number again, and no database takes it.
    """
    engine.model.check_clip(request.clip)
    if len(request.methods) != 1:
        raise RequestError(f"methods: {len(request.methods)}; a job runs one", field="methods", reason="ONE_METHOD")
    method, parameters = engine.resolve(iterative(request.methods[0].name), request.methods[0])
    try:
        if state:
            before = State.from_bytes(state)
            logits, target = before.arrays[_LOGITS], Target(*before.numbers[_TARGET])
        else:
            before, logits = None, _logits(engine, request)
            target = engine.target(request, logits)
            if target.contrast == target.index:
                raise RequestError(
                    f"target.contrast: is the explained class itself ({engine.model.card.labels[target.index]})",
                    field="target.contrast",
                    reason="CONTRAST_IS_TARGET",
                )
        question = Question(engine.model, request.clip, logits, target, parameters, seed)
        if before is None:
            before = method.start(question)
        after = before if before.done else method.advance(question, before, seconds)
        _check_finite(method.name, after)
        after = replace(
            after,
            arrays={**after.arrays, _LOGITS: logits},
            numbers={**after.numbers, _TARGET: [target.index, target.contrast]},
        )
        found = method.result(question, after) if result else None
    except MemoryLimitExceeded as error:
        raise RequestError(str(error), reason="MEMORY_LIMIT", code=RESOURCE_EXHAUSTED) from None
    return JobBlock(after, logits, target, method.name, as_used(parameters.model_dump(), found), found)


def _check_finite(method: str, state: State) -> None:
    lost = [name for name, array in state.arrays.items() if not bool(array.isfinite().all())]
    if state.objective is not None and not math.isfinite(state.objective):
        lost.append("objective")
    if lost:
        raise RequestError(
            f"{method} does not converge on this clip: after {state.iteration} iterations {', '.join(sorted(lost))} "
            "is no longer finite; parameters nearer to their defaults may",
            reason="VALUES_NOT_FINITE",
            code=INTERNAL,
        )


@torch.inference_mode()
def _logits(engine: Engine, request: ClipRequest) -> Tensor:
    clips = engine.model.prepare([request.clip])
    logits = engine.model.program.forward(clips, {}, relevance=False).logits[0].clone()
    if not logits.isfinite().all():
        raise RequestError("the model's logits are not finite", reason="LOGITS_NOT_FINITE", code=INTERNAL)
    return logits
