"""BNInception (Ioffe and Szegedy, 2015) on clips, with the names that its widely used PyTorch ports give to it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from handlers.models.blocks.frame_conv import FrameConv2d
from handlers.relevance import SamePad

# Name: (1x1, 3x3_reduce, 3x3, double_3x3_reduce, double_3x3_1 and _2, pool_proj) channels of a module's branches; a
# module that halves the frame has neither a 1x1 branch nor a projection behind the pooling.
MIXED: dict[str, tuple[int, int, int, int, int, int]] = {
    "3a": (64, 64, 64, 64, 96, 32),
    "3b": (64, 64, 96, 64, 96, 64),
    "3c": (0, 128, 160, 64, 96, 0),
    "4a": (224, 64, 96, 96, 128, 128),
    "4b": (192, 96, 128, 96, 128, 128),
    "4c": (160, 128, 160, 128, 160, 128),
    "4d": (96, 128, 192, 160, 192, 128),
    "4e": (0, 128, 192, 192, 256, 0),
    "5a": (352, 192, 320, 160, 224, 128),
    "5b": (352, 192, 320, 192, 224, 128),
}


class BNInception(nn.Module):
    """Every frame by itself, to the maps `inception_5b_output`. All parameters lie at the top, as the ports have them.

    divisor: of all widths.
    """

    def __init__(self, divisor: int = 1) -> None:
        super().__init__()
        wide = 64 // divisor
        self._add("conv1_7x7_s2", 3, wide, 7, 2)
        self.pool1_3x3_s2 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True)
        self._add("conv2_3x3_reduce", wide, wide)
        self._add("conv2_3x3", wide, 3 * wide, 3)
        self.pool2_3x3_s2 = nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True)
        self.outputs = 3 * wide
        for name, widths in MIXED.items():
            self._add_mixed(name, [width // divisor for width in widths])

    def features(self, clip: Tensor) -> Tensor:
        """float [B, 3, T, H, W] to [B, outputs, T, H / 32, W / 32], not negative."""
        x: Tensor = self.pool1_3x3_s2(self._through(clip, "conv1_7x7_s2"))
        x = self.pool2_3x3_s2(self._through(x, "conv2_3x3_reduce", "conv2_3x3"))
        for name, widths in MIXED.items():
            x = self._mixed(x, f"inception_{name}", halves=not widths[0])
        return x

    def _add(self, name: str, inputs: int, outputs: int, size: int = 1, stride: int = 1) -> None:
        """Convolution with a bias, batch norm, ReLU."""
        self.add_module(name, FrameConv2d(inputs, outputs, size, stride, size // 2))
        self.add_module(f"{name}_bn", nn.BatchNorm3d(outputs))
        self.add_module(f"{name}_relu", nn.ReLU(inplace=True))

    def _add_mixed(self, name: str, widths: list[int]) -> None:
        first, reduced, single, reduced_double, double, projected = widths
        prefix, inputs, stride = f"inception_{name}", self.outputs, 1 if first else 2
        if first:
            self._add(f"{prefix}_1x1", inputs, first)
        self._add(f"{prefix}_3x3_reduce", inputs, reduced)
        self._add(f"{prefix}_3x3", reduced, single, 3, stride)
        self._add(f"{prefix}_double_3x3_reduce", inputs, reduced_double)
        self._add(f"{prefix}_double_3x3_1", reduced_double, double, 3)
        self._add(f"{prefix}_double_3x3_2", double, double, 3, stride)
        if not first:
            self.add_module(f"{prefix}_pool", nn.MaxPool3d((1, 3, 3), (1, 2, 2), ceil_mode=True))
        else:
            pool = nn.MaxPool3d if name == "5b" else nn.AvgPool3d
            # Zeros count in the published average and never win a maximum of what is not negative. Pooling itself
            # would refuse to pad maps of 2 x 2.
            self.add_module(f"{prefix}_pool", nn.Sequential(SamePad((1, 3, 3), (1, 1, 1)), pool((1, 3, 3), 1)))
            self._add(f"{prefix}_pool_proj", inputs, projected)
        self.add_module(f"{prefix}_output", nn.Identity())
        self.outputs = first + single + double + (projected or inputs)

    def _through(self, x: Tensor, *names: str) -> Tensor:
        for name in names:
            for part in (name, f"{name}_bn", f"{name}_relu"):
                x = self.get_submodule(part)(x)
        return x

    def _mixed(self, x: Tensor, name: str, halves: bool) -> Tensor:
        pooled: Tensor = self.get_submodule(f"{name}_pool")(x)
        branches = [
            self._through(x, f"{name}_3x3_reduce", f"{name}_3x3"),
            self._through(x, f"{name}_double_3x3_reduce", f"{name}_double_3x3_1", f"{name}_double_3x3_2"),
            pooled if halves else self._through(pooled, f"{name}_pool_proj"),
        ]
        if not halves:
            branches.insert(0, self._through(x, f"{name}_1x1"))
        output: Tensor = self.get_submodule(f"{name}_output")(torch.cat(branches, 1))
        return output
