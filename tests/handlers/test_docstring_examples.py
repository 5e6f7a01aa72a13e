"""The examples in the docstrings of packages run as they are printed, on small networks."""

from __future__ import annotations

import doctest
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor

from handlers import relevance
from handlers.explainers import perturbation, shapley
from handlers.models.blocks.consensus import RelationalConsensus
from handlers.models.family_registry import family
from handlers.support import small_model


def run(package: ModuleType, **names: Any) -> dict[str, Any]:
    """All names after the package's example, which starts with its public names and those given."""
    assert package.__doc__ is not None
    examples = doctest.DocTestParser().get_examples(package.__doc__)
    assert len(examples) > 2
    found = {name: getattr(package, name) for name in package.__all__} | names
    for example in examples:
        exec(compile(example.source, f"{package.__name__}.__doc__", "exec"), found)
    return found


@pytest.fixture(name="clips")
def _clips() -> Tensor:
    return torch.randn(2, 3, 4, 32, 32, generator=torch.Generator().manual_seed(1)).clamp(-2, 2)


def test_the_relevance_example_shares_the_logits_among_pixels_and_frames(clips: Tensor) -> None:
    model = small_model(family("motion-cnn")).module
    found = run(relevance, model=model, clips=clips, low=(-2.0,) * 3, high=(2.0,) * 3)
    assert found["heat"].shape == clips.shape
    assert found["rows"].shape == (*found["forward"].frame_logits.shape[:2], clips.shape[2])
    own = found["forward"].frame_logits.gather(2, found["best"][:, None, None].expand(-1, found["rows"].shape[1], 1))
    torch.testing.assert_close(found["rows"].sum(2), own[..., 0], rtol=1e-3, atol=1e-4)


def test_the_shapley_example_sums_to_the_gain_over_the_prior() -> None:
    torch.manual_seed(0)
    consensus, features, prior = RelationalConsensus(4, 6, 3, 4), torch.randn(5, 4), torch.full((3,), 1 / 3)
    found = run(shapley, consensus=consensus, features=features, prior=prior, a=0, b=1)["found"]
    torch.testing.assert_close(found.values.sum(0), found.whole - found.empty)


def test_the_perturbation_example_keeps_its_share_of_the_clip(clips: Tensor) -> None:
    program = relevance.trace(small_model(family("conv3d")).module, relevance.Rules())
    share = run(perturbation, program=program, clip=clips[0], target=0)["share"]
    assert share.shape == clips.shape[2:]
    assert int(share.sum()) == round(0.05 * share.numel())
