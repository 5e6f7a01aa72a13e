"""Quality of the explanations of one answer: how far they agree, and on request their insertion-deletion gap."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from actionlens.frame_agreement import write_agreement
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import ClipAnswer, Engine
from handlers.errors import RequestError
from handlers.evaluation.measure import LeftOut
from handlers.evaluation.online_gap import OnlineGap
from handlers.evaluation.subject import Subject
from handlers.explainers.attribution import Attribution, SaliencyVolume
from handlers.explainers.profile_agreement import profile_on_frames

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Gap:
    """What measuring one explanation found: the gap, or why there is none, and the seconds that it took."""

    value: float | None = None
    left_out: str = ""
    seconds: float = 0.0


@torch.inference_mode()
def measured_gaps(
    engine: Engine, compute: worker_pb2.Compute, clip: NDArray[np.uint8], answer: ClipAnswer | RequestError
) -> Sequence[Gap]:
    """Measure the explanations of a clip, uint8 [T, H, W, 3], in order, where that is asked for. Never raises.

    Not part of the engine's batch: what is measured is no reason for another clip of the batch to fail.
    """
    if isinstance(answer, RequestError) or not compute.output.insertion_deletion_gap:
        return ()
    visible = compute.visible
    gap = OnlineGap(
        Subject(
            model=engine.model,
            clip=clip,
            logits=answer.logits,
            target=answer.target,
            seed=0,  # equal values are ordered at random, but the same clip always in the same way
            visible=(visible.top, visible.bottom, visible.left, visible.right) if compute.HasField("visible") else None,
        )
    )
    return [
        Gap() if isinstance(entry.result, RequestError) else _measured(gap, entry.result) for entry in answer.explained
    ]


def fill_quality(response: worker_pb2.ComputeResponse, answer: ClipAnswer, gaps: Sequence[Gap], frames: int) -> None:
    """Write the gaps, and how far the explanations agree on when the evidence is, into an answer that has them all.

    frames: of the clip.
    """
    response.timings.measure.extend(gap.seconds for gap in gaps)
    for explanation, gap in zip(response.explanations, gaps, strict=False):  # there may be no gaps at all
        if gap.value is not None:
            explanation.quality.insertion_deletion_gap = gap.value
        if gap.left_out:
            explanation.quality.gap_left_out = gap.left_out
    profiles = {
        index: profile_on_frames(entry.result, answer.target.index, frames).numpy()
        for index, (entry, explanation) in enumerate(zip(answer.explained, response.explanations, strict=True))
        if not (
            isinstance(entry.result, RequestError) or explanation.HasField("failure") or _means_nothing(entry.result)
        )
    }
    write_agreement(response, profiles)


def _measured(gap: OnlineGap, attribution: Attribution) -> Gap:
    start = time.perf_counter()
    value, reason = None, ""
    try:
        value = gap.of(attribution)
    except LeftOut as error:
        reason = str(error)
    except Exception as error:  # the explanation stands without it
        _log.error("the insertion-deletion gap failed", exc_info=error)
        reason = f"{type(error).__name__} while measuring"
    return Gap(value, reason, time.perf_counter() - start)


def _means_nothing(attribution: Attribution) -> bool:
    return isinstance(attribution, SaliencyVolume) and bool(attribution.undefined)
