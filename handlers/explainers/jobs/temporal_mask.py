"""Temporal masks: freeze and reverse (Interpreting video features, 3.1)."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution
from handlers.explainers.common.objective import Objective
from handlers.explainers.common.time_slices import iterate
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.temporal_masks import (
    NO_DROP,
    Descent,
    Findings,
    FrameMixer,
    FramePicker,
    Loss,
    MaskScores,
    MaskWindow,
    Perturbation,
    best_window,
    report,
    windows,
)
from handlers.models.action_model import ActionModel

_ENUMERATED = 32
"""Clips up to this many frames have every window tried: at most 496 forwards."""
_SUFFICES = 0.9
"""The mask starts as the shortest centred window that keeps this share of the score's fall under a full mask."""


class TemporalMaskParameters(Parameters):
    """Parameters of a temporal mask."""

    perturbation: Annotated[Literal["freeze", "reverse"], Field(description="what becomes of masked frames")] = "freeze"
    iterations: Annotated[int, Field(ge=1, le=10_000, description="steps of Adam")] = 300
    # The score that they stand beside is at most 1: far above that, a weight alone decides.
    sparsity: Annotated[float, Field(ge=0, le=1000, description="weight of the mask's length")] = 0.01
    smoothness: Annotated[float, Field(ge=0, le=1000, description="weight of its total variation")] = 0.02
    power: Annotated[float, Field(ge=1, le=8, description="power of the total variation")] = 3.0


class TemporalMask(IterativeExplainer[TemporalMaskParameters]):
    """The frames without whose motion (freeze) or order (reverse) the target's softmax score falls.

    Three phases share the iterations: the scan for a start, the descent, and, for clips of up to 32 frames, every
    contiguous window; one that is as long as the learned mask and lowers the score further takes its place. With a
    contrast the score is the target's share of the two classes' probability. Where a model has no gradients, or frames
    cannot be mixed, nothing descends: the mask is the best window.
    """

    name = "temporal-mask"
    summary = "learned mask over time: frames that, frozen or reversed, lower the score most"
    parameters = TemporalMaskParameters
    by_probability = True

    def unsupported(self, model: ActionModel) -> str | None:
        if (reason := _no_descent(model)) and max(model.most_frames, model.card.input.frames) > _ENUMERATED:
            return f"clips of more than {_ENUMERATED} frames need gradients: {reason}"
        return super().unsupported(model)

    def start(self, question: Question[TemporalMaskParameters]) -> State:
        work = _Work(question)
        steps = work.scans + work.learns + len(work.windows)
        empty = torch.zeros(0)
        arrays = {name: torch.zeros(work.frames) for name in ("logits", "mean", "square")}
        return State(0, steps, arrays={**arrays, "scan": empty, "losses": empty, "scores": empty, "windows": empty})

    def advance(self, question: Question[TemporalMaskParameters], state: State, seconds: float) -> State:
        return iterate(_Work(question).step, state, seconds)

    def result(self, question: Question[TemporalMaskParameters], state: State) -> Attribution:
        work = _Work(question)
        arrays = state.arrays
        descended = bool(len(arrays["losses"]))
        learned = work.mask(arrays.get("best", arrays["logits"])) if descended else torch.zeros(work.frames)
        mask = work.better(learned, arrays["windows"]) if state.done else learned
        if not descended:
            learned = mask
        found = Findings(
            perturbation=work.perturbation,
            mask=mask,
            left=float(work.scores((mask > 0.5).float()[None], work.perturbation)),
            learned=MaskScores(
                mask=learned,
                soft={kind: float(work.scores(learned[None], kind)) for kind in Perturbation},
                hard={kind: float(work.scores((learned > 0.5).float()[None], kind)) for kind in Perturbation},
            ),
            original=work.score.certainty,
            full=float(arrays["scan"][0]) if len(arrays["scan"]) else None,
            losses=arrays["losses"],
            scores=arrays["scores"],
            windows=work.windows[: len(arrays["windows"])],
            window_scores=arrays["windows"],
        )
        return report(found, work.loss, state.done)


def _no_descent(model: ActionModel) -> str:
    """Why a mask between 0 and 1 cannot be improved step by step; empty where it can."""
    return model.program.no_gradient or model.no_mixing


