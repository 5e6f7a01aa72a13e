"""Each rule against its formula, written out with the dense matrix of a small operator."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from handlers.relevance import AlphaBeta, Gamma, Rules, ZPlus
from handlers.relevance.messages import Message
from handlers.relevance.operations.average_pool import AdaptiveAveragePool, AveragePool, Mean
from handlers.relevance.operations.base import Operation, Site
from handlers.relevance.operations.max_pool import MaxPool
from handlers.relevance.operations.pointwise import Add, Factor, Norm, Relu
from handlers.relevance.operations.reshaping import Concatenate, Pad, Permute, Slice
from handlers.relevance.operations.weighted import Weighted
from handlers.relevance.propagation.propagate import amount
from handlers.relevance.rules import AddRule, ConvolutionRule, NormRule
from handlers.relevance.tracing.table import convolution, linear

SHAPE = (1, 4, 5, 4, 4)
CASES = {
    "plain": nn.Conv3d(4, 3, 3, padding=1),
    "strided": nn.Conv3d(4, 3, 3, (2, 2, 1), (1, 0, 1)),
    "grouped": nn.Conv3d(4, 6, (2, 3, 3), padding=(0, 1, 1), groups=2),
    "depthwise": nn.Conv3d(4, 4, (3, 1, 1), padding=(1, 0, 0), groups=4),
    "dilated": nn.Conv3d(4, 2, 2, dilation=(2, 3, 1), padding=1),
    "pointwise": nn.Conv3d(4, 5, 1, (1, 2, 2)),
}


def numbers(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def matrix(module: nn.Module, shape: tuple[int, ...]) -> Tensor:
    """[outputs, inputs] of a linear module, bias left out, column by column."""
    size = torch.Size(shape).numel()
    basis = torch.eye(size, dtype=torch.float64).reshape(size, *shape[1:])
    zero = module(torch.zeros(shape, dtype=torch.float64))
    return (module(basis) - zero).detach().flatten(1).T


def answered(
    operation: Operation, inputs: list[Tensor], message: Message, output: Tensor | None = None
) -> list[Tensor]:
    saved: dict[str, Tensor] = {}
    result = operation.forward(inputs, saved)
    site = Site(tuple(inputs), result if output is None else output, saved, inputs[0].shape)
    parts = operation.relevance(message, site)
    return [amount(part, x) for part, x in zip(parts, inputs, strict=True) if part is not None]


def by_formula(rule: ConvolutionRule, w: Tensor, x: Tensor, out: Tensor, r: Tensor) -> Tensor:
    """R_i for W [O, I], x [I], outputs with bias, R [O]."""
    products = w * x
    up, down = products.clamp(min=0), products.clamp(max=0)

    def share(p: Tensor, start: Tensor) -> Tensor:
        z = p.sum(1)
        return (p * torch.where(z == 0, 0.0, start / torch.where(z == 0, 1.0, z))[:, None]).sum(0)

    match rule:
        case ZPlus():
            return share(up, r)
        case AlphaBeta(alpha, beta):
            return alpha * share(up, r) - beta * share(down, r)
        case Gamma(gamma):
            return share(products + gamma * up, r * (out > 0)) + share(products + gamma * down, r * (out < 0))
    raise AssertionError(rule)


@pytest.mark.parametrize("rule", [ZPlus(), AlphaBeta(2, 1), Gamma(0.3)], ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("name", [*CASES, "linear"])
@pytest.mark.parametrize("signed", [True, False])
def test_weighted_layers(name: str, rule: ConvolutionRule, signed: bool) -> None:
    torch.manual_seed(1)
    shape = (1, 7) if name == "linear" else SHAPE
    module = (nn.Linear(7, 5) if name == "linear" else CASES[name]).double()
    x = numbers(shape) if signed else numbers(shape).clamp(min=0)
    rules = Rules(convolution=rule)
    if isinstance(module, nn.Linear):
        layer: Weighted = linear(module.weight, module.bias, rules)
    else:
        layer = convolution(
            module.weight, module.bias, module.stride, module.padding, module.dilation, module.groups, rules
        )
    layer.not_negative = not signed
    out = module(x).detach()
    w = matrix(module, shape)
    slope, given = numbers(out.shape, 2), numbers(out.shape, 3)
    for message, start in (
        (Message(slope), slope * out),
        (Message(None, given), given),
        (Message(slope, given), slope * out + given),
    ):
        found = answered(layer, [x], message)[0]
        expected = by_formula(rule, w, x.flatten(), out.flatten(), start.flatten())
        assert torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_box_rule_at_the_clip(name: str) -> None:
    module = CASES[name].double()
    low, high = (-1.0, -2.0, -1.5, -3.0), (1.0, 2.0, 2.5, 0.5)
    low_map, high_map = (torch.tensor(b, dtype=torch.float64).view(1, 4, 1, 1, 1).expand(SHAPE) for b in (low, high))
    x = low_map + torch.rand(SHAPE, dtype=torch.float64) * (high_map - low_map)
    layer = convolution(
        module.weight,
        module.bias,
        module.stride,
        module.padding,
        module.dilation,
        module.groups,
        Rules(low=low, high=high),
    )
    layer.reads_clip = True
    out = module(x).detach()
    w = matrix(module, SHAPE)
    numerators = w * x.flatten() - w.clamp(min=0) * low_map.flatten() - w.clamp(max=0) * high_map.flatten()
    start = numbers(out.shape, 2)
    expected = (numerators / numerators.sum(1, keepdim=True) * start.flatten()[:, None]).sum(0)
    found = answered(layer, [x], Message(None, start))[0]
    assert torch.allclose(found.flatten(), expected, rtol=1e-9, atol=1e-11)
    assert torch.allclose(found.sum(), start.sum())


def test_contrast_starts_both_ways_from_the_same_logit() -> None:
    w, x = numbers((3, 6), 1), numbers((1, 6), 2)
    layer = linear(w, None, Rules())
    out = x @ w.T
    slope = torch.tensor([[0.0, 1.0, 0.0]], dtype=torch.float64)
    site = Site((x,), out, {}, x.shape)
    found = amount(layer.contrast(Message(slope), site)[0], x)  # type: ignore[arg-type]
    start = (slope * out).flatten()
    expected = by_formula(ZPlus(), w, x[0], out[0], start) - by_formula(ZPlus(), -w, x[0], out[0], start)
    assert torch.allclose(found[0], expected)
    assert abs(float(found.sum())) < 1e-12


def test_dead_unit_loses_its_relevance_and_nothing_else() -> None:
    w = torch.tensor([[-1.0, -2.0], [1.0, 3.0]], dtype=torch.float64)
    layer = linear(w, torch.tensor([5.0, 0.0], dtype=torch.float64), Rules())
    layer.not_negative = True
    x = torch.tensor([[0.5, 0.25]], dtype=torch.float64)
    found = answered(layer, [x], Message(torch.ones((1, 2), dtype=torch.float64)))[0]
    assert torch.allclose(found, torch.tensor([[0.5, 0.75]], dtype=torch.float64))


@pytest.mark.parametrize(
    "operation",
    [
        AveragePool((2, 2, 2), (1, 2, 2), (1, 1, 1), False, True, None),
        AveragePool((1, 3, 3), (1, 2, 2), (0, 1, 1), True, False, None),
        AdaptiveAveragePool((2, 2, 3)),
        AdaptiveAveragePool((1, 1, 1)),
        Mean((2, 4), False),
        Mean((3,), True),
    ],
    ids=lambda o: f"{o.kind}",
)
def test_averages_share_in_proportion(operation: Operation) -> None:
    x = numbers(SHAPE)
    out = operation.forward([x], None)
    w = matrix(_Module(operation), SHAPE)
    start = numbers(out.shape, 4)
    products = w * x.flatten()
    expected = (products / products.sum(1, keepdim=True) * start.flatten()[:, None]).sum(0)
    for message in (Message(start / out), Message(None, start)):
        assert torch.allclose(answered(operation, [x], message)[0].flatten(), expected, rtol=1e-9, atol=1e-11)


class _Module(nn.Module):
    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation

    def forward(self, x: Tensor) -> Tensor:
        return self.operation.forward([x], None)


@pytest.mark.parametrize("ceil", [True, False])
@pytest.mark.parametrize(
    ("size", "stride", "padding", "dilation"),
    [
        ((2, 2, 2), (2, 2, 2), (0, 0, 0), (1, 1, 1)),
        ((1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1)),
        ((3, 2, 2), (1, 1, 2), (1, 0, 1), (1, 2, 1)),
    ],
)
def test_max_pool_gives_all_to_the_first_winner(
    size: tuple[int, ...], stride: tuple[int, ...], padding: tuple[int, ...], dilation: tuple[int, ...], ceil: bool
) -> None:
    operation = MaxPool(size, stride, padding, dilation, ceil)
    x = numbers(SHAPE).round()  # many ties
    out, index = nn.functional.max_pool3d(x, size, stride, padding, dilation, ceil, return_indices=True)
    start = numbers(out.shape, 5)
    expected = torch.zeros((1, 4, 80), dtype=torch.float64).scatter_add_(2, index.flatten(2), start.flatten(2))
    found = answered(operation, [x], Message(None, start))[0]
    assert torch.allclose(found.flatten(2), expected)
    first = x.flatten(2).gather(2, index.flatten(2))
    assert torch.equal(first, out.flatten(2))


def test_add_shares_by_value_or_by_positive_part() -> None:
    u, v = numbers(SHAPE, 1), numbers(SHAPE, 2).clamp(min=0)
    start = numbers(SHAPE, 3)
    for relu in (False, True):
        total = u + v
        out = total.relu() if relu else total
        given = start * out
        alive = out != 0
        a, b = answered(Add(AddRule.PROPORTIONAL, relu), [u, v], Message(start))
        assert torch.allclose(a, torch.where(alive, u / total * given, 0.0))
        assert torch.allclose(b, torch.where(alive, v / total * given, 0.0))
        c, d = answered(Add(AddRule.PROPORTIONAL, relu), [u, v], Message(None, given))
        assert torch.allclose(c, a)
        assert torch.allclose(d, b)
        positive = u.clamp(min=0) + v
        e, f = answered(Add(AddRule.POSITIVE, relu), [u, v], Message(start))
        share = torch.where(positive > 0, given / torch.where(positive > 0, positive, 1.0), 0.0)
        assert torch.allclose(e, u.clamp(min=0) * share)
        assert torch.allclose(f, v * share)


def test_moves_and_pointwise_rules_conserve() -> None:
    x, y = numbers(SHAPE, 1), numbers(SHAPE, 2)
    cases: list[tuple[Operation, list[Tensor]]] = [
        (Concatenate(1), [x, y]),
        (Concatenate(2), [x, y]),
        (Permute((0, 2, 1, 3, 4)), [x]),
        (Slice((slice(None), slice(1, 3), slice(None, None, 2))), [x]),
        (Factor(-2.5), [x]),
        (Norm(numbers((4,), 5), numbers((4,), 6)), [x]),
    ]
    for operation, inputs in cases:
        out = operation.forward(inputs, {})
        for message in (Message(numbers(out.shape, 7)), Message(None, numbers(out.shape, 7) * out)):
            parts = answered(operation, inputs, message)
            assert torch.allclose(sum(part.sum() for part in parts), (numbers(out.shape, 7) * out).sum())
    padded = Pad((1, 1, 0, 1, 2, 0))
    start = numbers(padded.forward([x], None).shape, 8)
    assert torch.equal(answered(padded, [x], Message(None, start))[0], start[:, :, 2:, :4, 1:5])
    relu = Relu()
    assert torch.equal(answered(relu, [x], Message(y))[0], y * x.clamp(min=0))
    assert torch.equal(answered(relu, [x], Message(None, y))[0], y)


def test_folding_equals_the_identity_rule_where_gamma_is_positive() -> None:
    module = CASES["plain"].double()
    shift = numbers((3,), 9)
    for sign in (1.0, -1.0):
        scale = sign * torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
        found = []
        for norm in (NormRule.IDENTITY, NormRule.FOLD):
            layer = convolution(module.weight, module.bias, 1, 1, 1, 1, Rules(norm=norm)).with_norm(scale, shift)
            found.append(answered(layer, [numbers(SHAPE)], Message(numbers((1, 3, 5, 4, 4), 3)))[0])
        assert torch.allclose(found[0], found[1]) == (sign > 0)
