"""A loaded model that answers batches: one forward, the prediction and the explanations asked for."""

from __future__ import annotations

import logging
import operator
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from torch import Tensor

from handlers.engine.frame_cache import FrameCache
from handlers.errors import CANCELLED, FAILED_PRECONDITION, INTERNAL, RESOURCE_EXHAUSTED, RequestError
from handlers.explainers import Explainer, Method, Parameters, explainer, methods
from handlers.explainers.attribution import Attribution, Target, as_used
from handlers.interruption import Interrupted, always, while_wanted
from handlers.models.action_model import ActionModel
from handlers.relevance import MEMORY, MemoryLimitExceeded, Pass, Precision, RelevanceError

M = TypeVar("M", bound=Method[Any])
_Grouped = Sequence[tuple["_FittedCall", Target]]
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MethodCall:
    """A method by name with its parameters, unset ones at their defaults."""

    name: str
    parameters: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class ClipRequest:
    """clip: uint8 RGB [T, H, W, 3] at the model's size. target, contrast: class number or label; None is top-1.

    wanted: says whether the answer is still waited for; asked in every operation of the network.
    """

    clip: NDArray[np.uint8]
    methods: Sequence[MethodCall] = ()
    target: int | str | None = None
    contrast: int | str | None = None
    wanted: Callable[[], bool] = always


@dataclass(frozen=True)
class MethodAnswer:
    """One method's result: an attribution, or the error that this method alone ended in."""

    method: str
    parameters: Mapping[str, Any]
    result: Attribution | RequestError
    seconds: float


@dataclass(frozen=True)
class ClipAnswer:
    """logits: float32 [K]. frame_logits: float32 [T', K] where the head has them. explained: as asked, in order."""

    logits: Tensor
    frame_logits: Tensor | None
    target: Target
    explained: Sequence[MethodAnswer]
    forward_seconds: float


@dataclass
class _FittedCall:
    item: int
    slot: int
    explainer: Explainer[Any]
    parameters: Parameters


