"""Recurrent families in the engine: which methods explain them, and that those by frame find the frame."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from handlers.engine.block import advance
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.explainers import methods
from handlers.explainers.attribution import FrameAttribution, RelevanceMatrix, SaliencyVolume
from handlers.models.action_model import ActionModel
from tests.handlers import networks

SIZES = {
    "cnn-lstm": (16, {"channels": [4, 5], "pools": [2, 2], "hidden": 6, "size": 16}),
    "vgg16-lstm": (32, {"widths": [3, 4, 4, 5, 5], "dense": 6, "hidden": 4, "size": 32}),
    "c-lstm": (16, {"layers": 2, "width": 4, "frames": 4, "size": 16}),
}


def changes(family: str) -> dict[str, object]:
    size, arguments = SIZES[family]
    read = {"frames": 4, "height": size, "width": size, "mean": [0.5] * 3, "std": [0.25] * 3}
    return {"architecture": family, "arguments": arguments, "layer": "", "input": read}


@pytest.mark.parametrize("family", SIZES)
def test_every_method_explains_it_or_says_why_not(family: str) -> None:
    model = networks.model(**changes(family))
    refused = {name: reason for name, entry in methods().items() if (reason := entry.unsupported(model))}
    assert "recurrence is not one of the modules that DeepLIFT knows" in refused.pop("deep-lift")
    assert "frame-shapley can explain it" in refused.pop("esv")
    if family == "c-lstm":
        assert "is not averaged" in refused.pop("atr")
        assert "no rectifiers" in refused.pop("guided-backprop")
    assert not refused.keys() & {"dtd", "clrp", "atr", "guided-backprop", "selective-relevance", "temporal-mask"}


@pytest.mark.parametrize("frame", [0, 2])
def test_methods_by_frame_find_the_only_frame_that_shows_something(frame: int) -> None:
    card = networks.card(**changes("cnn-lstm"))
    module = networks.module(card).eval()
    with torch.no_grad():
        for tensor in module.parameters():
            tensor.abs_() if tensor.dim() > 1 else tensor.zero_()
        module.classifier.weight[1:] = 0  # light is evidence of the first class, and of nothing else
        module.lstm.bias[6:12] = 4.0  # the forget gates: what was seen is kept
    clip = np.full((4, 16, 16, 3), 127, np.uint8)
    clip[frame] = 255
    engine = Engine(ActionModel(card, module))
    (answer,) = engine.explain([ClipRequest(clip, [MethodCall("dtd"), MethodCall("atr")], target=0)])
    assert isinstance(answer, ClipAnswer)
    heat, row = (entry.result for entry in answer.explained)
    assert isinstance(heat, SaliencyVolume)
    assert isinstance(row, RelevanceMatrix)
    assert int(heat.values.sum((1, 2)).argmax()) == frame
    assert int(row.values[0].argmax()) == frame
    request = ClipRequest(clip, [MethodCall("frame-shapley", {"absent": "mean"})], target=0)
    shares = advance(engine, request, b"", 1e9, 0, result=True).result
    assert isinstance(shares, FrameAttribution)
    assert int(shares.values.argmax()) == frame
