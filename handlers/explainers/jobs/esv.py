"""Element Shapley Values (Play Fair) of models that look at frames, or at snippets of a few frames, one by one."""

from __future__ import annotations

import math
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor

from handlers.errors import RequestError
from handlers.explainers.attribution import Attribution, Details, FrameAttribution
from handlers.explainers.common.discard_curves import curves, different, of_target, prior, supporting
from handlers.explainers.common.running_statistics import RunningStatistics
from handlers.explainers.common.time_slices import iterate
from handlers.explainers.explainer import Parameters
from handlers.explainers.iteration import IterativeExplainer, Question, State
from handlers.explainers.shapley import (
    Shapley,
    Sums,
    average_levels,
    average_values,
    relational_levels,
    row_of,
    sample,
    sample_average,
    shapley,
)
from handlers.models.action_model import ActionModel
from handlers.models.blocks.consensus import AverageConsensus, FrameModel, RelationalConsensus, frame_model


class EsvParameters(Parameters):
    """Parameters of ESV."""

    exact_up_to: Annotated[int, Field(ge=1, le=16, description="most frames that are enumerated exactly")] = 16
    samples: Annotated[int, Field(ge=1, le=8192, description="sampled: subsequences per scale and iteration")] = 1024
    iterations: Annotated[int, Field(ge=1, le=1000, description="sampled: most iterations")] = 16
    tolerance: Annotated[
        float, Field(ge=0, le=1, description="sampled: stop when every value's standard error and bias are below this")
    ] = 0.001
    score: Annotated[
        Literal["probability", "logit"],
        Field(
            description="what frames share: softmax probabilities, as in the paper, or the log-probabilities of a "
            "model that averages its frames' logits, exact at any length"
        ),
    ] = "probability"


_FEWEST = 4
"""Before so many estimates of the bias their mean says little."""


class Esv(IterativeExplainer[EsvParameters]):
    """Each frame's fair share in every class score; the values sum to what the clip adds to the class prior.

    The elements are what the model has features of. Where that is a snippet of frames, its frames share its value
    equally. `score`: the game of probabilities is the same for every model, so that models compare; that of logits has
    a closed form for averages of frames, and another sign for some of them.
    """

    name = "esv"
    summary = "the fair share of every frame in the class's probability (Element Shapley Values)"
    parameters = EsvParameters
    by_probability = True

    def unsupported(self, model: ActionModel) -> str | None:
        if frame_model(model.module) is None:
            if hasattr(model.module, "frame_features"):
                return "its head takes one number of frames alone, so fewer have no value; frame-shapley can explain it"
            return "it mixes frames before it has features of single ones; frame-shapley can explain it"
        return super().unsupported(model)

    def fitted(self, model: ActionModel, parameters: EsvParameters) -> EsvParameters:
        network = frame_model(model.module)
        if parameters.score == "logit" and network is not None and not isinstance(network.consensus, AverageConsensus):
            raise RequestError(
                "score: logit has a closed form for models that average their frames' logits, and this one relates "
                "frames; use probability",
                field="score",
                reason="BAD_PARAMETER",
            )
        return parameters

    @torch.no_grad()
    def start(self, question: Question[EsvParameters]) -> State:
        clips = question.model.prepare([question.clip])
        (features,) = _network(question).frame_features(clips)
        iterations = question.parameters.iterations if _is_sampled(question, features) else 1
        return State(
            0, iterations, arrays={"features": features}, numbers={"score": question.parameters.score, "halved": 0}
        )

    @torch.no_grad()
    def advance(self, question: Question[EsvParameters], state: State, seconds: float) -> State:
        if _is_outdated(question, state):
            state = self.start(question)
        if not _is_sampled(question, state.arrays["features"]):
            return _at_once(question, state)
        return iterate(partial(_iterated, question), state, seconds)

    @torch.no_grad()
    def result(self, question: Question[EsvParameters], state: State) -> Attribution:
        if _is_outdated(question, state):
            state = self.advance(question, state, math.inf)
        features, target = state.arrays["features"], question.target
        _, prior_note = _prior(question)
        found = _found(question, state)
        values = of_target(found.values, target)
        logits = question.logits.double()
        whole = logits.log_softmax(0) if _is_closed(question) else logits.softmax(0)
        measures = {
            "efficiency_gap": float(of_target(found.values.sum(0) - (whole - found.empty), target)),
            "full_score": float(of_target(whole, target)),
            "empty_score": float(of_target(found.empty, target)),
            "supporting": float((values > 0).sum()),
        }
        network = _network(question)
        snippet, element = network.snippet, network.called
        elements = "frames" if snippet == 1 else f"{element}s"
        notes = [prior_note, supporting(values, elements)]
        arrays = {"values_by_class": found.values, "marginals": of_target(found.marginals, target)}
        if snippet > 1:
            verb = "averages its scores of" if element == "window" else "looks at"
            notes.append(
                f"the model {verb} {elements} of {snippet} frames, which share their {element}'s value equally"
            )
            count = len(question.clip)
            bounds = [(first, min(first + snippet, count) - 1) for first in range(0, count, snippet)]
            arrays["elements"] = torch.tensor(bounds).float()
        if _is_closed(question):
            notes.append("exact, on log-probabilities: the values sum to log p(class) - log prior(class)")
        else:
            notes.append("on softmax probabilities: the values sum to p(class) - prior(class)")
            if _is_sampled(question, features):
                spread, bias = RunningStatistics.of(state), _bias(state)
                for name, statistic in (("standard_error", spread.error), ("bias", bias.mean if bias.count else None)):
                    if statistic is not None:
                        measures[name] = float(statistic.abs().max())
                        arrays[name] = statistic
                notes.append(
                    f"sampled: {state.iteration} iterations of {question.parameters.samples} subsequences per scale, "
                    f"{spread.say()}; {_say_bias(question, features, bias)}"
                )
            else:
                notes.append(f"exact: all {2 ** len(features)} subsequences")
        if not _is_average(question) and _relational(question).fewest > 1:
            notes.append("a frame alone is compared with itself: the model relates two frames or more")

        drawn = curves(values, state.arrays["curves"], target, elements) if state.done else ()
        return FrameAttribution(
            _by_frame(values, len(question.clip), snippet).float(),
            "log-probability" if _is_closed(question) else "probability",
            details=Details(drawn, tuple(notes), measures, arrays),
        )


