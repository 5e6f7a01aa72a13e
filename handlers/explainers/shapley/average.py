"""Element Shapley Values of models that average their frames' logits (TSN): by enumeration as of any other model, and
of their logits in closed form."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from handlers.explainers.shapley.exact import Shapley
from handlers.explainers.shapley.sampled import drawn, members
from handlers.explainers.shapley.subsets import levels
from handlers.explainers.shapley.sums import Sums, sums_of


def average_levels(frame_logits: Tensor) -> Iterator[Tensor]:
    """softmax(mean logits) [C(n, s), K] of every subsequence of the clip, level by level: the game of Play Fair's TSN.

    frame_logits: [n, K], n <= 16.
    """
    for size, level in enumerate(levels(len(frame_logits)), start=1):
        yield (level.contains.T.to(frame_logits) @ frame_logits / size).softmax(1)


def sample_average(frame_logits: Tensor, most: int, seed: int) -> Sums:
    """The same of at most `most` subsequences of every scale, drawn as `sample` draws them, with nothing estimated in
    their values. frame_logits: [n, K], n <= 64."""
    chosen = [members(now, len(frame_logits)) for _, now in drawn(len(frame_logits), most, seed)]
    has = torch.cat(chosen)
    own = has.to(frame_logits)
    return sums_of(has, (own @ frame_logits / own.sum(1, keepdim=True)).softmax(1))


def average_values(frame_logits: Tensor, prior: Tensor) -> Shapley:
    """Exact values on log-probabilities, for any number of frames.

    frame_logits: [n, K], whose mean is the model's output. prior: [K], f of no frames; as a logit it is log(prior) on
    the scale of the clip's own softmax, so the values of a class sum to log p(class) - log prior(class).
    phi_i = [(l_i - b) + (H_n - 1) (l_i - mean of the others)] / n: a frame gains (l_i - mean of s others) / (s + 1)
    when it joins s others, l_i - b when it joins none.
    """
    logits = frame_logits.double()
    count = len(logits)
    whole = logits.mean(0).log_softmax(0)
    own = logits - logits.mean(0).logsumexp(0)
    empty = prior.double().clamp(min=1e-9).log()
    marginals = torch.zeros(count, *logits.shape, dtype=torch.float64)
    marginals[0] = own - empty
    if count > 1:
        others = (own.sum(0) - own) / (count - 1)
        scales = torch.arange(2, count + 1, dtype=torch.float64)
        marginals[1:] = (own - others) / scales[:, None, None]
    return Shapley(marginals, whole, empty)
