"""Arrays in messages: NumPy arrays to and from actionlens.v1.Tensor."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from actionlens.v1 import answer_pb2, tensor_pb2

_ITEM_TYPES: dict[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
}
_MAX_RANK = 8


class TensorError(ValueError):
    """A Tensor message whose type, shape and bytes do not agree."""


def to_tensor(
    values: ArrayLike, encoding: answer_pb2.ValueEncoding = answer_pb2.VALUE_ENCODING_FLOAT32
) -> tensor_pb2.Tensor:
    """Pack an array of any shape.

    FLOAT16 is right to 1 part in 2000 for magnitudes 6e-5 to 65504 and clips beyond; UINT8 maps [min, max] on 0 .. 255,
    an error of at most 1/510 of that range.
    """
    array = np.asarray(values, dtype="<f4")
    tensor = tensor_pb2.Tensor(shape=array.shape)
    match encoding:
        case answer_pb2.VALUE_ENCODING_FLOAT16:
            tensor.dtype = tensor_pb2.DATA_TYPE_FLOAT16
            tensor.data = np.clip(array, -65504, 65504).astype("<f2").tobytes()
        case answer_pb2.VALUE_ENCODING_UINT8:
            low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
            tensor.dtype = tensor_pb2.DATA_TYPE_UINT8
            tensor.scale, tensor.offset = (high - low) / 255, low
            steps = (array - low) / (tensor.scale or 1.0)
            tensor.data = np.clip(np.rint(steps), 0, 255).astype(np.uint8).tobytes()
        case _:
            tensor.dtype = tensor_pb2.DATA_TYPE_FLOAT32
            tensor.data = array.tobytes()
    return tensor


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[np.float32]:
    """Unpack a Tensor: float32 of the message's shape. Raises TensorError when type, shape and bytes disagree."""
    item = _ITEM_TYPES.get(tensor.dtype)
    if item is None or len(tensor.shape) > _MAX_RANK:
        raise TensorError(f"dtype {tensor.dtype}, rank {len(tensor.shape)}: not a tensor")
    if math.prod(tensor.shape) * item.itemsize != len(tensor.data):
        raise TensorError(f"shape {list(tensor.shape)} of {item} takes other than {len(tensor.data)} bytes")
    flat: NDArray[np.float32] = np.frombuffer(tensor.data, dtype=item).astype(np.float32)
    array = flat.reshape(tuple(tensor.shape))
    if tensor.dtype == tensor_pb2.DATA_TYPE_UINT8:
        return array * np.float32(tensor.scale) + np.float32(tensor.offset)
    return array
