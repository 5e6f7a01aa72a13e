"""The window that max and average pooling move over a clip or a frame."""

from __future__ import annotations

from dataclasses import dataclass

from handlers.relevance.operations.base import Operation


@dataclass(eq=False)
class Pooling(Operation):
    """size, stride, padding: per axis, two or three of them, time first where there are three."""

    size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]

    def __post_init__(self) -> None:
        first = (self.size[0], self.stride[0], self.padding[0])
        self.keeps_time = len(self.size) == 3 and first == (1, 1, 0)

    @property
    def time_kernel(self) -> tuple[int, int]:
        return (self.size[0], self.stride[0]) if len(self.size) == 3 else (0, 1)

    @property
    def time_padding(self) -> int:
        return self.padding[0]
