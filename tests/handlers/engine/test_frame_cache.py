"""Frames that were seen before are not computed again, and nobody can tell from the answers."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.engine.frame_cache import FrameCache
from handlers.explainers.attribution import SaliencyVolume
from handlers.models import family
from handlers.models.action_model import ActionModel
from handlers.relevance import trace
from tests.handlers.networks import clip, model

SMALL = {"channels": [4, 6], "cells": 2, "width": 5}
TRN = {"architecture": "trn", "arguments": SMALL | {"hidden": 7, "scales": 3}, "layer": ""}
TSN = {"architecture": "tsn", "arguments": SMALL, "layer": ""}
FRAME_BYTES = 6 * 3 * 4 * 4  # channels, rows and columns of the last layer for 12 x 16 pixels, float32


class Counted(FrameCache):
    """Notes how many frames a forward was asked for."""

    def __init__(self, made: ActionModel, room: int = 2**20) -> None:
        super().__init__(made, room)
        self.computed = 0

    def _remember(self, fresh: dict[bytes, Tensor]) -> None:
        self.computed += len(fresh)
        super()._remember(fresh)


def windows(frames: NDArray[np.uint8], hop: int, length: int = 6) -> Iterator[NDArray[np.uint8]]:
    for first in range(0, len(frames) - length + 1, hop):
        yield frames[first : first + length]


@pytest.mark.parametrize("made", [TRN, TSN])
def test_windows_of_two_streams_with_lost_frames_are_answered_as_by_a_plain_forward(made: dict[str, object]) -> None:
    engine, loaded = Engine(model(**made)), model(**made)
    one, two = clip(1, frames=16), np.delete(clip(2, frames=18), [5, 9], axis=0)
    for pair in zip(windows(one, 2), windows(two, 2), strict=True):
        answers = engine.explain([ClipRequest(window, [MethodCall("grad-cam")], target=1) for window in pair])
        plain = loaded.program.forward(loaded.prepare(pair), [loaded.layer], relevance=False)
        seeds = torch.zeros_like(plain.logits)
        seeds[:, 1] = 1
        weights = plain.gradient(loaded.layer, seeds).mean((3, 4), keepdim=True)
        heat = (weights * plain.activation(loaded.layer)).sum(1).clamp(min=0)
        for item, answer in enumerate(answers):
            assert isinstance(answer, ClipAnswer)
            torch.testing.assert_close(answer.logits, plain.logits[item], rtol=1e-5, atol=1e-6)
            shown = answer.explained[0].result
            assert isinstance(shown, SaliencyVolume)
            torch.testing.assert_close(shown.values, heat[item], rtol=1e-5, atol=1e-6)


@torch.inference_mode()
def test_only_new_frames_are_computed_and_what_is_kept_is_bounded() -> None:
    loaded, frames = model(**TRN), clip(3, frames=14)
    roomy, narrow = Counted(loaded), Counted(loaded, 4 * FRAME_BYTES)
    fresh = [Counted(loaded).activations([window]) for window in windows(frames, 2)]
    for window, expected in zip(windows(frames, 2), fresh, strict=True):
        for seen in (roomy, narrow):
            torch.testing.assert_close(seen.activations([window]), expected, rtol=1e-6, atol=1e-7)
    assert roomy.computed == len(frames)
    assert narrow.computed == 6 + 4 * 2  # of each window's six, the four that came last are still there
    roomy.activations([frames[:6], frames[2:8]])
    assert roomy.computed == len(frames)
    assert (narrow._held, roomy._held) == (4 * FRAME_BYTES, len(frames) * FRAME_BYTES)


@torch.inference_mode()
def test_what_needs_the_backbone_gets_it() -> None:
    mixing, frame_wise = Counted(model()), Counted(model(**TSN))
    mixing.forward([clip()], (), relevance=False)
    frame_wise.forward([clip()], (), relevance=True).single(0)
    frame_wise.forward([clip()], ["backbone.features.2"], relevance=False).activation("backbone.features.2")
    assert (mixing.computed, frame_wise.computed) == (0, 0)
    frame_wise.forward([clip()], ["backbone.features", "backbone.vector"], relevance=False)
    assert frame_wise.computed == 6


def test_a_shift_between_frames_is_not_taken_for_frame_wise() -> None:
    network = family("tsm-resnet18").build(classes=3, widths=(4, 4, 4, 4)).eval()
    program = trace(network)
    assert program.by_frame("base_model.conv1")
    assert not program.by_frame("base_model.layer1")
    assert not program.by_frame("base_model.layer4")


def test_threads_may_ask_at_once() -> None:
    engine, frames = Engine(model(**TRN)), clip(4, frames=20)
    expected = [engine.explain([ClipRequest(window)])[0] for window in windows(frames, 1)]
    fresh, wrong = Engine(model(**TRN)), []

    def ask() -> None:
        for window, good in zip(windows(frames, 1), expected, strict=True):
            (answer,) = fresh.explain([ClipRequest(window)])
            assert isinstance(answer, ClipAnswer)
            assert isinstance(good, ClipAnswer)
            if not torch.allclose(answer.logits, good.logits, rtol=1e-5, atol=1e-6):
                wrong.append(window)

    threads = [threading.Thread(target=ask) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