class Engine:
    """Answers clips with one model. Calls may come from several threads."""

    def __init__(self, model: ActionModel) -> None:
        self.model = model
        self._seen = FrameCache(model)

    @classmethod
    def load(
        cls,
        folder: Path,
        threads: int | None = None,
        memory: int = MEMORY,
        precision: str = Precision.FLOAT32,
        *,
        trust_code: bool = False,
    ) -> Engine:
        """Load a model's folder. threads: of torch and of OpenCV in this process. Raises ModelError.

        memory: most bytes that temporal relevance allocates beyond the forward pass. precision: of relevance.
        trust_code: run the code of a network that brings its own.
        """
        if threads is not None:
            torch.set_num_threads(threads)
            cv2.setNumThreads(threads)
        methods()  # imports them, which the first clip would otherwise wait for
        return cls(ActionModel.load(folder, memory, precision, trust_code=trust_code))

    def explain(self, requests: Sequence[ClipRequest]) -> list[ClipAnswer | RequestError]:
        """Answer a batch with one forward for all clips of one length. Never raises.

        Each item is answered as it would be alone. One that cannot be answered is a RequestError in its position, with
        the reason ENGINE_FAILED and the exception as its cause where it is nothing that the request is to blame for; a
        method that cannot be, one as its result. Explanations not asked for are not computed. What is not wanted any
        longer ends with the reason INTERRUPTED: a clip, its further methods, or a batch in the middle of an operation,
        as soon as none of those that share it is wanted.
        """
        answers: list[ClipAnswer | RequestError | None] = [None] * len(requests)
        for index, request in enumerate(requests):
            try:
                if not request.wanted():
                    raise interrupted()
                self.model.check_clip(request.clip)
                self.class_index(request.target, "target.explained")
                self.class_index(request.contrast, "target.contrast")
            except RequestError as error:
                answers[index] = error
            except Exception as error:
                answers[index] = engine_error(error)
        lengths: dict[int, list[int]] = {}
        for index, answer in enumerate(answers):
            if answer is None:
                lengths.setdefault(len(requests[index].clip), []).append(index)
        for good in lengths.values():
            for index, result in zip(good, self._answered([requests[index] for index in good]), strict=True):
                answers[index] = result
        return [answer for answer in answers if answer is not None]

    def _answered(self, requests: Sequence[ClipRequest]) -> list[ClipAnswer | RequestError]:
        """Answer clips of one length together; each by itself where they cannot be answered together."""
        try:
            with while_wanted(_any_wanted(requests)):
                return self._batch(requests)
        except Interrupted:
            return [interrupted() for _ in requests]
        except Exception as error:  # a bug or lack of memory that one clip leads to must not take the others' answers
            if len(requests) == 1:
                return [engine_error(error)]
        return [answer for request in requests for answer in self._answered([request])]

    def class_index(self, wanted: int | str | None, where: str) -> int | None:
        """A class number from a number or a label. Raises RequestError when there is no such class."""
        labels = self.model.card.labels
        if isinstance(wanted, str):
            if wanted in labels:
                return labels.index(wanted)
            raise RequestError(
                f"{where}.label: {wanted!r} is not a class of {self.model.card.name}; classes are {', '.join(labels)}",
                field=f"{where}.label",
                reason="UNKNOWN_CLASS",
            )
        if wanted is None:
            return None
        index = _whole_number(wanted)
        if index is None or not 0 <= index < len(labels):
            raise RequestError(
                f"{where}.index: {wanted} is not a class; {self.model.card.name} has 0 to {len(labels) - 1}",
                field=f"{where}.index",
                reason="UNKNOWN_CLASS",
            )
        return index

    @torch.inference_mode()
    def _batch(self, requests: Sequence[ClipRequest]) -> list[ClipAnswer | RequestError]:
        calls: list[_FittedCall] = []
        explained: list[list[MethodAnswer | None]] = [[None] * len(request.methods) for request in requests]
        keep: dict[str, None] = {}
        propagates = False
        for item, request in enumerate(requests):
            for slot, method in enumerate(request.methods):
                try:
                    call = _FittedCall(item, slot, *self.resolve(explainer(method.name), method))
                    layers = call.explainer.layers(self.model, call.parameters)
                    for layer in layers:
                        self.model.check_layer(layer)
                except RequestError as error:
                    explained[item][slot] = MethodAnswer(method.name, method.parameters, error, 0.0)
                else:
                    keep.update(dict.fromkeys(layers))
                    propagates = propagates or call.explainer.propagates(call.parameters)
                    calls.append(call)

        start = time.perf_counter()
        forward = self._seen.forward([request.clip for request in requests], keep, propagates)
        frame_logits = [
            None if forward.no_frame_logits_of(item) else forward.frame_logits[item] for item in range(len(requests))
        ]
        forward_seconds = time.perf_counter() - start

        logits = forward.logits
        broken = ~logits.isfinite().all(dim=1)
        targets = [
            self.target(request, logits[item]) if not broken[item] else None for item, request in enumerate(requests)
        ]
        for call, result, seconds in self._attribute(forward, requests, calls, targets):
            parameters = as_used(call.parameters.model_dump(), None if isinstance(result, RequestError) else result)
            explained[call.item][call.slot] = MethodAnswer(call.explainer.name, parameters, result, seconds)
        answers: list[ClipAnswer | RequestError] = []
        for item, target in enumerate(targets):
            if target is None:
                answers.append(
                    RequestError("the model's logits are not finite", reason="LOGITS_NOT_FINITE", code=INTERNAL)
                )
                continue
            answers.append(
                ClipAnswer(
                    logits=logits[item],
                    frame_logits=frame_logits[item],
                    target=target,
                    explained=[entry for entry in explained[item] if entry is not None],
                    forward_seconds=forward_seconds,
                )
            )
        return answers

    def resolve(self, chosen: M, method: MethodCall) -> tuple[M, Parameters]:
        """A method with its checked parameters. Raises RequestError when it cannot explain this model, or for a
        parameter that is unknown or out of range."""
        if reason := chosen.unsupported(self.model):
            raise RequestError(
                f"{method.name} cannot explain {self.model.card.name}: {reason}",
                reason="METHOD_UNSUPPORTED",
                code=FAILED_PRECONDITION,
            )
        try:
            parameters = chosen.parameters.model_validate(dict(method.parameters))
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"])
            raise RequestError(f"{name}: {first['msg']}", field=name, reason="BAD_PARAMETER") from None
        return chosen, chosen.fitted(self.model, parameters)

    def target(self, request: ClipRequest, logits: Tensor) -> Target:
        """Choose the class to explain, given the clip's logits, float [K]. Raises RequestError for an unknown class."""
        index = self.class_index(request.target, "target.explained")
        contrast = self.class_index(request.contrast, "target.contrast")
        return Target(int(logits.argmax()) if index is None else index, contrast)

    def _attribute(
        self,
        forward: Pass,
        requests: Sequence[ClipRequest],
        calls: Sequence[_FittedCall],
        targets: Sequence[Target | None],
    ) -> list[tuple[_FittedCall, Attribution | RequestError, float]]:
        """Run each method once for all items that ask for it with the same parameters."""
        groups: dict[tuple[str, str], list[tuple[_FittedCall, Target]]] = {}
        done: list[tuple[_FittedCall, Attribution | RequestError, float]] = []
        for call in calls:
            target = targets[call.item]
            if target is None:
                continue
            if target.contrast == target.index:
                error = RequestError(
                    f"target.contrast: is the explained class itself ({self.model.card.labels[target.index]})",
                    field="target.contrast",
                    reason="CONTRAST_IS_TARGET",
                )
                done.append((call, error, 0.0))
                continue
            groups.setdefault((call.explainer.name, call.parameters.model_dump_json()), []).append((call, target))
        for group in sorted(groups.values(), key=lambda group: not group[0][0].explainer.goes_first):
            wanted = {call.item for call, _ in group if requests[call.item].wanted()}
            done += [(call, interrupted(), 0.0) for call, _ in group if call.item not in wanted]
            members = [(call, target) for call, target in group if call.item in wanted]
            if not members:
                continue
            start = time.perf_counter()
            with while_wanted(_any_wanted([requests[call.item] for call, _ in members])):
                results = self._explained(forward, members)
            seconds = (time.perf_counter() - start) / len(members)
            done += [(call, result, seconds) for (call, _), result in zip(members, results, strict=True)]
        return done

    def _explained(self, forward: Pass, group: _Grouped) -> Sequence[Attribution | RequestError]:
        """Run one method for items of one set of parameters; for each by itself where it fails for all of them."""
        first = group[0][0]
        items = [(call.item, target) for call, target in group]
        try:
            return first.explainer.attribute(self.model, forward, items, first.parameters)
        except Interrupted:
            return [interrupted() for _ in group]
        except Exception as error:
            if len(group) == 1:
                return [_method_error(error)]
        return [result for member in group for result in self._explained(forward, [member])]