def _network(question: Question[EsvParameters]) -> FrameModel:
    network = frame_model(question.model.module)
    assert network is not None
    return network


def _is_average(question: Question[EsvParameters]) -> bool:
    return isinstance(_network(question).consensus, AverageConsensus)


def _is_closed(question: Question[EsvParameters]) -> bool:
    """Whether the game is that of logits, which has a closed form."""
    return _is_average(question) and question.parameters.score == "logit"


def _is_sampled(question: Question[EsvParameters], features: Tensor) -> bool:
    return not _is_closed(question) and len(features) > question.parameters.exact_up_to


def _is_outdated(question: Question[EsvParameters], state: State) -> bool:
    """Whether a job was begun before averages of frames had a `score`, and so played another game. It starts again."""
    return _is_average(question) and "score" not in state.numbers


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
    consensus, count = _network(question).consensus, len(features)
    if not isinstance(consensus, AverageConsensus):
        by_level = list(relational_levels(_relational(question), features))
        found = shapley(by_level, empty, count)
        sets = different(of_target(found.values, target))[1:]
        scores = [by_level[len(kept) - 1][row_of(kept, count)] for kept in sets]
        arrays = {"marginals": found.marginals, "curves": torch.stack([empty.to(features), *scores])}
    elif _is_closed(question):
        values = average_values(consensus.classifier(features), empty).values
        arrays = {"curves": _scores(question, features, of_target(values, target))}
    else:
        found = shapley(average_levels(consensus.classifier(features)), empty, count)
        scored = _scores(question, features, of_target(found.values, target))
        arrays = {"marginals": found.marginals, "curves": scored}
    return State(1, 1, True, arrays={"features": features, **arrays}, numbers=state.numbers)


def _scores(question: Question[EsvParameters], features: Tensor, values: Tensor) -> Tensor:
    """Probabilities [m, K] of the sets of `different(values)`, each by a run of the consensus."""
    consensus = _network(question).consensus
    seen = [consensus(features[None, list(kept)])[0].softmax(0) for kept in different(values)[1:]]
    return torch.stack([_prior(question)[0].to(features), *seen])


