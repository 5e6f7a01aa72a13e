"""Element Shapley Values (Play Fair) of models that look at frames, or at snippets of a few frames, one by one."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor

from handlers.explainers.attribution import Attribution, Details, FrameAttribution
from handlers.explainers.common.discard_curves import curves, different, of_target, prior, supporting
from handlers.explainers.common.running_statistics import RunningStatistics
from handlers.explainers.common.time_slices import iterate
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.shapley import Shapley, Sums, average_values, relational_levels, row_of, sample, shapley
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import AverageConsensus, FrameModel, RelationalConsensus, frame_model


class EsvParameters(Parameters):
    """Parameters of ESV."""

    exact_up_to: Annotated[int, Field(ge=1, le=16, description="most frames that are enumerated exactly")] = 16
    samples: Annotated[int, Field(ge=1, le=8192, description="sampled: subsequences per scale and iteration")] = 1024
    iterations: Annotated[int, Field(ge=1, le=1000, description="sampled: most iterations")] = 16
    tolerance: Annotated[
        float, Field(ge=0, le=1, description="sampled: stop when every value's standard error is below this")
    ] = 0.001


class Esv(IterativeExplainer[EsvParameters]):
    """Each frame's fair share in every class score; the values sum to what the clip adds to the class prior.

    The elements are what the model has features of. Where that is a snippet of frames, its frames share its value
    equally.
    """

    name = "esv"
    summary = "the fair share of every frame in the class's probability (Element Shapley Values)"
    parameters = EsvParameters

    def unsupported(self, model: ActionModel) -> str | None:
        if frame_model(model.module) is None:
            if hasattr(model.module, "frame_features"):
                return "its head takes one number of frames alone, so fewer have no value; frame-shapley can explain it"
            return "it mixes frames before it has features of single ones; frame-shapley can explain it"
        return None

    @torch.no_grad()
    def start(self, question: Question[EsvParameters]) -> State:
        clips = question.model.prepare([question.clip])
        (features,) = _network(question).frame_features(clips)
        iterations = question.parameters.iterations if _is_sampled(question, features) else 1
        return State(0, iterations, arrays={"features": features})

    @torch.no_grad()
    def advance(self, question: Question[EsvParameters], state: State, seconds: float) -> State:
        if not _is_sampled(question, state.arrays["features"]):
            return _at_once(question, state)
        return iterate(partial(_iterated, question), state, seconds)

    @torch.no_grad()
    def result(self, question: Question[EsvParameters], state: State) -> Attribution:
        features, target = state.arrays["features"], question.target
        _, prior_note = _prior(question)
        found = _found(question, state)
        values = of_target(found.values, target)
        logits = question.logits.double()
        whole = logits.log_softmax(0) if _is_average(question) else logits.softmax(0)
        measures = {
            "efficiency_gap": float(of_target(found.values.sum(0) - (whole - found.empty), target)),
            "full_score": float(of_target(whole, target)),
            "empty_score": float(of_target(found.empty, target)),
            "supporting": float((values > 0).sum()),
        }
        snippet = _network(question).snippet
        unit = "frames" if snippet == 1 else "snippets"
        notes = [prior_note, supporting(values, unit)]
        arrays = {"values_by_class": found.values, "marginals": of_target(found.marginals, target)}
        if snippet > 1:
            notes.append(f"the model looks at snippets of {snippet} frames, which share their snippet's value equally")
            count = len(question.clip)
            bounds = [(first, min(first + snippet, count) - 1) for first in range(0, count, snippet)]
            arrays["elements"] = torch.tensor(bounds).float()
        if _is_average(question):
            notes.append("exact, on log-probabilities: the values sum to log p(class) - log prior(class)")
        elif _is_sampled(question, features):
            spread = RunningStatistics.of(state)
            if spread.error is not None:
                measures["standard_error"] = float(spread.error.max())
                arrays["standard_error"] = spread.error
            notes.append(
                f"sampled: {state.iteration} iterations of {question.parameters.samples} subsequences per scale, "
                f"{spread.say()}"
            )
        else:
            notes.append(f"exact: all {2 ** len(features)} subsequences")
        if not _is_average(question) and _relational(question).fewest > 1:
            notes.append("a frame alone is compared with itself: the model relates two frames or more")

        drawn = curves(values, state.arrays["curves"], target, unit) if state.done else ()
        return FrameAttribution(
            _by_frame(values, len(question.clip), snippet).float(),
            details=Details(drawn, tuple(notes), measures, arrays),
        )


def _network(question: Question[EsvParameters]) -> FrameModel:
    network = frame_model(question.model.module)
    assert network is not None
    return network


def _is_average(question: Question[EsvParameters]) -> bool:
    return isinstance(_network(question).consensus, AverageConsensus)


def _is_sampled(question: Question[EsvParameters], features: Tensor) -> bool:
    return not _is_average(question) and len(features) > question.parameters.exact_up_to


def _by_frame(values: Tensor, frames: int, snippet: int) -> Tensor:
    """[ceil(frames / snippet)] to [frames]: equal shares for the frames of an element."""
    element = torch.arange(frames) // snippet
    return values[element] / element.bincount()[element]


def _prior(question: Question[EsvParameters]) -> tuple[Tensor, str]:
    card = question.model.card
    return prior(card.class_prior, len(card.labels))


def _relational(question: Question[EsvParameters]) -> RelationalConsensus:
    consensus = _network(question).consensus
    assert isinstance(consensus, RelationalConsensus)
    return consensus


def _at_once(question: Question[EsvParameters], state: State) -> State:
    """All there is to find, exactly."""
    features, target, (empty, _) = state.arrays["features"], question.target, _prior(question)
    consensus = _network(question).consensus
    if isinstance(consensus, AverageConsensus):
        values = average_values(consensus.classifier(features), empty).values
        arrays = {"curves": _scores(question, features, of_target(values, target))}
    else:
        by_level = list(relational_levels(_relational(question), features))
        found = shapley(by_level, empty, len(features))
        sets = different(of_target(found.values, target))[1:]
        scores = [by_level[len(kept) - 1][row_of(kept, len(features))] for kept in sets]
        arrays = {"marginals": found.marginals, "curves": torch.stack([empty.to(features), *scores])}
    return State(1, 1, True, arrays={"features": features, **arrays})


def _scores(question: Question[EsvParameters], features: Tensor, values: Tensor) -> Tensor:
    """Probabilities [m, K] of the sets of `different(values)`, each by a run of the consensus."""
    consensus = _network(question).consensus
    seen = [consensus(features[None, list(kept)])[0].softmax(0) for kept in different(values)[1:]]
    return torch.stack([_prior(question)[0].to(features), *seen])


def _iterated(question: Question[EsvParameters], state: State) -> State:
    """One more iteration of Algorithm 1. Its subsequences follow from the seed and its number alone."""
    chosen, (empty, _), features = question.parameters, _prior(question), state.arrays["features"]
    seed = (question.seed * 1_000_003 + state.iteration) % 2**63
    sums = sample(_relational(question), features, chosen.samples, seed)
    spread = RunningStatistics.of(state).with_one(sums.shapley(empty).values)
    if state.iteration:
        sums = _sums(state) + sums
    iteration = state.iteration + 1
    done = iteration == state.iterations or spread.within(chosen.tolerance)
    arrays = {"features": features, **vars(sums), **spread.arrays}
    if done:
        values = of_target(sums.shapley(empty).values, question.target)
        arrays["curves"] = _scores(question, features, values)
    return State(iteration, state.iterations, done, spread.largest, arrays)


def _sums(state: State) -> Sums:
    return Sums(*(state.arrays[name] for name in ("within", "counts", "totals", "drawn")))


def _found(question: Question[EsvParameters], state: State) -> Shapley:
    empty, _ = _prior(question)
    consensus = _network(question).consensus
    if isinstance(consensus, AverageConsensus):  # cheaper to compute again than to carry along
        return average_values(consensus.classifier(state.arrays["features"]), empty)
    if _is_sampled(question, state.arrays["features"]):
        return _sums(state).shapley(empty)
    marginals = state.arrays["marginals"]
    return Shapley(marginals, empty + marginals.mean(0).sum(0), empty)


EXPLAINER = Esv()
