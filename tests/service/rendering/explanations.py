"""Explanations with known content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionlens.tensors import to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2


def saliency(
    values: Any, positions: Sequence[float] = (), mask: Any = None, signed: bool = False
) -> explanation_pb2.Explanation:
    explanation = explanation_pb2.Explanation(method="grad-cam")
    explanation.target.label = "wave"
    explanation.saliency.values.CopyFrom(to_tensor(values))
    explanation.saliency.frame_positions.extend(positions)
    explanation.saliency.signed = signed
    if mask is not None:
        explanation.saliency.mask.CopyFrom(to_tensor(mask, answer_pb2.VALUE_ENCODING_UINT8))
    return explanation


def profile(*steps: float) -> explanation_pb2.Explanation:
    """A saliency volume of 2 x 2 cells whose sums over space are `steps`."""
    return saliency(np.repeat(np.asarray(steps), 4).reshape(-1, 2, 2) / 4)


def matrix(values: Any, logits: Sequence[float] = (), average: float | None = None) -> explanation_pb2.Explanation:
    explanation = explanation_pb2.Explanation(method="atr")
    explanation.relevance_matrix.values.CopyFrom(to_tensor(values))
    explanation.relevance_matrix.row_logits.extend(logits)
    if average is not None:
        explanation.relevance_matrix.average_length = average
    return explanation


def attribution(values: Any, target: int = 0) -> explanation_pb2.Explanation:
    explanation = explanation_pb2.Explanation(method="esv")
    explanation.target.index = target
    explanation.frame_attribution.values.CopyFrom(to_tensor(values))
    return explanation


def report(used: Sequence[int], **fields: Any) -> answer_pb2.FrameReport:
    return answer_pb2.FrameReport(used=used, **fields)


def grey(count: int, height: int, width: int, level: int = 100) -> NDArray[np.uint8]:
    return np.full((count, height, width, 3), level, np.uint8)