def _iterated(question: Question[EsvParameters], state: State) -> State:
    """One more iteration of Algorithm 1. Its subsequences follow from the seed and its number alone."""
    chosen, (empty, _), features = question.parameters, _prior(question), state.arrays["features"]
    seed = (question.seed * 1_000_003 + state.iteration) % 2**63
    sums = _sampled(question, features, chosen.samples, seed)
    estimate = sums.shapley(empty).values
    spread, bias = RunningStatistics.of(state).with_one(estimate), _bias(state)
    biased = _is_biased(question, features)
    if biased and chosen.samples > 1:
        # Of half as many subsequences the bias is about twice as large: the difference is what one of them has.
        fewer = chosen.samples // 2
        half = _sampled(question, features, fewer, seed ^ _OTHER_SEEDS).shapley(empty).values
        bias = bias.with_one((half - estimate) / (chosen.samples / fewer - 1))
    if state.iteration:
        sums = _sums(state) + sums
    iteration = state.iteration + 1
    certain = spread.within(chosen.tolerance) and (not biased or _largest(bias) < chosen.tolerance)
    done = iteration == state.iterations or certain
    arrays = {"features": features, **vars(sums), **spread.arrays}
    if bias.count:
        arrays |= {"bias.mean": bias.mean, "bias.squares": bias.squares}
    if done:
        values = of_target(sums.shapley(empty).values, question.target)
        arrays["curves"] = _scores(question, features, values)
    uncertain = max(spread.largest, _largest(bias) if bias.count >= _FEWEST else 0) if spread.largest else None
    numbers = {"score": chosen.score, "halved": bias.count}
    return State(iteration, state.iterations, done, uncertain, arrays, numbers)


_OTHER_SEEDS = 1 << 61


def _sampled(question: Question[EsvParameters], features: Tensor, most: int, seed: int) -> Sums:
    consensus = _network(question).consensus
    if isinstance(consensus, AverageConsensus):
        return sample_average(consensus.classifier(features), most, seed)
    return sample(_relational(question), features, most, seed)


def _is_biased(question: Question[EsvParameters], features: Tensor) -> bool:
    """Whether Algorithm 1 estimates the values of subsequences. Of averages of frames it knows them, and where it draws
    all of a scale there is nothing to estimate."""
    count = len(features)
    return not _is_average(question) and math.comb(count, count // 2) > question.parameters.samples


def _bias(state: State) -> RunningStatistics:
    """Estimates of Algorithm 1's bias so far. A job that was begun before there were any has fewer than iterations."""
    nothing, arrays = torch.zeros((), dtype=torch.float64), state.arrays
    return RunningStatistics(
        state.numbers.get("halved", 0), arrays.get("bias.mean", nothing), arrays.get("bias.squares", nothing)
    )


def _largest(bias: RunningStatistics) -> float:
    """Of all values; infinite where too few estimates were made."""
    return float(bias.mean.abs().max()) if bias.count >= _FEWEST else math.inf


def _say_bias(question: Question[EsvParameters], features: Tensor, bias: RunningStatistics) -> str:
    """For people."""
    if not _is_biased(question, features):
        return "no bias"
    if bias.error is None:
        return "of unknown bias, which the standard error does not have in it"
    most, samples = float(bias.mean.abs().max()), question.parameters.samples
    return (
        f"bias at most about {most:.2g} (standard error {float(bias.error.max()):.2g}; from samples of {samples} and "
        f"{samples // 2}), which the standard error does not have in it: more samples lower it, more iterations do not"
    )


def _sums(state: State) -> Sums:
    return Sums(*(state.arrays[name] for name in ("within", "counts", "totals", "drawn")))


def _found(question: Question[EsvParameters], state: State) -> Shapley:
    empty, _ = _prior(question)
    consensus = _network(question).consensus
    if _is_closed(question):  # cheaper to compute again than to carry along
        assert isinstance(consensus, AverageConsensus)
        return average_values(consensus.classifier(state.arrays["features"]), empty)
    if _is_sampled(question, state.arrays["features"]):
        return _sums(state).shapley(empty)
    marginals = state.arrays["marginals"]
    return Shapley(marginals, empty + marginals.mean(0).sum(0), empty)


EXPLAINER = Esv()
