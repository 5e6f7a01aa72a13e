"""Every tensor that the engine makes lies where the clip lies, whatever torch's default device is."""

from __future__ import annotations

import pytest
import torch

from handlers.relevance import (
    AddRule,
    AlphaBeta,
    Gamma,
    Rules,
    guided_backprop,
    guided_grad_cam,
    relevance,
    temporal_relevance,
    trace,
)
from tests.handlers.relevance.networks import FRAMED, Flattened, Net, TwoSpeed, clip, pair

BOX = Rules(low=(-2.0, -2.1, -2.2), high=(2.0, 2.1, 2.2))


@pytest.mark.parametrize("kind", [*FRAMED, Flattened, TwoSpeed])
def test_nothing_is_made_on_the_default_device(kind: type[Net]) -> None:
    net, _ = pair(kind)
    frames = 7 if kind is Flattened else 10
    x = clip(2, frames)
    rules = Rules(add=AddRule.POSITIVE) if kind is TwoSpeed else BOX
    with torch.device("meta"):  # a tensor made there has no values: mixing it with the clip's raises
        program = trace(net, rules)
        forward = program.forward(x)
        found = [relevance(forward, 1, contrast).values for contrast in (None, 0, "negated")]
        found += [relevance(forward, 1, rule=rule).values for rule in (AlphaBeta(), Gamma())]
        found.append(guided_backprop(forward, 1))
        found.append(guided_grad_cam(forward, x.mean(1), 1))
        if not forward.no_frame_logits:
            single = forward.single(1)
            found += [temporal_relevance(p, 1, "negated", "element").values for p in (forward, single)]
            matrix = temporal_relevance(single, 1)
            found += [matrix.values, matrix.lengths]
    assert {values.device.type for values in found} == {"cpu"}
    assert all(bool(values.isfinite().all()) for values in found)
