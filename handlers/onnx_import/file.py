"""An .onnx file of a video classifier: what it takes and puts out, or why it cannot be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.errors import ModelError

if TYPE_CHECKING:
    import onnx

NEEDS = "reading .onnx files needs onnx and onnxruntime: pip install 'actionlens[onnx]'"

_LAYOUTS = {1: "[batch, 3, frames, height, width]", 2: "[batch, frames, 3, height, width]"}
_LAYOUTS[4] = "[batch, frames, height, width, 3]"
_EXPORTED = "actionlens"
_FLOAT = 1  # TensorProto.FLOAT


@dataclass(frozen=True)
class OnnxFile:
    """model: its graph ends in the logits. input, output: names. colours: which axis of the input they are.
    size: frames, height, width as the file fixes them, None where it leaves them open. notes: what was changed.
    """

    path: Path
    model: onnx.ModelProto
    input: str
    output: str
    colours: int
    size: tuple[int | None, int | None, int | None]
    notes: tuple[str, ...]

    @property
    def metadata(self) -> dict[str, str]:
        """The file's metadata, by key."""
        return {entry.key: entry.value for entry in self.model.metadata_props}


def read_onnx(path: Path) -> OnnxFile:
    """Read and check a file. Raises ModelError naming the input, output or tensor that does not fit, and what to do."""
    try:
        import onnx
    except ImportError as error:
        raise ModelError(NEEDS) from error
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load(path, load_external_data=False)
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as .onnx: {_first_line(error)}") from error
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ModelError(
            f"{path}: {outside[0].name} and {len(outside) - 1} more tensors lie in other files; save it as one: "
            "onnx.save(onnx.load('model.onnx'), 'one.onnx')"
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"{path}: cannot be read as .onnx: {_first_line(error)}") from error
    if any(entry.key == _EXPORTED for entry in model.metadata_props):
        raise ModelError(
            f"{path}: holds explanations already, as `actionlens models export` writes them; put it into a folder and "
            "serve that: actionlens serve --backend onnx --store FOLDER"
        )
    name, colours, size = _input(path, model.graph)
    output, notes = _output(path, model.graph)
    return OnnxFile(path, model, name, output, colours, size, notes)


def _input(path: Path, graph: onnx.GraphProto) -> tuple[str, int, tuple[int | None, int | None, int | None]]:
    known = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in known]
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise ModelError(f"{path}: inputs {names}; a classifier of clips takes one")
    (entry,) = inputs
    tensor = entry.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    shown = f"input {entry.name!r} is {_shown(dims)}"
    if tensor.elem_type != _FLOAT:
        raise ModelError(f"{path}: {shown} of another type than float32; export it for float32 clips")
    if len(dims) != 5:
        raise ModelError(f"{path}: {shown}; clips have 5 axes: {' or '.join(_LAYOUTS.values())}")
    if dims[0] is not None:
        raise ModelError(
            f"{path}: {shown}, a batch of {dims[0]} only; export it with a dynamic first axis: torch.onnx.export(..., "
            f"dynamic_shapes={{{entry.name!r}: {{0: torch.export.Dim.DYNAMIC}}}})"
        )
    colours = next((axis for axis in _LAYOUTS if dims[axis] == 3), None)
    if colours is None:
        raise ModelError(f"{path}: {shown}, without an axis of 3 colours; it must be {' or '.join(_LAYOUTS.values())}")
    frames, height, width = (dims[axis] for axis in range(1, 5) if axis != colours)
    return entry.name, colours, (frames, height, width)


def _output(path: Path, graph: onnx.GraphProto) -> tuple[str, tuple[str, ...]]:
    """The name of the logits: the output, or what its softmax is taken of."""
    names = [entry.name for entry in graph.output]
    chosen = names if len(names) == 1 else [name for name in names if name == "logits"]
    if len(chosen) != 1:
        raise ModelError(f"{path}: outputs {', '.join(names)}; keep the logits alone, or call them 'logits'")
    makers = {name: node for node in graph.node for name in node.output}
    output, notes = chosen[0], list[str]()
    while output in makers and makers[output].op_type in ("Softmax", "LogSoftmax", "Identity"):
        node = makers[output]
        if node.op_type != "Identity":
            notes.append(f"the {node.op_type} at its end is left out: explanations start at the logits")
        output = node.input[0]
    return output, tuple(notes)


def _shown(dims: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
