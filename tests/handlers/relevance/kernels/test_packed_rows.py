"""Rows behind each other on one time axis against the same convolution of whole rows with zeros around."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.kernels.geometry import Geometry
from handlers.relevance.kernels.packed_rows import down, up
from handlers.relevance.messages import Message, Spans, dense, full, laid_out, to_spans, whole

SPANS = ((0, 3), (0, 0), (2, 6), (3, 7), (6, 9), (8, 9), (0, 9))


def kernel(taps: int, stride: int, padding: int, dilation: int) -> Kernel:
    weight = torch.rand((3, 2, taps, 3, 3), dtype=torch.float64)
    return Kernel(weight, Geometry((stride, 1, 1), (padding, 1, 1), (dilation, 1, 1)))


def rows(channels: int, spans: tuple[tuple[int, int], ...], steps: int) -> tuple[Tensor, Tensor]:
    """Random rows on the long axis, and the same as whole rows."""
    length = sum(stop - first for first, stop in spans)
    values = torch.rand((1, channels, length, 4, 5), dtype=torch.float64)
    values = values.contiguous(memory_format=torch.channels_last_3d)
    return values, whole(to_spans(values, spans, full(len(spans), steps)), len(spans))


def written_out(values: Tensor, spans: Spans, steps: int) -> Tensor:
    sample = dense(Message(values, None, spans), steps).slope
    assert sample is not None
    return sample


LAYERS = [
    (1, 1, 0, 1),
    (1, 2, 0, 1),
    (1, 1, 1, 1),
    (3, 1, 1, 1),
    (3, 1, 0, 1),
    (3, 2, 1, 1),
    (2, 3, 0, 1),
    (5, 2, 2, 1),
]


@pytest.mark.parametrize(("taps", "stride", "padding", "dilation"), [*LAYERS, (3, 1, 2, 2)])
def test_rows_on_the_long_axis_equal_whole_rows(taps: int, stride: int, padding: int, dilation: int) -> None:
    torch.manual_seed(taps + 10 * stride + 100 * padding)
    layer = kernel(taps, stride, padding, dilation)
    below, expected = rows(2, SPANS, 9)
    expected = layer.apply(expected)
    steps = expected.shape[2]
    found, spans = up(layer, below, SPANS, (9, steps))
    assert torch.allclose(written_out(found, spans, steps), expected, rtol=1e-12, atol=1e-12)
    _, kept = laid_out(found, spans)
    some = tuple((first, stop) if row % 3 else (0, 0) for row, (first, stop) in enumerate(kept))
    above, expected = rows(3, some, steps)
    expected = layer.transpose(expected, (9, 4, 5))
    found, spans = down(layer, above, some, (9, 4, 5))
    assert torch.allclose(written_out(found, spans, 9), expected, rtol=1e-12, atol=1e-12)


def test_rows_that_no_output_reads_are_zero() -> None:
    layer = kernel(1, 2, 0, 1)
    below, _ = rows(2, ((1, 2), (3, 4)), 5)
    found, spans = up(layer, below, ((1, 2), (3, 4)), (5, 3))
    assert spans is None
    assert found.shape == (2, 3, 3, 4, 5)
    assert not found.any()
