from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from actionlens.tensors import to_array, to_tensor
from actionlens.v1 import answer_pb2, tensor_pb2

FINITE = st.floats(-(2.0**100), 2.0**100, width=32)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(width=32)))
def test_float32_is_exact_for_every_value(array):
    back = to_array(to_tensor(array))
    assert back.dtype == np.float32
    assert back.shape == array.shape
    np.testing.assert_array_equal(back, array)


@given(hnp.arrays(np.float32, SHAPES, elements=st.floats(-60000, 60000, width=32)))
def test_float16_keeps_eleven_bits(array):
    back = to_array(to_tensor(array, answer_pb2.VALUE_ENCODING_FLOAT16))
    assert np.all(np.abs(back - array) <= np.maximum(np.abs(array) * 2.0**-11, 2.0**-25))


def test_float16_saturates_instead_of_overflowing():
    back = to_array(to_tensor(np.array([1e9, -1e9, np.inf]), answer_pb2.VALUE_ENCODING_FLOAT16))
    assert back.tolist() == [65504.0, -65504.0, 65504.0]


@given(hnp.arrays(np.float32, SHAPES, elements=FINITE))
def test_uint8_errs_by_at_most_1_510_of_the_range(array):
    tensor = to_tensor(array, answer_pb2.VALUE_ENCODING_UINT8)
    assert len(tensor.data) == array.size
    back = to_array(tensor).astype(np.float64)
    if array.size:
        span = float(array.max()) - float(array.min())
        rounding = 4 * float(np.abs(array).max()) * 2.0**-23 + 1e-40
        assert np.abs(back - array).max() <= span / 510 * (1 + 1e-5) + rounding


def test_uint8_value_is_offset_plus_scale_times_byte():
    tensor = tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[3], data=b"\x00\x01\xff", scale=0.5, offset=-2)
    assert to_array(tensor).tolist() == [-2.0, -1.5, 125.5]


def test_bytes_are_little_endian_in_c_order():
    tensor = tensor_pb2.Tensor(
        dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2, 1], data=b"\x00\x00\x80\x3f\x00\x00\x00\xc0"
    )
    assert to_array(tensor).tolist() == [[1.0], [-2.0]]


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (tensor_pb2.Tensor(shape=[1], data=b"1234"), "dtype"),
        (tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2], data=b"1234"), "data"),
        (tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_FLOAT32, shape=[2**31, 2**31, 4], data=b""), "data"),
        (tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[1] * 9, data=b"1"), "shape"),
        (tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=[1], data=b"1", scale=float("nan")), "scale"),
    ],
)
def test_what_does_not_belong_together_is_refused(tensor, field):
    with pytest.raises(ValueError, match=field):
        to_array(tensor)


@given(
    st.integers(0, 5),
    st.lists(st.integers(0, 2**32 - 1), max_size=9),
    st.binary(max_size=40),
    st.floats(width=32),
    st.floats(width=32),
)
def test_no_tensor_breaks_the_reader(dtype, shape, data, scale, offset):
    tensor = tensor_pb2.Tensor(dtype=dtype, shape=shape, data=data, scale=scale, offset=offset)
    try:
        array = to_array(tensor)
    except ValueError:
        return
    assert array.dtype == np.float32
    assert array.shape == tuple(shape)


def test_nan_is_not_hidden_in_bytes():
    with pytest.raises(ValueError, match="NaN"):
        to_tensor(np.array([0.0, np.nan]), answer_pb2.VALUE_ENCODING_UINT8)
