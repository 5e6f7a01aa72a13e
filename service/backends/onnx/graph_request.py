"""Reads one request to an exported graph, with the reason why the graph does not compute what it lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from google.protobuf.json_format import MessageToDict
from numpy.typing import NDArray

from actionlens.worker.v1 import worker_pb2
from service.backends.onnx.explanations import OUTPUTS
from service.backends.onnx.graph import Graph
from service.backends.protocol import Work
from service.errors import ActionLensError, FailedPrecondition, InvalidArgument
from service.validation.request import method_name, resolve_target

PREDICTION = ("logits", "explained", "frame_logits")
"""The outputs that a prediction is made of."""


@dataclass(frozen=True)
class GraphRequest:
    """clip: uint8 [T, H, W, 3]. target: class number, -1 for the likeliest. wanted: names of the graph's outputs.
    methods: in the request's order, each with why the graph does not compute it (None: it does)."""

    compute: worker_pb2.Compute
    clip: NDArray[np.uint8]
    target: int
    methods: Sequence[tuple[str, ActionLensError | None]]
    wanted: tuple[str, ...]


def read_request(graph: Graph, work: Work) -> GraphRequest:
    """Read a request. Raises InvalidArgument for a clip of another size, an unknown class or a contrast."""
    compute = work.request.compute
    _check_clip(graph, work.pixels)
    target = resolve_target(compute.target, graph.model, "target")
    if target.HasField("contrast"):
        raise InvalidArgument(
            "target.contrast: an exported graph explains one class by itself; serve the model itself for contrasts",
            field="target.contrast",
            reason="CONTRAST_UNSUPPORTED",
        )
    methods = [(method_name(method), _refusal(graph, compute, index)) for index, method in enumerate(compute.methods)]
    explaining = [output for name, refused in methods if refused is None for output in OUTPUTS[name]]
    index = target.explained.index if target.HasField("explained") else -1
    return GraphRequest(compute, work.pixels, index, methods, (*PREDICTION, *dict.fromkeys(explaining)))


def _check_clip(graph: Graph, clip: NDArray[np.uint8]) -> None:
    size = graph.model.input
    wanted = (size.frames, size.height, size.width, 3)
    if clip.shape != wanted or clip.dtype != np.uint8:
        raise InvalidArgument(
            f"clip: {clip.dtype} {list(clip.shape)}; the graph takes uint8 {list(wanted)}",
            field="clip",
            reason="WRONG_CLIP_SHAPE",
        )


def _refusal(graph: Graph, compute: worker_pb2.Compute, index: int) -> ActionLensError | None:
    """Return the reason why the graph does not compute a method as requested; None when it does."""
    method = compute.methods[index]
    name, field = method_name(method), method.WhichOneof("method") or ""
    path = f"methods[{index}].{field}"
    if name not in graph.held:
        held = ", ".join(graph.held) or "no explanation"
        return FailedPrecondition(f"{path}: {name} is not in the exported graph, which holds {held}", field=path)
    given = MessageToDict(getattr(method, field), preserving_proto_field_name=True)
    for key, value in given.items():
        if value != graph.held[name].parameters.get(key):
            return InvalidArgument(
                f"{path}.{key}: the graph was exported with {graph.held[name].parameters.get(key)!r}; leave it out, or "
                "serve the model itself",
                field=f"{path}.{key}",
                reason="BAD_PARAMETER",
            )
    return None
