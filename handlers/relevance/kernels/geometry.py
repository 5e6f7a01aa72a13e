"""Where a convolution reads: strides, paddings, dilations and groups."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Geometry:
    """Where a convolution reads: one number per axis (time first for clips)."""

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    groups: int = 1

    def with_time(self, padding: int, stride: int | None = None) -> Geometry:
        """The same with another padding (and stride) of the first axis."""
        first = self.stride[0] if stride is None else stride
        return Geometry((first, *self.stride[1:]), (padding, *self.padding[1:]), self.dilation, self.groups)
