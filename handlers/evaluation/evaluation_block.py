"""The evaluation of one clip as a resumable iteration: in blocks of a few seconds, whose whole memory is a State."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.engine.block import advance as advance_method
from handlers.engine.engine import ClipRequest, Engine, MethodCall, engine_error
from handlers.errors import INTERNAL, RequestError
from handlers.evaluation.common.random_maps import random_map
from handlers.evaluation.evaluation_memory import Finding, Memory, Refused, mean_of
from handlers.evaluation.evaluation_request import AskedMeasure, EvaluationRequest, asked_measures
from handlers.evaluation.evaluation_units import (
    MeasureUnit,
    Source,
    Unit,
    method_text,
    units,
)
from handlers.evaluation.measure import (
    AgreementMeasure,
    ClipMeasure,
    ExplainAgainMeasure,
    LeftOut,
    MapMeasure,
    Measured,
)
from handlers.evaluation.subject import Explain, GroundTruth, Subject
from handlers.explainers import IterativeExplainer, State, methods
from handlers.explainers.attribution import Attribution, SaliencyVolume, Target
from handlers.models.action_model import ActionModel

_LOGITS = "subject.logits"
_TARGET = "subject.target"
_ITERATING = "iterating"
_FIELD = "methods[0].evaluate"
_MOST_ITERATIONS = 2000
"""Of explanations that a measure makes again, since these cannot be cut into blocks."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class EvaluationClip:
    """One clip to evaluate on.

    request: the clip, and the class to measure where `truth` names none; its methods do not count. visible: as in
    Subject.
    """

    request: ClipRequest
    truth: GroundTruth
    visible: tuple[int, int, int, int] | None = None


@dataclass(frozen=True)
class FoundRow:
    """What one measure found of one method. method: as the user wrote it, a baseline's name, or empty."""

    method: str
    measure: str
    baseline: bool
    finding: Finding


@dataclass(frozen=True)
class EvaluationBlock:
    """The outcome of one block. rows: of the parts that are done; forwards: that their measures took."""

    state: State
    subject: Subject
    rows: tuple[FoundRow, ...]
    forwards: int


def advance(
    engine: Engine, clip: EvaluationClip, request: EvaluationRequest, state: bytes, seconds: float, seed: int
) -> EvaluationBlock:
    """Evaluate a clip for about `seconds` more, one part at least; state: of the block before, empty at the start.

    The rows are the same however parts are cut into blocks. A method or measure that fails on the clip is left out with
    its reason. Raises RequestError where the whole request cannot be done.
    """
    engine.model.check_clip(clip.request.clip)
    evaluation = _Evaluation(engine, clip, request, State.from_bytes(state) if state else None, seed)
    evaluation.run(seconds)
    return evaluation.block()


