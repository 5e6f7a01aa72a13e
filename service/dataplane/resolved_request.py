"""Resolves a request: checked, and against the model that will answer."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from actionlens.v1 import answer_pb2, method_pb2, model_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.dataplane.levels import Level
from service.dataplane.served_models import ServedModels
from service.dataplane.truth_mapping import visible_part
from service.errors import InvalidArgument
from service.validation.request import check_message, check_methods, resolve_target

_LONGEST_LATENCY = 3600.0
_LARGEST_SHARE = 1000.0
_METHOD_PATH = re.compile(r"methods\[(\d+)]")


@dataclass(frozen=True, slots=True)
class ResolvedRequest:
    """A request that fits its model.

    target: with class numbers only. path: before "methods" in the request's fields ("", "open." or "update.").
    budget: of a stream, with a bound at least; None: all methods for every window. method_indices: of the methods in
    the request, when a budget has left some out.
    """

    model: model_pb2.Model
    target: method_pb2.Target
    methods: tuple[method_pb2.Method, ...]
    output: answer_pb2.OutputOptions
    path: str = ""
    budget: service_pb2.Budget | None = None
    method_indices: tuple[int, ...] | None = None

    @property
    def full(self) -> Level:
        """All that is asked for."""
        return Level(self.methods, self.output.insertion_deletion_gap and bool(self.methods))

    def reduced(self, level: Level) -> ResolvedRequest:
        """The same for those of the methods that are in `level`, which has them in their order, and without measures
        where it has none."""
        indices = tuple(index for index, method in enumerate(self.methods) if method in level.methods)
        return replace(self, methods=level.methods, method_indices=indices).measuring(level.gap)

    def measuring(self, gap: bool) -> ResolvedRequest:
        """The same with or without the insertion-deletion gap."""
        if gap == self.output.insertion_deletion_gap:
            return self
        output = answer_pb2.OutputOptions()
        output.CopyFrom(self.output)
        output.insertion_deletion_gap = gap
        return replace(self, output=output)

    def as_requested(self, text: str) -> str:
        """Rewrite a field's path, or a message that begins with one, as the client has it.

        Workers count the methods that they got, a client those that it sent.
        """
        found = _METHOD_PATH.match(text)
        if self.method_indices is None or found is None:
            return text
        return f"methods[{self.method_indices[int(found[1])]}]{text[found.end() :]}"

    def compute(self, placement: answer_pb2.Placement | None = None) -> worker_pb2.Compute:
        """Make the worker's request for a clip of the model's size, without its pixels.

        placement: of the source in the model's frame; measures leave out what is not of the source.
        """
        compute = worker_pb2.Compute(target=self.target, methods=self.methods, output=self.output)
        if placement is not None and self.output.insertion_deletion_gap:
            compute.visible.CopyFrom(visible_part(placement))
        return compute


def resolve_clip(request: service_pb2.ExplainClipRequest, served: ServedModels) -> ResolvedRequest:
    """Check everything of the request but the clip. Raises NotFound, InvalidArgument, FailedPrecondition."""
    check_message(request)
    model = served.find(request.model, request.version)
    check_methods(request.methods, model, "methods")
    target = resolve_target(request.target, model, "target")
    return ResolvedRequest(model, target, tuple(request.methods), request.output)


def resolve_stream(request: service_pb2.StreamOpen, served: ServedModels) -> ResolvedRequest:
    """Check a stream's first message in the same way."""
    check_message(request, "open")
    model = served.find(request.model, request.version, "open.")
    check_methods(request.methods, model, "open.methods")
    target = resolve_target(request.target, model, "open.target")
    budget = _budget(request.budget, "open.budget") if request.HasField("budget") else None
    return ResolvedRequest(model, target, tuple(request.methods), request.output, "open.", budget)


def updated(request: ResolvedRequest, update: service_pb2.StreamUpdate) -> ResolvedRequest:
    """Apply an update of the stream. Raises InvalidArgument, FailedPrecondition."""
    check_message(update, "update")
    if update.HasField("target"):
        request = replace(request, target=resolve_target(update.target, request.model, "update.target"))
    if update.methods:
        check_methods(update.methods, request.model, "update.methods")
        request = replace(request, methods=tuple(update.methods), path="update.")
    elif update.clear_methods:
        request = replace(request, methods=())
    if update.HasField("insertion_deletion_gap"):
        request = request.measuring(update.insertion_deletion_gap)
    if update.HasField("budget"):
        request = replace(request, budget=_budget(update.budget, "update.budget"))
    return request


def _budget(budget: service_pb2.Budget, path: str) -> service_pb2.Budget | None:
    """Check a budget's bounds; None when it has none. Raises InvalidArgument."""
    if budget.HasField("latency_seconds") and not 0 < budget.latency_seconds <= _LONGEST_LATENCY:
        raise InvalidArgument(
            f"{path}.latency_seconds: {budget.latency_seconds:g} is no time for an answer; give seconds above 0 and at "
            f"most {_LONGEST_LATENCY:g}, or leave it out",
            field=f"{path}.latency_seconds",
            reason="BAD_BUDGET",
        )
    if not 0 <= budget.overhead_share <= _LARGEST_SHARE:
        raise InvalidArgument(
            f"{path}.overhead_share: {budget.overhead_share:g} is no share; use 0 to {_LARGEST_SHARE:g}: 0.3 is "
            "30 %, 0 predictions only",
            field=f"{path}.overhead_share",
            reason="BAD_BUDGET",
        )
    return budget if budget.ListFields() else None
