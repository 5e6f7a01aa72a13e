"""In which arithmetic the rules' convolutions run. The prediction, gradients, sums and divisions stay as they are.

Reduced precision is for relevance without cancellation: the z+ rule from a start that takes no class off another.
There every sum has terms of one sign, so that rounding to bfloat16's 8 bits stays a small relative error: within 1 %
of the map in the L2 norm, rank correlation above 0.999. A contrast is a small difference of large numbers and is
carried in float32 whatever was asked for, and so are the other rules.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import torch
from torch import Tensor

from handlers.relevance.operations.base import Manner
from handlers.relevance.rules import AddRule, ConvolutionRule, NormRule, ZPlus


class Precision(StrEnum):
    """auto: bfloat16 where the device computes it natively, else float32."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    AUTO = "auto"


def reduced_type(precision: Precision, rule: ConvolutionRule, clip: Tensor) -> torch.dtype | None:
    """The reduced type for relevance of this clip; None: the clip's own. Only float32 clips are reduced."""
    if precision is Precision.FLOAT32 or clip.dtype is not torch.float32 or not isinstance(rule, ZPlus):
        return None
    if precision is Precision.BFLOAT16 or computes_bfloat16(clip.device):
        return torch.bfloat16
    return None


def manner_of(
    reduced: torch.dtype | None,
    slopes: Tensor,
    negated: bool,
    rule: ConvolutionRule | None = None,
    norm: NormRule | None = None,
    add: AddRule | None = None,
) -> Manner:
    """How relevance that starts from these weights of the logits is computed: reduced only where it adds up."""
    cancels = reduced is None or negated or not isinstance(rule, ZPlus | None) or bool((slopes < 0).any())
    return Manner(rule, None if cancels else reduced, norm, add)


def computes_bfloat16(device: torch.device) -> bool:
    """Whether the device has arithmetic units for bfloat16 (emulation is slower than float32)."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    cpu: Any = torch.cpu
    checks = (getattr(cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
    return device.type == "cpu" and any(check is not None and check() for check in checks)
