"""Layer norm, GELU and attention: relevance takes what the clip sets beside the evidence for constants."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from handlers.models import family
from handlers.relevance import Gamma, Rules, UnsupportedOperation, relevance, trace
from handlers.relevance.operations import attention as held
from tests.handlers.models.architectures import checks

SMALL = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
PATCHES = {"image_size": 16, "num_frames": 4, "intermediate_size": 40}
NETWORKS = {
    "videomae": {**SMALL, **PATCHES, "patch_size": 8},
    "vivit": {**SMALL, **PATCHES, "tubelet_size": [2, 8, 8]},
    "timesformer": {**SMALL, **PATCHES, "patch_size": 8},
    "vjepa2": {**SMALL, "crop_size": 16, "patch_size": 8, "frames_per_clip": 4, "num_pooler_layers": 1},
}


@pytest.fixture(params=NETWORKS)
def network(request: pytest.FixtureRequest) -> nn.Module:
    """A transformer without constants that are added: biases, positions, class token and question are 0."""
    made = family(request.param).build(classes=3, **NETWORKS[request.param])
    torch.manual_seed(1)
    for name, tensor in made.named_parameters():
        constant = name.endswith("bias") or "embeddings.cls" in name or "_embeddings" in name.split(".")[-1]
        tensor.data.normal_(0, 0.0 if constant or "query_tokens" in name else 0.3)
    for part in made.modules():
        if hasattr(part, "positions"):
            part.positions.zero_()
    return made.double().eval()


def freeze(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let autograd see deviations, gates and probabilities as constants."""

    def norm(self: nn.LayerNorm, x: Tensor) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return centred / (x.var(-1, correction=0, keepdim=True) + self.eps).sqrt().detach() * self.weight + self.bias

    def gelu(self: nn.GELU, x: Tensor) -> Tensor:
        return x * (F.gelu(x, approximate=self.approximate) / x).detach()

    def attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return (query @ key.mT / query.shape[-1] ** 0.5).softmax(-1).detach() @ value

    monkeypatch.setattr(nn.LayerNorm, "forward", norm)
    monkeypatch.setattr(nn.GELU, "forward", gelu)
    monkeypatch.setattr(F, "scaled_dot_product_attention", attend)


def test_exact_on_linear_parts(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the plain rule of linear layers (gamma 0) relevance is x times the gradient of the frozen network."""
    x = checks.clip(4, 16, 2)
    forward = trace(network, Rules()).forward(x)
    found = relevance(forward, 1, rule=Gamma(0.0))
    freeze(monkeypatch)
    leaf = x.clone().requires_grad_()
    logits = network(leaf)
    torch.testing.assert_close(logits, forward.logits, rtol=1e-9, atol=1e-12)
    (slope,) = torch.autograd.grad(logits[:, 1].sum(), leaf)
    torch.testing.assert_close(found.values, x * slope, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(found.values.flatten(1).sum(1), forward.logits[:, 1], rtol=1e-7, atol=1e-9)


def test_z_plus_conserves_what_no_constant_adds(network: nn.Module) -> None:
    forward = checks.bounded(network).forward(checks.clip(4, 16, 2))
    assert float(relevance(forward, 1).defect.abs().max()) < 1e-7


def test_attention_head_by_head_is_the_same(network: nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    x = checks.clip(4, 16, 2)
    program, weights = checks.bounded(network), torch.randn(2, 3, dtype=torch.float64)

    def both() -> tuple[Tensor, Tensor]:
        forward = program.forward(x)
        return relevance(forward, 1).values, forward.gradient("", weights)

    expected = both()
    monkeypatch.setattr(held, "_AT_ONCE", 1)
    for found, whole in zip(both(), expected, strict=True):
        torch.testing.assert_close(found, whole, rtol=1e-9, atol=1e-12)


class Odd(nn.Module):
    """Attention as each case calls it."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        tokens = x.flatten(3)
        return F.scaled_dot_product_attention(tokens, tokens, tokens, **self.options).mean((2, 3))


def test_attention_with_a_mask_is_refused() -> None:
    with pytest.raises(UnsupportedOperation, match="attention with a mask, another scale"):
        trace(Odd(is_causal=True).eval())
    with pytest.raises(UnsupportedOperation, match="layer norm over several axes"):
        trace(nn.Sequential(nn.LayerNorm((4, 4)), nn.Flatten()).eval())
