"""Models that look at frames one by one: what they compute, for clips of any length, and what explains them."""

from __future__ import annotations

from itertools import combinations

import pytest
import torch
from torch import Tensor

from handlers.engine.engine import ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.explainers.attribution import SaliencyVolume
from handlers.models.architectures.trn import MultiScaleTRN
from handlers.models.architectures.tsn import TSN
from handlers.models.blocks.consensus import RelationalConsensus, subsequences
from handlers.relevance import trace
from tests.handlers.networks import clip, model

SMALL = {"channels": [4, 6], "cells": 2, "width": 5}


def trn() -> MultiScaleTRN:
    torch.manual_seed(1)
    return MultiScaleTRN(3, (4, 6), 2, 5, 7, 3).double().eval()


def mean_over_subsequences(consensus: RelationalConsensus, features: Tensor) -> Tensor:
    """Play Fair, Eq. 8, as it is written. features: [T, D]."""
    scales = []
    for scale in range(1, min(len(features), len(consensus.relations)) + 1):
        relation = consensus.relations[scale - 1]
        chosen = [list(frames) for frames in combinations(range(len(features)), scale)]
        scales.append(torch.stack([relation(features[frames].flatten()) for frames in chosen]).mean(0))
    return torch.stack(scales).mean(0)


@pytest.mark.parametrize("frames", [1, 2, 3, 5])
def test_a_relational_model_is_the_mean_over_its_scales_and_their_subsequences(frames: int):
    made = trn()
    clips = torch.randn(2, 3, frames, 12, 16, dtype=torch.float64)
    features = made.frame_features(clips)
    assert features.shape == (2, frames, 5)
    expected = torch.stack([mean_over_subsequences(made.consensus, item) for item in features])
    torch.testing.assert_close(made(clips), expected, rtol=1e-12, atol=1e-12)


def test_no_frame_touches_another_frames_features():
    made = trn()
    clips = torch.randn(1, 3, 4, 12, 16, dtype=torch.float64)
    changed = clips.clone()
    changed[:, :, 2] += 1.0
    differs = (made.frame_features(clips) != made.frame_features(changed)).any(2)[0]
    assert differs.tolist() == [False, False, True, False]


@pytest.mark.parametrize("frames", [1, 4, 5])
def test_no_snippet_touches_another_ones_features_and_the_last_is_filled_up(frames: int):
    torch.manual_seed(0)
    made = MultiScaleTRN(3, (4, 6), 2, 5, 7, 3, snippet=2).double().eval()
    clips = torch.randn(1, 3, frames, 12, 16, dtype=torch.float64)
    features = made.frame_features(clips)
    assert features.shape == (1, (frames + 1) // 2, 5)
    grey = torch.zeros(1, 3, 1, 12, 16, dtype=torch.float64)
    for place in range(features.shape[1]):
        snippet = torch.cat((clips, grey), 2)[:, :, 2 * place : 2 * place + 2]
        torch.testing.assert_close(made.frame_features(snippet)[:, 0], features[:, place], rtol=1e-12, atol=1e-12)


def test_subsequences_of_long_clips_are_few_and_always_the_same():
    assert subsequences(16, 8).shape == (12870, 8)
    long = subsequences(40, 5)
    assert long.shape == (1024, 5)
    assert (long.diff(dim=1) > 0).all()
    assert long.max() < 40
    again = subsequences.__wrapped__(40, 5)
    assert torch.equal(again, long)


def test_the_mean_of_frame_logits_is_the_prediction_of_a_tsn():
    torch.manual_seed(0)
    made = TSN(3, (4, 6), 2, 5).double().eval()
    clips = torch.randn(2, 3, 4, 12, 16, dtype=torch.float64)
    alone = torch.stack([made(clips[:, :, [frame]]) for frame in range(4)])
    torch.testing.assert_close(made(clips), alone.mean(0), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("frames", [2, 6])
def test_grad_cam_of_a_relational_model_reads_the_gradient_of_autograd(frames: int):
    made = trn()
    loaded = model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3}, layer="")
    network = made.float()
    clips = torch.randn(2, 3, frames, 12, 16)
    with torch.inference_mode():
        forward = trace(network).forward(clips, [loaded.layer], relevance=False)
        cotangent = torch.randn_like(forward.logits)
        found = forward.gradient(loaded.layer, cotangent)
    layer = network.get_submodule(loaded.layer)
    kept: list[Tensor] = []
    hook = layer.register_forward_hook(lambda _, __, output: kept.append(output))
    logits = network(clips)
    hook.remove()
    (expected,) = torch.autograd.grad(logits, kept[0], cotangent.clone())
    torch.testing.assert_close(forward.logits.clone(), logits, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(found.clone(), expected, rtol=1e-3, atol=1e-6)


def test_relevance_through_relations_is_refused_and_the_refusal_says_what_works():
    engine = Engine(model(architecture="trn", arguments={**SMALL, "hidden": 7, "scales": 3}, layer=""))
    calls = [MethodCall(name) for name in ("dtd", "guided-backprop", "atr", "grad-cam")]
    (answer,) = engine.explain([ClipRequest(clip(), calls)])
    assert not isinstance(answer, RequestError)
    *refused, shown = (entry.result for entry in answer.explained)
    for result in refused:
        assert isinstance(result, RequestError)
        assert result.reason == "METHOD_UNSUPPORTED"
    assert "grad-cam" in str(refused[0])
    assert not isinstance(shown, RequestError)


def test_clips_of_different_lengths_are_answered_together_as_alone():
    engine = Engine(model(architecture="tsn", arguments=SMALL, layer=""))
    clips = [clip(0), clip(1, frames=3), clip(2), clip(3, frames=1)]
    together = engine.explain([ClipRequest(item, [MethodCall("grad-cam")]) for item in clips])
    for item, answer in zip(clips, together, strict=True):
        (alone,) = engine.explain([ClipRequest(item, [MethodCall("grad-cam")])])
        assert not isinstance(answer, RequestError)
        assert not isinstance(alone, RequestError)
        torch.testing.assert_close(answer.logits, alone.logits)
        heat = answer.explained[0].result
        assert isinstance(heat, SaliencyVolume)
        assert heat.frame_positions == tuple(range(len(item)))


@pytest.mark.parametrize("frames", [0, 65])
def test_a_length_that_the_model_does_not_take_is_refused(frames: int):
    engine = Engine(model(architecture="tsn", arguments=SMALL, layer=""))
    (answer,) = engine.explain([ClipRequest(clip(frames=frames))])
    assert isinstance(answer, RequestError)
    assert answer.reason == "WRONG_CLIP_SHAPE"
    assert "1 to 64" in answer.message