class _Evaluation:
    def __init__(
        self, engine: Engine, clip: EvaluationClip, request: EvaluationRequest, before: State | None, seed: int
    ) -> None:
        self._engine = engine
        self._request = request
        self._seed = seed
        self._asked = asked_measures(request, engine.model, _FIELD)
        self._position = before.iteration if before is not None else 0
        self._memory = Memory()
        if before is None:
            logits = self._logits(clip.request)
            target = self._target(clip, logits)
        else:
            logits, target = before.arrays[_LOGITS], Target(before.numbers[_TARGET])
            held = before.arrays.get(_ITERATING)
            iterating = held.numpy().tobytes() if held is not None else b""
            self._memory = Memory.unpack(before.arrays, before.numbers, iterating)
        self._subject = Subject(
            model=engine.model,
            clip=clip.request.clip,
            logits=logits,
            target=target,
            # Of the clip too: noise that is alike for all clips would not average out over them.
            seed=_mixed(seed, clip.request),
            truth=clip.truth,
            visible=clip.visible,
        )
        self._units = units(request, self._asked, self._subject)
        if before is None and (reason := self._filtered()) is not None:
            self._memory.left_out = reason
            self._position = len(self._units)

    def run(self, seconds: float) -> None:
        begun = time.perf_counter()
        while self._position < len(self._units):
            started = time.perf_counter()
            unit = self._units[self._position]
            if not self._done(unit, seconds - (started - begun)):
                break
            self._position += 1
            now = time.perf_counter()
            # The next part is most often like this one.
            if now - begun + (now - started) > seconds:
                break

    def block(self) -> EvaluationBlock:
        if self._position >= len(self._units):
            self._memory.explained.clear()  # nobody needs the explanations any more
        arrays, numbers = self._memory.pack()
        arrays[_LOGITS] = self._subject.logits.clone()
        if self._memory.iterating:
            arrays[_ITERATING] = torch.frombuffer(bytearray(self._memory.iterating), dtype=torch.uint8)
        numbers[_TARGET] = self._subject.target.index
        count = len(self._units)
        state = State(self._position, count, self._position >= count, arrays=arrays, numbers=numbers)
        return EvaluationBlock(state, self._subject, tuple(self._rows()), self._memory.forwards)

    def _rows(self) -> list[FoundRow]:
        rows: dict[str, FoundRow] = {}
        for unit in self._units:
            if not isinstance(unit, MeasureUnit) or unit.key in rows:
                continue
            finding = self._memory.left_out or self._memory.found.get(unit.key)
            if finding is not None:
                rows[unit.key] = FoundRow(unit.name, self._asked[unit.measure].text, unit.baseline, finding)
        return list(rows.values())

    @torch.inference_mode()
    def _logits(self, request: ClipRequest) -> Tensor:
        clips = self._engine.model.prepare([request.clip])
        logits = self._engine.model.program.forward(clips, {}, relevance=False).logits[0].clone()
        if not logits.isfinite().all():
            raise RequestError("the model's logits are not finite", reason="LOGITS_NOT_FINITE", code=INTERNAL)
        return logits

    def _target(self, clip: EvaluationClip, logits: Tensor) -> Target:
        label = self._engine.class_index(clip.truth.label, "target.explained")
        if label is not None:
            return Target(label)
        return Target(self._engine.target(replace(clip.request, contrast=None), logits).index)

    def _filtered(self) -> Refused | None:
        """Why the whole clip is left out."""
        subject, labels = self._subject, self._engine.model.card.labels
        if self._request.correct_only:
            if subject.truth.label is None:
                return Refused("only correct clips count, and its class is not known", ("label",))
            if not subject.correct:
                return Refused("the top-1 class is another than the ground truth's")
        if subject.probability < self._request.min_score:
            return Refused(f"{labels[subject.target.index]} has a probability below {self._request.min_score:g}")
        return None

    def _done(self, unit: Unit, seconds: float) -> bool:
        """Do a part; an iteration only goes on for a while. Returns whether the part is done."""
        if isinstance(unit, MeasureUnit):
            self._measure(unit)
            return True
        if unit.iterative:
            return self._iterated(unit.methods[0], seconds)
        for number, found in zip(unit.methods, self._explained(unit.methods), strict=True):
            self._memory.explain(number, found)
        return True

    def _explained(self, numbers: tuple[int, ...]) -> list[Attribution | str]:
        """Explain by all live methods, from one forward; a text where one fails."""
        calls = [self._request.methods[number] for number in numbers]
        (answer,) = self._engine.explain([self._asking(*calls)])
        if isinstance(answer, RequestError):
            return [answer.message] * len(calls)
        return [
            entry.result.message if isinstance(entry.result, RequestError) else entry.result
            for entry in answer.explained
        ]

    def _iterated(self, number: int, seconds: float) -> bool:
        memory, asking = self._memory, self._asking(self._request.methods[number])
        try:
            block = advance_method(self._engine, asking, memory.iterating, seconds, self._seed, result=False)
            memory.iterating = block.state.to_bytes()
            if not block.state.done:
                return False
            memory.explain(number, self._iteration_result(self._engine, asking, memory.iterating))
        except RequestError as error:
            memory.explain(number, error.message)
        except Exception as error:  # a fault of one method must not take the others' rows away
            memory.explain(number, engine_error(error).message)
        memory.iterating = b""
        return True

    def _iteration_result(self, engine: Engine, asking: ClipRequest, state: bytes) -> Attribution:
        block = advance_method(engine, asking, state, 0.0, self._seed, result=True)
        assert block.result is not None
        return block.result

    def _asking(self, *calls: MethodCall) -> ClipRequest:
        return ClipRequest(self._subject.clip, calls, self._subject.target.index)

    def _measure(self, unit: MeasureUnit) -> None:
        memory, asked = self._memory, self._asked[unit.measure]
        finding = self._finding(unit, asked)
        if isinstance(finding, Measured):
            memory.forwards += asked.measure.forwards(self._subject.model, len(self._subject.clip), asked.parameters)
        if unit.source is not Source.RANDOM:
            memory.find(unit.key, finding)
            return
        memory.draws.append(finding)
        if unit.draw == asked.draws(self._request.draws) - 1:
            memory.find(unit.key, mean_of(memory.draws))
            memory.draws = []

    def _finding(self, unit: MeasureUnit, asked: AskedMeasure) -> Finding:
        lacks = tuple(sorted(asked.measure.needs - self._known))
        if lacks:
            return Refused(f"nothing is known of the clip's {' and '.join(lacks)}", lacks)
        try:
            measured = self._measured(unit, asked)
        except LeftOut as reason:
            return Refused(str(reason))
        except RequestError as error:
            return Refused(error.message)
        except Exception as error:  # a fault of one measure must not take the others' rows away
            _log.error("measure %s failed", asked.text, exc_info=error)
            return Refused(f"{type(error).__name__} while measuring")
        return _finite(measured)

    def _measured(self, unit: MeasureUnit, asked: AskedMeasure) -> Measured:
        subject, parameters = self._subject, asked.parameters
        match asked.measure:
            case MapMeasure() as measure:
                return measure.measure(subject, self._attribution(unit, asked), parameters)
            case ClipMeasure() as measure:
                return measure.measure(subject, parameters)
            case AgreementMeasure() as measure:
                there = {
                    method_text(self._request.methods[number]): found
                    for number, found in sorted(self._memory.explained.items())
                    if not isinstance(found, str)
                }
                if len(there) < 2:
                    raise LeftOut("there are fewer than two explanations")
                return measure.measure(subject, there, parameters)
            case ExplainAgainMeasure() as measure:
                return measure.measure(subject, unit.name, self._explaining_again(asked), parameters)
            case _:
                raise TypeError(f"{type(asked.measure).__name__} is no kind of measure")

    def _attribution(self, unit: MeasureUnit, asked: AskedMeasure) -> Attribution:
        subject = self._subject
        match unit.source:
            case Source.RANDOM:
                return random_map(subject, unit.draw)
            case Source.EXACT:
                assert subject.truth.objects is not None
                return SaliencyVolume(subject.truth.objects.float(), tuple(map(float, range(len(subject.clip)))))
            case Source.OWN:
                assert isinstance(asked.measure, MapMeasure)
                orders: Mapping[str, Attribution] = asked.measure.baselines(subject, asked.parameters)
                return orders[unit.name]
            case _:
                found = self._memory.explained[unit.method]
                if isinstance(found, str):
                    raise LeftOut(found)
                if isinstance(found, SaliencyVolume) and found.undefined:
                    raise LeftOut(found.undefined)
                return found

    def _explaining_again(self, asked: AskedMeasure) -> Explain:
        """Explains for a measure, which does so some times within one part."""
        times = asked.measure.forwards(self._subject.model, len(self._subject.clip), asked.parameters)

        def explain(method: str, clip: NDArray[np.uint8], model: ActionModel | None = None) -> Attribution:
            engine = self._engine if model is None else Engine(model)
            call = next(call for call in self._request.methods if method_text(call) == method)
            asking = replace(self._asking(call), clip=clip)
            if isinstance(methods().get(call.name), IterativeExplainer):
                return self._iterated_again(engine, asking, times)
            (answer,) = engine.explain([asking])
            found = answer if isinstance(answer, RequestError) else answer.explained[0].result
            if isinstance(found, RequestError):
                raise found
            return found

        return explain

    def _iterated_again(self, engine: Engine, asking: ClipRequest, times: int) -> Attribution:
        block = advance_method(engine, asking, b"", 0.0, self._seed, result=False)
        if (count := times * block.state.iterations) > _MOST_ITERATIONS:
            raise LeftOut(f"it explains {times} times, {count} iterations; in one part are at most {_MOST_ITERATIONS}")
        while not block.state.done:
            block = advance_method(engine, asking, block.state.to_bytes(), math.inf, self._seed, result=False)
        return self._iteration_result(engine, asking, block.state.to_bytes())

    @cached_property
    def _known(self) -> frozenset[str]:
        truth = self._subject.truth
        parts = {"label": truth.label, "objects": truth.objects, "segment": truth.segment}
        return frozenset(name for name, part in parts.items() if part is not None)


def _finite(measured: Measured) -> Measured:
    """What is not finite is no number."""
    values = {name: value for name, value in measured.values.items() if math.isfinite(value.number)}
    curves = tuple(curve for curve in measured.curves if all(map(math.isfinite, (*curve.x, *curve.y))))
    arrays = {name: array for name, array in measured.arrays.items() if bool(array.isfinite().all())}
    names = (*measured.values, *(curve.name for curve in measured.curves), *measured.arrays)
    kept = (*values, *(curve.name for curve in curves), *arrays)
    lost = {name: "it is not finite" for name in names if name not in kept}
    if not lost:
        return measured
    return replace(measured, values=values, curves=curves, arrays=arrays, left_out={**measured.left_out, **lost})


def _mixed(seed: int, request: ClipRequest) -> int:
    """A seed of the job's and of the clip's content, 63 bits."""
    content = blake2b(request.clip.tobytes(), digest_size=8, salt=seed.to_bytes(16, "little")[:16])
    return int.from_bytes(content.digest(), "little") >> 1
