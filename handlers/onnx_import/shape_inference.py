"""The shapes of all values of an ONNX graph, for clips of one size."""

from __future__ import annotations

from handlers.onnx_import.file import OnnxFile

Shapes = dict[str, tuple[tuple[int, ...], tuple[int, ...]]]
"""By name, the shape for a batch of two clips and for one of three."""


def inferred(file: OnnxFile, size: tuple[int, int, int]) -> Shapes:
    """Infer shapes by ONNX's shape inference; a value whose shape it cannot find is left out."""
    two, three = _of_batch(file, size, 2), _of_batch(file, size, 3)
    return {name: (shape, three[name]) for name, shape in two.items() if name in three}


def _of_batch(file: OnnxFile, size: tuple[int, int, int], batch: int) -> dict[str, tuple[int, ...]]:
    import onnx

    model = type(file.model)()
    model.CopyFrom(file.model)
    # What is noted there holds for batches of any size, and so says less.
    del model.graph.value_info[:]
    for entry in model.graph.output:
        entry.type.tensor_type.ClearField("shape")
    (entry,) = (entry for entry in model.graph.input if entry.name == file.input)
    wanted = [batch, *size]
    wanted.insert(file.colours, 3)
    for dim, number in zip(entry.type.tensor_type.shape.dim, wanted, strict=True):
        dim.dim_value = number
    found = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    shapes = {}
    for value in (*found.input, *found.value_info, *found.output):
        tensor = value.type.tensor_type
        dims = [dim.dim_value if dim.HasField("dim_value") else -1 for dim in tensor.shape.dim]
        if tensor.HasField("shape") and min(dims, default=0) >= 0:
            shapes[value.name] = tuple(dims)
    return shapes
