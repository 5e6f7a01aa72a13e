"""Convolutions of rows that lie one behind the other on one long time axis.

With one tap in time all rows go through at once. With more, rows of one length do, each by itself between the paddings,
whose taps the convolution leaves out; zeros written between the rows would be work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from handlers.relevance.kernels.convolution import Kernel
from handlers.relevance.messages import Span, Spans, frames, from_frames, laid, laid_out, settled, to_spans


def up(kernel: Kernel, x: Tensor, spans: tuple[Span, ...], steps: tuple[int, int]) -> tuple[Tensor, Spans]:
    """Rows of inputs [1, C, M, H, W] to rows of outputs, all that read them. steps: how many inputs and outputs are."""
    stride, padding, reach = _time(kernel)
    around, found = reach, []
    for first, stop in spans:
        low = max(0, -(-(first + padding - reach) // stride))
        high = min(steps[1], (stop - 1 + padding) // stride + 1)
        found.append((low, high) if first < stop and low < high else (0, 0))
    if not any(low < high for low, high in found):
        return kernel.apply(x.new_zeros((len(spans), x.shape[1], steps[0], *x.shape[3:]))), None
    begins = [first + padding - reach for first, _ in spans]
    if stride > 1:
        reads = [(a * stride - padding, (b - 1) * stride - padding + reach + 1) if a < b else (0, 0) for a, b in found]
        x, spans, around = to_spans(x, spans, reads), tuple(reads), 0
        begins = [low for low, _ in found]
    y = _through(lambda rows: kernel.apply(rows, time_padding=around), x, spans, begins, found, stride + reach == 1)
    return settled(y, tuple(found), steps[1])


def down(kernel: Kernel, y: Tensor, spans: tuple[Span, ...], size: tuple[int, ...]) -> tuple[Tensor, Spans]:
    """The transpose: rows of outputs to rows of inputs [1, C, M, *size[1:]], all of size[0] steps that they read."""
    stride, padding, reach = _time(kernel)
    begins = [first * stride - padding for first, _ in spans]
    found = []
    for begin, (first, stop) in zip(begins, spans, strict=True):
        low, high = max(0, begin), min(size[0], begin + (stop - first - 1) * stride + reach + 1)
        found.append((low, high) if first < stop and low < high else (0, 0))
    back = lambda rows: kernel.transpose(rows, size, windowed=True)  # noqa: E731
    return settled(_through(back, y, spans, begins, found, stride + reach == 1), tuple(found), size[0])


def _through(
    convolve: Callable[[Tensor], Tensor],
    values: Tensor,
    spans: Sequence[Span],
    begins: Sequence[int],
    found: Sequence[Span],
    at_once: bool,
) -> Tensor:
    """Rows convolved, cut to the spans to be found. begins: time step of each row's first result."""
    if at_once:
        moved = [(begin, begin + stop - first) for begin, (first, stop) in zip(begins, spans, strict=True)]
        return to_spans(convolve(values), moved, found)
    source, pieces = frames(values)[0], []
    rows = [(row, at, stop - first) for row, (at, (first, stop)) in enumerate(laid(spans)) if first < stop]
    for length, group in itertools.groupby(rows, key=lambda row: row[2]):
        numbers, offsets, _ = zip(*group, strict=True)
        some = source[offsets[0] : offsets[-1] + length]
        result = convolve(from_frames(some.view(len(numbers), length, *some.shape[1:])))
        made = [(begins[row], begins[row] + result.shape[2]) for row in numbers]
        pieces.append(frames(to_spans(laid_out(result, None)[0], made, [found[row] for row in numbers]))[0])
    return from_frames((pieces[0] if len(pieces) == 1 else torch.cat(pieces))[None])


def _time(kernel: Kernel) -> tuple[int, int, int]:
    """Stride and padding in time, and how many steps lie between the first and the last tap."""
    geometry = kernel.geometry
    return geometry.stride[0], geometry.padding[0], geometry.dilation[0] * (kernel.size[0] - 1)
