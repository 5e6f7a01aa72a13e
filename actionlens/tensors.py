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
    """A Tensor message whose type, shape and bytes do not agree, or an array that an encoding cannot hold."""


def to_tensor(
    values: ArrayLike, encoding: answer_pb2.ValueEncoding = answer_pb2.VALUE_ENCODING_FLOAT32
) -> tensor_pb2.Tensor:
    """Pack an array of any shape of up to 8 dimensions, as float32 at best.

    FLOAT16 is right to 1 part in 2048 for magnitudes 6e-5 to 65504 and clips beyond; UINT8 maps [min, max] on
    0 .. 255, an error of at most 1/510 of that range. Raises TensorError for NaN or infinity in UINT8.
    """
    array = np.asarray(values, dtype="<f4")
    if array.ndim > _MAX_RANK:
        raise TensorError(f"{array.ndim} dimensions; at most {_MAX_RANK} can be packed")
    tensor = tensor_pb2.Tensor(shape=array.shape)
    match encoding:
        case answer_pb2.VALUE_ENCODING_FLOAT16:
            tensor.dtype = tensor_pb2.DATA_TYPE_FLOAT16
            tensor.data = np.clip(array, -65504, 65504).astype("<f2").tobytes()
        case answer_pb2.VALUE_ENCODING_UINT8:
            _quantise(array.astype(np.float64), tensor)
        case _:
            tensor.dtype = tensor_pb2.DATA_TYPE_FLOAT32
            tensor.data = array.tobytes()
    return tensor


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[np.float32]:
    """Unpack a Tensor: a new float32 array of the message's shape, at most four times the bytes that came.

    Raises TensorError, naming the field, when type, shape and bytes disagree or a UINT8 tensor's scale or offset is
    not finite.
    """
    item = _ITEM_TYPES.get(tensor.dtype)
    if item is None:
        raise TensorError(f"dtype: {tensor.dtype} is not FLOAT32, FLOAT16 or UINT8")
    if len(tensor.shape) > _MAX_RANK:
        raise TensorError(f"shape: {len(tensor.shape)} dimensions; at most {_MAX_RANK} are read")
    expected = math.prod(tensor.shape) * item.itemsize
    if expected != len(tensor.data):
        raise TensorError(f"data: shape {list(tensor.shape)} of {item} takes {expected} bytes, got {len(tensor.data)}")
    stored: NDArray[Any] = np.frombuffer(tensor.data, dtype=item).reshape(tuple(tensor.shape))
    if tensor.dtype != tensor_pb2.DATA_TYPE_UINT8:
        return stored.astype(np.float32)
    if not (math.isfinite(tensor.scale) and math.isfinite(tensor.offset)):
        raise TensorError("scale, offset: must be finite")
    # One table of the 256 levels in float64 instead of a float64 copy of the whole array.
    with np.errstate(over="ignore"):
        levels: NDArray[np.float32] = (tensor.offset + np.float64(tensor.scale) * np.arange(256)).astype(np.float32)
    return np.asarray(levels[stored], np.float32)


def _quantise(array: NDArray[np.float64], tensor: tensor_pb2.Tensor) -> None:
    if not np.isfinite(array).all():
        raise TensorError("NaN or infinity cannot be packed as UINT8; use FLOAT32")
    low, high = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    tensor.dtype = tensor_pb2.DATA_TYPE_UINT8
    # Read back from the message, which rounds to float32: the bytes must suit the numbers that a reader will use.
    tensor.offset, tensor.scale = low, (high - low) / 255
    steps = (array - tensor.offset) / tensor.scale if tensor.scale > 0 else np.zeros(array.shape)
    tensor.data = np.clip(np.rint(steps), 0, 255).astype(np.uint8).tobytes()
