"""A graph's outputs as explanation messages, with the numbers about them that the graph does not hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionlens.row_lengths import row_lengths, summary
from actionlens.tensors import to_tensor
from actionlens.v1 import answer_pb2, explanation_pb2, tensor_pb2
from service.backends.onnx.graph import Held, Outputs

OUTPUTS: dict[str, tuple[str, ...]] = {
    "grad-cam": ("grad_cam",),
    "dtd": ("dtd",),
    "selective-relevance": ("selective_map", "selective_mask", "selected_positions", "motion_share"),
    "atr": ("relevance_matrix", "row_logits"),
}
"""By method, the outputs that its explanation is made of."""

# Specks of the other sign in maps that are one-signed by construction do not make them signed.
_SPECKS = 0.01


def fill(
    explanation: explanation_pb2.Explanation, held: Held, found: Outputs, encoding: answer_pb2.ValueEncoding
) -> None:
    """Put the method's values and quality into its explanation. Raises TensorError for values that cannot be sent."""
    match explanation.method:
        case "grad-cam":
            _volume(explanation, held, found["grad_cam"], False, encoding)
        case "dtd":
            values = found["dtd"]
            _volume(explanation, held, values, _is_signed(values), encoding)
            start = explanation.target.logit
            if start:
                explanation.quality.conservation_defect = 1 - float(values.sum(dtype=np.float64)) / start
        case "selective-relevance":
            values = found["selective_map"]
            _volume(explanation, held, values, _is_signed(values), encoding)
            explanation.saliency.mask.CopyFrom(_mask(found["selective_mask"]))
            if np.isfinite(found["motion_share"]):  # nothing is positive, and so nothing has a share
                explanation.quality.selected_positions = float(found["selected_positions"])
                explanation.quality.motion_share = float(found["motion_share"])
        case "atr":
            _matrix(explanation, held, found["relevance_matrix"], found["row_logits"], encoding)


def _volume(
    explanation: explanation_pb2.Explanation,
    held: Held,
    values: NDArray[np.float32],
    signed: bool,
    encoding: answer_pb2.ValueEncoding,
) -> None:
    volume = explanation.saliency
    volume.values.CopyFrom(to_tensor(values, encoding))
    volume.signed = signed
    volume.layer = held.layer
    volume.frame_positions.extend(held.frame_positions)


def _matrix(
    explanation: explanation_pb2.Explanation,
    held: Held,
    values: NDArray[np.float32],
    row_logits: NDArray[np.float32],
    encoding: answer_pb2.ValueEncoding,
) -> None:
    matrix = explanation.relevance_matrix
    matrix.values.CopyFrom(to_tensor(values, encoding))
    matrix.frame_positions.extend(held.frame_positions)
    logits = row_logits.astype(np.float64).tolist()
    matrix.row_logits.extend(logits)
    lengths = row_lengths(values.astype(np.float64).tolist(), held.frame_positions, held.parameters["share"])
    matrix.row_lengths.extend(lengths)
    average, maximum, matrix.undefined = summary(lengths, logits)
    if average is not None and maximum is not None:
        matrix.average_length, matrix.maximum_length = average, maximum
    if whole := sum(logits):
        explanation.quality.conservation_defect = 1 - float(values.sum(dtype=np.float64)) / whole


def _is_signed(values: NDArray[np.float32]) -> bool:
    return bool(np.abs(values.clip(max=0)).sum() > _SPECKS * np.abs(values).sum())


def _mask(mask: NDArray[np.bool_]) -> tensor_pb2.Tensor:
    """0 and 1 as bytes."""
    data = mask.astype(np.uint8).tobytes()
    return tensor_pb2.Tensor(dtype=tensor_pb2.DATA_TYPE_UINT8, shape=mask.shape, data=data, scale=1.0)
