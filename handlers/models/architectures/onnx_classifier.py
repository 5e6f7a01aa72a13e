"""Any classifier that comes as an .onnx file."""

from __future__ import annotations

from torch import nn

from handlers.models.family import Family
from handlers.onnx_import.module import network


def _build(classes: int, **arguments: object) -> nn.Module:
    raise ValueError("the network is in its .onnx file: actionlens models import --family onnx --weights MODEL.onnx")


FAMILY = Family(
    name="onnx",
    summary="any classifier of clips as an .onnx file; explained as far as its operators convert to torch",
    build=_build,
    layer="",
    traceable=False,
    network=network,
)
