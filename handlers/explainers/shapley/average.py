"""Element Shapley Values of models that average their frames' logits (TSN), in closed form."""

from __future__ import annotations

import torch
from torch import Tensor

from handlers.explainers.shapley.exact import Shapley


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