class _Work:
    """Everything that the steps of one block share."""

    def __init__(self, question: Question[TemporalMaskParameters]) -> None:
        parameters = question.parameters
        self.score = Objective(question)
        self.loss = Loss(parameters.sparsity, parameters.smoothness, parameters.power)
        self.perturbation = Perturbation(parameters.perturbation)
        model = question.model
        if model.no_mixing:
            self._mixer: FrameMixer = FramePicker(question.clip, model.prepare)
        else:
            self._mixer = FrameMixer(model.prepare([question.clip]))
        self.frames = self._mixer.frames
        self.windows = windows(self.frames, self.perturbation) if self.frames <= _ENUMERATED else []
        self.scans = (self.frames + 1) // 2
        self.learns = 0 if _no_descent(model) else parameters.iterations

    def step(self, state: State) -> State:
        """One iteration of whichever phase the state is in."""
        if state.iteration < self.scans:
            state = self._scan(state)
        elif state.iteration < self.scans + self.learns:
            state = self._learn(state)
        else:
            state = self._enumerate(state)
        return replace(state, done=state.iteration == state.iterations)

    def mask(self, logits: Tensor) -> Tensor:
        """float [T] in 0 .. 1; 0 where a mask can have no effect."""
        live = torch.ones(self.frames)
        live[: self.perturbation.first] = 0
        return torch.sigmoid(logits) * live

    def better(self, learned: Tensor, window_scores: Tensor) -> Tensor:
        """The learned mask, or a window that lowers the score further: one as long as the mask, where the mask is worth
        its cost, or any that is."""
        on = (learned > 0.5).float()
        reached = float(self.scores(on[None], self.perturbation))
        pays = self.score.certainty - reached > float(self.loss.cost(on))
        length = int(on.sum()) if pays else None
        best = best_window(self.windows[: len(window_scores)], window_scores, self.loss, self.frames, length)
        return best[0].mask(self.frames) if best and best[1] < reached - NO_DROP else learned

    def scores(self, masks: Tensor, perturbation: Perturbation) -> Tensor:
        """[B] probability of the target under masks float [B, T]."""
        return self.score.probability(self._mixer.mixed(perturbation.mixing(masks)))

    def _centred(self, off: int) -> Tensor:
        """The full mask less `off` frames at either end."""
        return MaskWindow(max(off, self.perturbation.first), self.frames - 1 - off).mask(self.frames)

    def _scan(self, state: State) -> State:
        """Try the next shorter centred window; start the descent at the last that sufficed."""
        off = len(state.arrays["scan"])
        score = self.scores(self._centred(off)[None], self.perturbation)
        scan = torch.cat([state.arrays["scan"], score])
        drops = self.score.certainty - scan
        suffices = float(drops[0]) > 0 and float(drops[off]) >= _SUFFICES * float(drops[0])
        state = replace(state, iteration=off + 1, arrays={**state.arrays, "scan": scan})
        if suffices and off + 1 < self.scans:
            return state
        start = Descent.start(self._centred(off if suffices else max(0, off - 1)))
        return replace(state, iteration=self.scans, arrays={**state.arrays, "logits": start})

    def _learn(self, state: State) -> State:
        arrays = state.arrays
        steps = state.iteration - self.scans
        with torch.enable_grad():
            logits = arrays["logits"].clone().requires_grad_()
            mask = self.mask(logits)
            score = self.scores(mask[None], self.perturbation)[0]
            loss = self.loss.cost(mask) + score
            (gradient,) = torch.autograd.grad(loss, logits)
        # Reversing jumps where a frame joins or leaves a run, and the descent may fall off: its lowest point counts.
        lowest = bool((loss < arrays["losses"]).all())
        after = Descent(arrays["logits"], arrays["mean"], arrays["square"], steps).stepped(gradient)
        arrays = {
            **arrays,
            "logits": after.logits,
            "best": arrays["logits"] if lowest else arrays.get("best", arrays["logits"]),
            "mean": after.mean,
            "square": after.square,
            "losses": torch.cat([arrays["losses"], loss.detach()[None]]),
            "scores": torch.cat([arrays["scores"], score.detach()[None]]),
        }
        return replace(state, iteration=state.iteration + 1, objective=float(loss.detach()), arrays=arrays)

    def _enumerate(self, state: State) -> State:
        done = len(state.arrays["windows"])
        some = self.windows[done : done + self._mixer.batch]
        scores = self.scores(torch.stack([window.mask(self.frames) for window in some]), self.perturbation)
        arrays = {**state.arrays, "windows": torch.cat([state.arrays["windows"], scores])}
        return replace(state, iteration=state.iteration + len(some), arrays=arrays)


EXPLAINER = TemporalMask()
