"""Shapley values of the frames of models with a fixed clip length: something stands in for what is absent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Details, FrameAttribution
from handlers.explainers.common.discard_curves import Kept, curves, different, of_target, prior, supporting
from handlers.explainers.common.running_statistics import RunningStatistics
from handlers.explainers.common.time_slices import iterate
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.shapley import Elements, Shapley, levels, shapley, sums_of
from handlers.models.action_model import ActionModel

_AT_ONCE = 2**22
"""Numbers of a batch of clips; what a network makes of them takes some 50 times as much memory."""

_STAND_INS = {
    "hold": "absent frames repeat the nearest kept one",
    "mean": "absent frames are the clip's mean frame",
}


class FrameShapleyParameters(Parameters):
    """Parameters of frame Shapley values."""

    absent: Annotated[
        Literal["hold", "mean"], Field(description="absent frames become: hold: the nearest kept; mean: the mean frame")
    ] = "hold"
    elements: Annotated[int, Field(ge=1, le=64, description="groups of frames; at most one a frame")] = 8
    exact_up_to: Annotated[int, Field(ge=1, le=12, description="more elements than this are sampled")] = 10
    iterations: Annotated[int, Field(ge=1, le=10000, description="sampled: most permutations")] = 200
    tolerance: Annotated[
        float, Field(ge=0, le=1, description="sampled: stop when every value's standard error is below this")
    ] = 0.01


class FrameShapley(IterativeExplainer[FrameShapleyParameters]):
    """Each group of frames' fair share in every class's probability. Exact for few groups, else by permutations."""

    name = "frame-shapley"
    summary = "the fair share of groups of frames in the class's probability, for models of a fixed clip length"
    parameters = FrameShapleyParameters
    by_probability = True

    def fitted(self, model: ActionModel, parameters: FrameShapleyParameters) -> FrameShapleyParameters:
        if parameters.absent == "mean" and model.no_mixing:
            raise RequestError(f"absent: mean: {model.no_mixing}; use hold", field="absent", reason="BAD_PARAMETER")
        return parameters

    @torch.no_grad()
    def start(self, question: Question[FrameShapleyParameters]) -> State:
        game, classes = _Game(question), len(question.logits)
        if question.parameters.absent == "mean":
            (empty,) = game.probabilities([()])
        else:
            empty = prior(question.model.card.class_prior, classes)[0].float()
        arrays = {"empty": empty, "full": question.logits.softmax(0)}
        if not game.exact:
            return State(0, question.parameters.iterations, arrays=arrays)
        arrays["values"] = torch.zeros(1 << game.count, classes)
        arrays["values"][0], arrays["values"][-1] = empty, arrays["full"]
        return State(0, max(1, -(-len(_order(question, game)) // game.batch)), arrays=arrays)

    @torch.no_grad()
    def advance(self, question: Question[FrameShapleyParameters], state: State, seconds: float) -> State:
        game = _Game(question)
        return iterate(partial(_enumerated if game.exact else _permuted, question, game), state, seconds)

    def result(self, question: Question[FrameShapleyParameters], state: State) -> Attribution:
        game, target, absent = _Game(question), question.target, question.parameters.absent
        full, empty = state.arrays["full"].double(), state.arrays["empty"].double()
        notes = [
            f"frame Shapley ({absent}): {_STAND_INS[absent]}; the model was trained on no such clips, so the values "
            "say how it answers outside its training data",
            prior(question.model.card.class_prior, len(full))[1]
            if absent == "hold"
            else "nothing seen counts as a clip of the mean frame alone",
        ]
        measures = {"full_score": float(of_target(full, target)), "empty_score": float(of_target(empty, target))}
        arrays: dict[str, Tensor] = {"elements": torch.tensor(game.elements.bounds).float()}
        if game.exact:
            found = _so_far(question, game, state)
            by_class = found.values
            arrays["marginals"] = of_target(found.marginals, target)
            seen = min(state.iteration * game.batch + 2, 1 << game.count)
            notes.append(f"from {seen} of {1 << game.count} subsets" + (": exact" if state.done else " so far"))
        else:
            spread = RunningStatistics.of(state)
            by_class = spread.mean
            if spread.error is not None:
                measures["standard_error"] = float(spread.error.max())
                arrays["standard_error"] = spread.error
            notes.append(f"sampled: {state.iteration} permutations, {spread.say()}")
        values = of_target(by_class, target)
        arrays["values_by_class"] = by_class
        measures["efficiency_gap"] = float(of_target(by_class.sum(0) - (full - empty), target))
        measures["supporting"] = float((values > 0).sum())
        notes.append(supporting(values, "elements"))
        drawn = curves(values, _for_curves(game, state, values), target, "elements") if state.done else ()
        return FrameAttribution(
            game.elements.spread(values).float(), "probability", details=Details(drawn, tuple(notes), measures, arrays)
        )


class _Game:
    """Scores the clip with only some of its groups of frames kept."""

    def __init__(self, question: Question[FrameShapleyParameters]) -> None:
        chosen = question.parameters
        self._model, self._pixels = question.model, question.clip
        (self._clip,) = question.model.prepare([question.clip])
        frames = len(question.clip)
        self.elements = Elements(frames, min(chosen.elements, frames))
        self.count = self.elements.count
        self.exact = self.count <= chosen.exact_up_to
        self.batch = max(1, _AT_ONCE // self._clip.numel())
        self._holds = chosen.absent == "hold"

    def probabilities(self, sets: Sequence[Kept]) -> Tensor:
        """float32 [m, K] for sets of kept groups; `hold` needs one at least."""
        parts = []
        for first in range(0, len(sets), self.batch):
            clips = self._clips(sets[first : first + self.batch])
            parts.append(self._model.program.forward(clips, {}, relevance=False).logits.softmax(1))
        return torch.cat(parts)

    def _clips(self, sets: Sequence[Kept]) -> Tensor:
        """[m, C, T, H, W]. Frames are held, not the flow between them: nothing moves where one is held."""
        if self._holds:
            return self._model.prepare([self._pixels[self.elements.held(kept).numpy()] for kept in sets])
        return torch.stack([self.elements.averaged(self._clip, kept) for kept in sets])


def _order(question: Question[FrameShapleyParameters], game: _Game) -> Tensor:
    """The bitmasks between none and all, mixed by the seed, so that partial results are fair samples."""
    generator = torch.Generator().manual_seed(question.seed % 2**63)
    return torch.randperm((1 << game.count) - 2, generator=generator) + 1


def _enumerated(question: Question[FrameShapleyParameters], game: _Game, state: State) -> State:
    """One more batch of subsets."""
    masks = _order(question, game)[state.iteration * game.batch :][: game.batch]
    values = state.arrays["values"].clone()
    if len(masks):
        values[masks] = game.probabilities([_members(int(mask), game.count) for mask in masks])
    done = state.iteration + 1
    return State(done, state.iterations, done == state.iterations, arrays={**state.arrays, "values": values})


def _permuted(question: Question[FrameShapleyParameters], game: _Game, state: State) -> State:
    """One more permutation: what each element adds to those before it. The last one also fills the curves' values."""
    generator = torch.Generator().manual_seed((question.seed * 1_000_003 + state.iteration) % 2**63)
    order = torch.randperm(game.count, generator=generator)
    full, empty = state.arrays["full"], state.arrays["empty"]
    between = [tuple(order[:size].tolist()) for size in range(1, game.count)]
    values = torch.cat([empty[None], *([game.probabilities(between)] if between else []), full[None]]).double()
    estimate = torch.empty(game.count, len(full), dtype=torch.float64)
    estimate[order] = values.diff(dim=0)
    spread = RunningStatistics.of(state).with_one(estimate)
    done = state.iteration + 1
    stops = done == state.iterations or spread.within(question.parameters.tolerance)
    arrays = {"full": full, "empty": empty, **spread.arrays}
    if stops:
        sets = different(of_target(spread.mean, question.target))[1:-1]
        arrays["curves"] = torch.cat([empty[None], *([game.probabilities(sets)] if sets else []), full[None]])
    return State(done, state.iterations, stops, spread.largest, arrays)


def _so_far(question: Question[FrameShapleyParameters], game: _Game, state: State) -> Shapley:
    values, empty = state.arrays["values"], state.arrays["empty"].double()
    if state.done:
        return shapley([values[(1 << level.members).sum(1)] for level in levels(game.count)], empty, game.count)
    seen = _order(question, game)[: state.iteration * game.batch]
    masks = torch.cat([seen, torch.tensor([(1 << game.count) - 1])])
    return sums_of((masks[:, None] >> torch.arange(game.count)) & 1 == 1, values[masks]).shapley(empty)


def _for_curves(game: _Game, state: State, values: Tensor) -> Tensor:
    """Probabilities [m, K] of the sets of `different(values)`."""
    if not game.exact:
        return state.arrays["curves"]
    masks = torch.tensor([sum(1 << element for element in kept) for kept in different(values)])
    return state.arrays["values"][masks]


def _members(mask: int, count: int) -> Kept:
    return tuple(element for element in range(count) if mask >> element & 1)


EXPLAINER = FrameShapley()
