"""What a request asks for, checked and resolved against the model that will answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from actionlens.v1 import answer_pb2, method_pb2, model_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.dataplane.served_models import ServedModels
from service.errors import InvalidArgument
from service.validation.request import check_message, check_methods, resolve_target

_PLACE = re.compile(r"methods\[(\d+)]")


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """target has class numbers only; path: what stands before "methods" in the request ("", "open.", "update.").
    budget: of a stream, with a bound at least; None: all methods for every window. places: where the methods stand in
    the request, when a budget has left some out."""

    model: model_pb2.Model
    target: method_pb2.Target
    methods: tuple[method_pb2.Method, ...]
    output: answer_pb2.OutputOptions
    path: str = ""
    budget: service_pb2.Budget | None = None
    places: tuple[int, ...] | None = None

    def reduced(self, kept: tuple[method_pb2.Method, ...]) -> ResolvedRequest:
        """The same for those of the methods that are in `kept`, which has them in their order."""
        places = tuple(place for place, method in enumerate(self.methods) if method in kept)
        return replace(self, methods=kept, places=places)

    def as_asked(self, text: str) -> str:
        """A field's path, or a message that begins with one, as the client wrote it: workers count what they got."""
        found = _PLACE.match(text)
        if self.places is None or found is None:
            return text
        return f"methods[{self.places[int(found[1])]}]{text[found.end() :]}"

    def compute(self) -> worker_pb2.Compute:
        """The worker's request for a clip of the model's size, without its pixels."""
        return worker_pb2.Compute(target=self.target, methods=self.methods, output=self.output)


def ask_of_clip(request: service_pb2.ExplainClipRequest, catalog: ServedModels) -> ResolvedRequest:
    """Check everything of the request but the clip. Raises NotFound, InvalidArgument, FailedPrecondition."""
    check_message(request)
    model = catalog.find(request.model, request.version)
    check_methods(request.methods, model, "methods")
    target = resolve_target(request.target, model, "target")
    return ResolvedRequest(model, target, tuple(request.methods), request.output)


def ask_of_stream(opening: service_pb2.StreamOpen, catalog: ServedModels) -> ResolvedRequest:
    """The same for a stream's first message."""
    check_message(opening, "open")
    model = catalog.find(opening.model, opening.version, "open.")
    check_methods(opening.methods, model, "open.methods")
    target = resolve_target(opening.target, model, "open.target")
    budget = _budget(opening.budget, "open.budget") if opening.HasField("budget") else None
    return ResolvedRequest(model, target, tuple(opening.methods), opening.output, "open.", budget)


def updated(ask: ResolvedRequest, update: service_pb2.StreamUpdate) -> ResolvedRequest:
    """The ask after an update of the stream. Raises InvalidArgument, FailedPrecondition."""
    check_message(update, "update")
    if update.HasField("target"):
        ask = replace(ask, target=resolve_target(update.target, ask.model, "update.target"))
    if update.methods:
        check_methods(update.methods, ask.model, "update.methods")
        ask = replace(ask, methods=tuple(update.methods), path="update.")
    elif update.clear_methods:
        ask = replace(ask, methods=())
    if update.HasField("budget"):
        ask = replace(ask, budget=_budget(update.budget, "update.budget"))
    return ask


def _budget(budget: service_pb2.Budget, path: str) -> service_pb2.Budget | None:
    """A budget's bounds, checked; None when it has none. Raises InvalidArgument."""
    if budget.HasField("latency_seconds") and budget.latency_seconds <= 0:
        raise InvalidArgument(
            f"{path}.latency_seconds: {budget.latency_seconds:g} leaves no time for an answer; give seconds above 0",
            field=f"{path}.latency_seconds",
            reason="BAD_BUDGET",
        )
    if budget.overhead_share < 0:
        raise InvalidArgument(
            f"{path}.overhead_share: {budget.overhead_share:g} is negative; 0.3 is 30 %, 0 predictions only",
            field=f"{path}.overhead_share",
            reason="BAD_BUDGET",
        )
    return budget if budget.ListFields() else None