def interrupted() -> RequestError:
    """The answer to what is not waited for any longer."""
    return RequestError("nobody waits for the answer any longer", reason="INTERRUPTED", code=CANCELLED)


def engine_error(error: Exception) -> RequestError:
    """Log an exception that no request is to blame for; returns it as the answer to one."""
    _log.error("the batch failed", exc_info=error)
    failure = RequestError(f"{type(error).__name__} while computing the batch", reason="ENGINE_FAILED", code=INTERNAL)
    failure.__cause__ = error
    return failure


def _method_error(error: Exception) -> RequestError:
    match error:
        case RequestError():
            return error
        case MemoryLimitExceeded():
            return RequestError(str(error), reason="MEMORY_LIMIT", code=RESOURCE_EXHAUSTED)
        case RelevanceError():
            return RequestError(str(error), reason="METHOD_UNSUPPORTED", code=FAILED_PRECONDITION)
        case _:
            return engine_error(error)


def _any_wanted(requests: Sequence[ClipRequest]) -> Callable[[], bool]:
    return lambda: any(request.wanted() for request in requests)


def _whole_number(given: object) -> int | None:
    """An integer of any type as int; None for all else, also for True and False, which Python counts as numbers."""
    if isinstance(given, bool | np.bool_):
        return None
    try:
        return operator.index(given)  # type: ignore[arg-type]
    except TypeError:
        return None
