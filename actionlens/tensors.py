"""Arrays in messages: numpy on one side, `actionlens.v1.Tensor` on the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionlens.v1 import answer_pb2, tensor_pb2

_DTYPES: dict[int, np.dtype[Any]] = {
    tensor_pb2.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    tensor_pb2.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    tensor_pb2.DATA_TYPE_UINT8: np.dtype("u1"),
}
_LARGEST_HALF = float(np.finfo(np.float16).max)
_MOST_DIMENSIONS = 8


def to_array(tensor: tensor_pb2.Tensor) -> NDArray[np.float32]:
    """Decode a tensor of any encoding into a new float32 array of its shape.

    Raises ValueError when dtype, shape and bytes do not belong together, or a uint8 tensor has a scale or offset
    that is not finite; the message names the field. Never allocates more than four times the bytes that came.
    """
    dtype = _DTYPES.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"dtype: {tensor.dtype} is not FLOAT32, FLOAT16 or UINT8")
    shape = tuple(tensor.shape)
    if len(shape) > _MOST_DIMENSIONS:
        raise ValueError(f"shape: {len(shape)} dimensions; at most {_MOST_DIMENSIONS} are read")
    expected = math.prod(shape) * dtype.itemsize
    if expected != len(tensor.data):
        raise ValueError(f"data: shape {list(shape)} of {dtype.name} takes {expected} bytes, got {len(tensor.data)}")
    stored = np.frombuffer(tensor.data, dtype).reshape(shape)
    if tensor.dtype != tensor_pb2.DATA_TYPE_UINT8:
        return stored.astype(np.float32)
    if not (math.isfinite(tensor.scale) and math.isfinite(tensor.offset)):
        raise ValueError("scale, offset: must be finite")
    with np.errstate(over="ignore"):
        return (tensor.offset + np.float64(tensor.scale) * stored).astype(np.float32)


def to_tensor(
    array: NDArray[Any], encoding: answer_pb2.ValueEncoding = answer_pb2.VALUE_ENCODING_FLOAT32
) -> tensor_pb2.Tensor:
    """Encode a numeric array of up to 8 dimensions.

    FLOAT32 is exact for float32 input. FLOAT16 keeps 11 bits; values beyond +-65504 become that. UINT8 stores
    `offset + scale * byte` with offset = min and scale = range / 255: an error of at most 1/510 of the range, and
    min and max themselves up to float32 rounding. Raises ValueError for NaN or infinity in UINT8, for more than 8
    dimensions, and for an unknown encoding.
    """
    values = np.asarray(array)
    if values.ndim > _MOST_DIMENSIONS:
        raise ValueError(f"{values.ndim} dimensions; at most {_MOST_DIMENSIONS} can be encoded")
    if encoding in (answer_pb2.VALUE_ENCODING_UNSPECIFIED, answer_pb2.VALUE_ENCODING_FLOAT32):
        return tensor_pb2.Tensor(
            dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=values.shape, data=values.astype("<f4").tobytes()
        )
    if encoding == answer_pb2.VALUE_ENCODING_FLOAT16:
        # Infinities stay infinite; only finite values that float16 cannot hold are brought back to its range.
        held = np.where(np.isfinite(values), np.clip(values, -_LARGEST_HALF, _LARGEST_HALF), values)
        return tensor_pb2.Tensor(
            dtype=tensor_pb2.DATA_TYPE_FLOAT16, shape=values.shape, data=held.astype("<f2").tobytes()
        )
    if encoding == answer_pb2.VALUE_ENCODING_UINT8:
        return _quantise(values.astype(np.float64))
    raise ValueError(f"encoding: {encoding} is not FLOAT32, FLOAT16 or UINT8")


def _quantise(values: NDArray[np.float64]) -> tensor_pb2.Tensor:
    if not np.isfinite(values).all():
        raise ValueError("NaN or infinity cannot be encoded as UINT8; use FLOAT32")
    lowest, highest = (float(values.min()), float(values.max())) if values.size else (0.0, 0.0)
    # Rounded to float32 first, so that the bytes are chosen for the numbers that the reader will use.
    offset, scale = float(np.float32(lowest)), float(np.float32((highest - lowest) / 255))
    levels = np.rint((values - offset) / scale) if scale > 0 else np.zeros(values.shape)
    return tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_UINT8,
        shape=values.shape,
        data=np.clip(levels, 0, 255).astype(np.uint8).tobytes(),
        scale=scale,
        offset=offset,
    )
