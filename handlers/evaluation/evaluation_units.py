"""The parts that the evaluation of one clip is cut into: what is explained, then each measure of each explanation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import torch

from handlers.engine.engine import MethodCall
from handlers.evaluation.evaluation_request import AskedMeasure, EvaluationRequest, text_of
from handlers.evaluation.measure import AgreementMeasure, ExplainAgainMeasure, MapMeasure
from handlers.evaluation.subject import Subject
from handlers.explainers import IterativeExplainer, methods
from handlers.explainers.attribution import Target
from handlers.models.action_model import ActionModel

RANDOM = "random"
"""Method of the rows of random explanations."""

EXACT_MASK = "exact-mask"
"""Method of the rows of the exact mask of the objects, as if it were an explanation."""


class Source(StrEnum):
    """What a measure is taken of."""

    METHOD = "method"
    OWN = "own"
    """An order that the measure itself compares with."""
    RANDOM = "random"
    EXACT = "exact"
    TOGETHER = "together"
    """All explanations, or none: the clip alone."""


@dataclass(frozen=True)
class ExplainUnit:
    """Explain by the methods of these numbers: all live ones at once, or one that is an iteration of its own."""

    methods: tuple[int, ...]
    iterative: bool


@dataclass(frozen=True)
class MeasureUnit:
    """Take one measure of one explanation (or of several, or of the clip).

    measure, method: numbers in the request; -1: of no method. name: of the row's method. draw: of a random explanation.
    """

    measure: int
    source: Source
    method: int = -1
    name: str = ""
    draw: int = 0

    @property
    def key(self) -> str:
        """Names the row: all draws share it."""
        return f"{self.measure}/{self.source}/{self.method}/{self.name}"

    @property
    def baseline(self) -> bool:
        """Whether what is measured is no method's explanation."""
        return self.source in (Source.OWN, Source.RANDOM, Source.EXACT)


Unit = ExplainUnit | MeasureUnit


def units(request: EvaluationRequest, asked: Sequence[AskedMeasure], subject: Subject) -> list[Unit]:
    """All parts in their order, which depends on nothing but the arguments."""
    calls = list(enumerate(request.methods))
    iterative = {number for number, call in calls if isinstance(methods().get(call.name), IterativeExplainer)}
    explained = any(isinstance(entry.measure, MapMeasure | AgreementMeasure) for entry in asked)
    found: list[Unit] = []
    if explained:
        if live := tuple(number for number, _ in calls if number not in iterative):
            found.append(ExplainUnit(live, iterative=False))
        found += [ExplainUnit((number,), iterative=True) for number, _ in calls if number in iterative]
    for number, entry in enumerate(asked):
        found += _of_measure(number, entry, request, subject)
    return found


def plain_subject(model: ActionModel, frames: int) -> Subject:
    """A black clip of so many frames, of which nothing is known: to count with."""
    size = model.card.input
    clip = np.zeros((frames, size.height, size.width, 3), np.uint8)
    return Subject(model, clip, torch.zeros(len(model.card.labels)), Target(0), seed=0)


def method_text(call: MethodCall) -> str:
    """A method as people write it."""
    return text_of(call.name, call.parameters)


def _of_measure(number: int, entry: AskedMeasure, request: EvaluationRequest, subject: Subject) -> list[Unit]:
    each: list[Unit] = [
        MeasureUnit(number, Source.METHOD, index, method_text(call)) for index, call in enumerate(request.methods)
    ]
    if isinstance(entry.measure, ExplainAgainMeasure):
        return each
    if not isinstance(entry.measure, MapMeasure):
        return [MeasureUnit(number, Source.TOGETHER)]
    # Least dependent on luck first: a table that is still growing can be read.
    own = entry.measure.baselines(subject, entry.parameters)
    each += [MeasureUnit(number, Source.OWN, name=name) for name in own]
    truth = subject.truth
    if truth.exact and truth.objects is not None:
        each.append(MeasureUnit(number, Source.EXACT, name=EXACT_MASK))
    return each + [
        MeasureUnit(number, Source.RANDOM, name=RANDOM, draw=draw) for draw in range(entry.draws(request.draws))
    ]
