"""Explanations as what a state of safetensors can hold: arrays, and JSON values beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from torch import Tensor

from handlers.explainers.attribution import (
    Attribution,
    Curve,
    Details,
    FrameAttribution,
    Quality,
    RelevanceMatrix,
    SaliencyVolume,
)

_KINDS: Mapping[str, Callable[..., Attribution]] = {
    kind.__name__: kind for kind in (SaliencyVolume, RelevanceMatrix, FrameAttribution)
}
_TENSORS = ("values", "mask", "row_logits")


def tensors(attribution: Attribution) -> dict[str, Tensor]:
    """All arrays of an explanation by name."""
    own = {name: getattr(attribution, name) for name in _TENSORS if getattr(attribution, name, None) is not None}
    return own | {f"details.{name}": values for name, values in attribution.details.arrays.items()}


def packed(attribution: Attribution) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An explanation, whole: its arrays by name (copies), and the rest as JSON values."""
    arrays = tensors(attribution)
    rest = {name: value for name, value in vars(attribution).items() if name not in (*_TENSORS, "details", "quality")}
    details = attribution.details
    numbers = {
        "kind": type(attribution).__name__,
        "fields": rest,
        "quality": asdict(attribution.quality),
        "curves": [curve_numbers(curve) for curve in details.curves],
        "notes": list(details.notes),
        "measures": dict(details.measures),
    }
    return {name: values.detach().clone().contiguous() for name, values in arrays.items()}, numbers


def unpacked(arrays: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> Attribution:
    """The explanation that `packed` took apart."""
    fields = {name: tuple(value) if isinstance(value, list) else value for name, value in numbers["fields"].items()}
    details = Details(
        curves=tuple(map(curve_of, numbers["curves"])),
        notes=tuple(numbers["notes"]),
        measures=numbers["measures"],
        arrays={
            name.removeprefix("details."): values for name, values in arrays.items() if name.startswith("details.")
        },
    )
    own = {name: values for name, values in arrays.items() if name in _TENSORS}
    return _KINDS[numbers["kind"]](**own, **fields, quality=Quality(**numbers["quality"]), details=details)


def curve_numbers(curve: Curve) -> list[Any]:
    """A curve as JSON values."""
    return [curve.name, curve.x_name, list(curve.x), list(curve.y), curve.unit]


def curve_of(numbers: list[Any]) -> Curve:
    """The curve of `curve_numbers`."""
    name, x_name, x, y, unit = numbers
    return Curve(name, x_name, tuple(x), tuple(y), unit)
