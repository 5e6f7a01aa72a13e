"""An .onnx file of a video classifier: what it takes and puts out, or why it cannot be served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from handlers.errors import ModelError
from handlers.onnx_import.ending import sorted_nodes

if TYPE_CHECKING:
    import onnx
    from google.protobuf.message import Message

NEEDS = "reading .onnx files needs onnx and onnxruntime: pip install 'actionlens[onnx]'"

_LAYOUTS = {1: "[batch, 3, frames, height, width]", 2: "[batch, frames, 3, height, width]"}
_LAYOUTS[4] = "[batch, frames, height, width, 3]"
_EXPORTED = "actionlens"
_LONGEST = 400
"""Characters of a reason."""
_INPUT_TYPES = {1: "float32", 10: "float16"}  # TensorProto.FLOAT, FLOAT16
_HALF_TYPES = (10, 16)  # TensorProto.FLOAT16, BFLOAT16


@dataclass(frozen=True)
class Entry:
    """The input. kind: NumPy's name of its type. colours: which axis they are. size: frames, height, width as the file
    fixes them, None where it leaves them open."""

    name: str
    kind: str
    colours: int
    size: tuple[int | None, int | None, int | None]


@dataclass(frozen=True)
class OnnxFile:
    """output: the name of that with the scores. notes: what was changed at reading, for people."""

    path: Path
    model: onnx.ModelProto
    entry: Entry
    output: str
    notes: tuple[str, ...]

    @property
    def input(self) -> str:
        """The input's name."""
        return self.entry.name

    @property
    def colours(self) -> int:
        """Which axis of the input they are."""
        return self.entry.colours

    @property
    def size(self) -> tuple[int | None, int | None, int | None]:
        """Frames, height, width as the file fixes them, None where it leaves them open."""
        return self.entry.size

    @property
    def half(self) -> bool:
        """Whether weights in it are of half precision."""
        return any(tensor.data_type in _HALF_TYPES for tensor in self.model.graph.initializer)

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
        _check_names(model)
    except (OSError, DecodeError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as .onnx: {_first_line(error)}") from error
    outside = [tensor for tensor in model.graph.initializer if tensor.data_location == onnx.TensorProto.EXTERNAL]
    if outside:
        raise ModelError(
            f"{path}: {outside[0].name} and {len(outside) - 1} more tensors lie in other files; save it as one: "
            "onnx.save(onnx.load('model.onnx'), 'one.onnx')"
        )
    notes: tuple[str, ...] = ()
    if (order := sorted_nodes(model.graph)) is not None:
        del model.graph.node[:]
        model.graph.node.extend(order)
        notes = ("its nodes were put in order: converters to half precision leave them out of it",)
    try:
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError) as error:  # ValueError: its reason quotes what is no UTF-8
        raise ModelError(f"{path}: cannot be read as .onnx: {_first_line(error)}") from error
    if any(entry.key == _EXPORTED for entry in model.metadata_props):
        raise ModelError(
            f"{path}: holds explanations already, as `actionlens models export` writes them; put it into a folder and "
            "serve that: actionlens serve --backend onnx --store FOLDER"
        )
    return OnnxFile(path, model, _input(path, model.graph), _output(path, model.graph), notes)


def _check_names(message: Message) -> None:
    """Raise ValueError for text anywhere in a message that is no UTF-8: its format checks none, and who reads it gets
    bytes, or an error."""
    for field in message.DESCRIPTOR.fields:
        if field.type == field.TYPE_STRING:
            found = getattr(message, field.name)
            for text in found if field.is_repeated else (found,):
                if not isinstance(text, str):
                    raise ValueError(f"{field.full_name} is no UTF-8: {text!r:.60}")
        elif field.type == field.TYPE_MESSAGE and (field.is_repeated or message.HasField(field.name)):
            found = getattr(message, field.name)
            for inner in found if field.is_repeated else (found,):
                _check_names(inner)


def _input(path: Path, graph: onnx.GraphProto) -> Entry:
    known = {tensor.name for tensor in graph.initializer}
    inputs = [entry for entry in graph.input if entry.name not in known]
    if len(inputs) != 1:
        names = ", ".join(entry.name for entry in inputs) or "none"
        raise ModelError(f"{path}: inputs {names}; a classifier of clips takes one")
    (entry,) = inputs
    tensor = entry.type.tensor_type
    dims = [dim.dim_value if dim.HasField("dim_value") else None for dim in tensor.shape.dim]
    shown = f"input {entry.name!r} is {_shown(dims)}"
    if tensor.elem_type not in _INPUT_TYPES:
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
    return Entry(entry.name, _INPUT_TYPES[tensor.elem_type], colours, (frames, height, width))


def _output(path: Path, graph: onnx.GraphProto) -> str:
    """The name of the output with the scores."""
    names = [entry.name for entry in graph.output]
    chosen = names if len(names) == 1 else [name for name in names if name == "logits"]
    if len(chosen) != 1:
        raise ModelError(f"{path}: outputs {', '.join(names)}; keep the logits alone, or call them 'logits'")
    return chosen[0]


def _shown(dims: Sequence[int | None]) -> str:
    return f"[{', '.join('?' if dim is None else str(dim) for dim in dims)}]"


def _first_line(error: Exception) -> str:
    """The reason in one line: the checker's goes over several, and the node comes last."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines)[:_LONGEST] or type(error).__name__
