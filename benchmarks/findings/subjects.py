"""Models and clips of the findings, and how a clip is explained here: in this process, jobs to their end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from actionlens.generated_clips.clips import HELD_OUT_SEED, Sample, generate
from actionlens.generated_clips.labels import STILL
from benchmarks.findings.finding import NotHere, Options
from handlers.engine.block import advance
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.evaluation.subject import GroundTruth, Subject
from handlers.explainers import methods
from handlers.explainers.attribution import Attribution, FrameAttribution, RelevanceMatrix, SaliencyVolume, Target
from handlers.explainers.iteration import IterativeExplainer
from handlers.models.action_model import ActionModel
from training import comparison

_STORE = Path(__file__).resolve().parents[2] / "model_store"

_FIRST = HELD_OUT_SEED + 4_000_000
"""Held-out clips that nothing else uses; each seed has a million of its own."""

Clip = NDArray[np.uint8]


@cache
def bundled(name: str) -> Engine:
    """A bundled model."""
    return Engine.load(_STORE / name)


@cache
def trained(name: str, networks: Path, file: str = "weights.safetensors") -> Engine:
    """A comparison network. Raises NotHere."""
    folder = networks / name
    if not (folder / file).exists():
        raise NotHere(f"train it first: python -m training.comparison {name} --out {folder}")
    return Engine(comparison.load(name, folder, file))


def samples(
    count: int, options: Options, size: int = 112, label: int | None = None, moving: bool = False, frames: int = 16
) -> Iterator[Sample]:
    """The first `count` held-out clips of the seed. label: all of that class. moving: without the class "still"."""
    first, found = _FIRST + options.seed * 1_000_000, 0
    number = 0
    while found < count:
        sample = generate(first + number, label, frames, size)
        number += 1
        if not (moving and sample.label == STILL):
            found += 1
            yield sample


def subject(engine: Engine, sample: Sample, seed: int) -> Subject:
    """A clip with its exact ground truth, the class that is explained being the true one."""
    with torch.inference_mode():
        logits = engine.model.program.forward(engine.model.prepare([sample.clip]), {}, relevance=False).logits[0]
    truth = GroundTruth(
        sample.label,
        objects=torch.from_numpy(sample.mask),
        exact=True,
        segment=torch.from_numpy(sample.stroke),
    )
    return Subject(engine.model, sample.clip, logits.clone(), Target(sample.label), seed, truth)


@dataclass(frozen=True)
class Known:
    """A held-out clip that the model was asked about."""

    sample: Sample
    subject: Subject

    @property
    def sure(self) -> bool:
        """Whether the model is right with p > 0.5: the filter of the ATR paper."""
        return bool(self.subject.correct) and self.subject.probability > 0.5


def known(engine: Engine, options: Options, count: int, size: int = 112, moving: bool = False) -> list[Known]:
    """So many held-out clips with the model's answers."""
    found = samples(count, options, size, moving=moving)
    return [Known(sample, subject(engine, sample, number)) for number, sample in enumerate(found)]


def explain(engine: Engine, clip: Clip, label: int | str | None, method: str, **parameters: object) -> Attribution:
    """Explain a clip. label: None for the top-1 class. Raises RequestError."""
    call = ClipRequest(clip, [MethodCall(method, parameters)], target=label)
    if isinstance(methods()[method], IterativeExplainer):
        block = advance(engine, call, b"", 1e9, 0, result=True)
        assert block.result is not None
        return block.result
    (answer,) = engine.explain([call])
    if isinstance(answer, RequestError):
        raise answer
    assert isinstance(answer, ClipAnswer)
    found = answer.explained[0].result
    if isinstance(found, RequestError):
        raise found
    return found


def explain_map(
    engine: Engine, clip: Clip, label: int | str | None, method: str, **parameters: object
) -> SaliencyVolume:
    """Explain by a method that makes maps."""
    found = explain(engine, clip, label, method, **parameters)
    assert isinstance(found, SaliencyVolume)
    return found


def explain_frames(
    engine: Engine, clip: Clip, label: int | str | None, method: str, **parameters: object
) -> FrameAttribution:
    """Explain by a method that values frames."""
    found = explain(engine, clip, label, method, **parameters)
    assert isinstance(found, FrameAttribution)
    return found


def explain_matrix(engine: Engine, clip: Clip, label: int | str | None, **parameters: object) -> RelevanceMatrix:
    """Explain by ATR."""
    found = explain(engine, clip, label, "atr", **parameters)
    assert isinstance(found, RelevanceMatrix)
    return found


def scores(model: ActionModel, clips: Sequence[Clip]) -> NDArray[np.float64]:
    """Class probabilities [n, K] of clips of one length, in batches."""
    found = []
    with torch.inference_mode():
        for start in range(0, len(clips), 8):
            logits = model.program.forward(model.prepare(clips[start : start + 8]), {}, relevance=False).logits
            found.append(model.probabilities(logits))
    return torch.cat(found).double().numpy()


def real_assets(options: Options) -> Path:
    """The folder with real models and clips. Raises NotHere."""
    if options.assets is None:
        raise NotHere("needs real models and clips: set ACTIONLENS_TEST_ASSETS (CONTRIBUTING.md)")
    return options.assets
