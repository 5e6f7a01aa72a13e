"""The rules of batch norm and of sums, as the request has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from actionlens.v1 import answer_pb2, explanation_pb2
from actionlens.worker.v1 import worker_pb2
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RequestError
from handlers.models import Family
from handlers.models import family_registry as registry
from handlers.relevance import AddRule, AlphaBeta, Gamma, NormRule, Rules, relevance, temporal_relevance, trace
from handlers.wire.requests import answer
from service.client.method_messages import method_messages
from service.readings.explanation import propagation, read_explanation
from tests.handlers import networks
from tests.handlers.relevance.networks import FRAMED, Net, PreNorm, Residual, clip, pair

BOX: dict[str, Any] = {"low": (-2.0, -2.1, -2.2), "high": (2.0, 2.1, 2.2)}


class Tiny(nn.Module):
    """A residual block whose batch norms have scales of both signs."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv3d(3, 4, 3, padding=1), nn.BatchNorm3d(4)
        self.conv, self.second = nn.Conv3d(4, 4, 3, padding=1), nn.BatchNorm3d(4)
        self.fc = nn.Linear(4, classes)
        for batch_norm in (self.norm, self.second):
            batch_norm.weight.data = torch.tensor([1.0, -0.8, 0.6, -1.2])
            batch_norm.running_mean.data = torch.tensor([0.1, -0.2, 0.0, 0.3])  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.norm(self.stem(x)))
        x = torch.relu(x + self.second(self.conv(x)))
        return self.fc(x.mean((2, 3, 4)))  # type: ignore[no-any-return]


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    every = registry.families() | {"residual": Family(name="residual", summary="", build=Tiny, layer="conv")}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "families", lambda: every)
        yield Engine(networks.model(architecture="residual", arguments={}, layer="conv"))


def same(one: Tensor, other: Tensor) -> bool:
    return torch.allclose(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", [*FRAMED, Residual])
@pytest.mark.parametrize("rule", [None, AlphaBeta(2, 1), Gamma(0.3)])
def test_rules_of_a_request_are_those_of_a_model_traced_with_them(kind: type[Net], rule: Any) -> None:
    net, _ = pair(kind, seed=2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data[::2] *= -1
    x = clip()
    plain = trace(net, Rules(**BOX)).forward(x)
    traced: dict[str, Any] = {} if rule is None else {"convolution": rule}
    for norm in NormRule:
        for add in AddRule:
            expected = trace(net, Rules(norm=norm, add=add, **traced, **BOX)).forward(x)
            found = relevance(plain, 1, rule=rule, norm=norm, add=add)
            assert same(found.values, relevance(expected, 1).values), (norm, add)
            if rule is None:
                for contrast, rectify in ((None, None), (0, None), ("negated", "element")):
                    one = temporal_relevance(plain, 1, contrast, rectify, norm=norm, add=add)  # type: ignore[arg-type]
                    other = temporal_relevance(expected, 1, contrast, rectify)  # type: ignore[arg-type]
                    assert torch.allclose(one.values, other.values, rtol=1e-7, atol=1e-10), (norm, add, contrast)


@pytest.mark.parametrize("norm", list(NormRule))
@pytest.mark.parametrize("kind", [*FRAMED, Residual])
def test_layers_that_somebody_reads_do_not_change_what_folding_means(kind: type[Net], norm: NormRule) -> None:
    """Another method, or another request of the batch, may keep the value between a convolution and its batch norm."""
    net, _ = pair(kind, seed=2)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.weight.data[::2] *= -1
    program, x = trace(net, Rules(**BOX)), clip()
    convolutions = [
        name for name, part in net.named_modules() if isinstance(part, nn.Conv3d) and name in program.layers
    ]
    alone, kept = program.forward(x), program.forward(x, convolutions)
    assert same(relevance(kept, 1, norm=norm).values, relevance(alone, 1, norm=norm).values)
    traced = trace(net, Rules(norm=norm, **BOX))
    assert same(relevance(traced.forward(x, convolutions), 1).values, relevance(traced.forward(x), 1).values)


def test_batch_norm_in_front_of_a_convolution_passes_what_its_product_carries() -> None:
    net, _ = pair(PreNorm, seed=1)
    forward = trace(net).forward(clip())
    identity, fold = (relevance(forward, 1, norm=norm).values for norm in NormRule)
    assert float((identity - fold).abs().max()) > 1e-6 * float(identity.abs().max())


@pytest.mark.parametrize("name", ["dtd", "clrp", "atr"])
@pytest.mark.parametrize("given", [{"norm": "fold"}, {"add": "positive"}, {"norm": "fold", "add": "positive"}])
def test_the_options_reach_the_method_and_change_its_values(engine: Engine, name: str, given: dict[str, str]) -> None:
    calls = [MethodCall(name), MethodCall(name, given), MethodCall("grad-cam")]
    (found,) = engine.explain([ClipRequest(networks.clip(1), calls, target=1)])
    assert isinstance(found, ClipAnswer)
    plain, chosen, _ = (entry.result.values for entry in found.explained)  # type: ignore[union-attr]
    used = found.explained[1].parameters
    assert {key: used[key] for key in given} == given
    assert float((plain - chosen).abs().max()) > 1e-3 * float(plain.abs().max())
    norm = NormRule(given.get("norm", "identity"))
    add = AddRule(given.get("add", "proportional"))
    forward = engine.model.program.forward(engine.model.prepare([networks.clip(1)]))
    expected = {
        "dtd": lambda: relevance(forward, 1, norm=norm, add=add).values[0].sum(0),
        "clrp": lambda: relevance(forward, 1, "negated", norm=norm, add=add).values[0].clamp(min=0).sum(0),
        "atr": lambda: temporal_relevance(forward, 1, norm=norm, add=add).values[0],
    }[name]()
    torch.testing.assert_close(chosen, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_an_option_that_does_not_exist_is_named(engine: Engine) -> None:
    (found,) = engine.explain([ClipRequest(networks.clip(1), [MethodCall("atr", {"norm": "sideways"})])])
    assert isinstance(found, ClipAnswer)
    refused = found.explained[0].result
    assert isinstance(refused, RequestError)
    assert (refused.field, refused.reason) == ("norm", "BAD_PARAMETER")


def explained(engine: Engine, *methods: str) -> list[explanation_pb2.Explanation]:
    pixels = networks.clip(1)
    frames, height, width, _ = pixels.shape
    compute = worker_pb2.Compute(
        clip=pixels.tobytes(), frames=frames, height=height, width=width, methods=method_messages(list(methods))
    )
    (reply,) = answer(engine, [worker_pb2.ComputeRequest(compute=compute)])
    assert not any(entry.HasField("failure") for entry in reply.explanations), reply.explanations
    return list(reply.explanations)


@pytest.mark.parametrize(
    ("method", "rule"),
    [
        ("dtd", "LRP"),
        ("dtd:norm=fold,add=positive", "LRP"),
        ("clrp", "CLRP"),
        ("clrp:rectify=false", "CLRP, not rectified"),
        ("atr", "LRP"),
        ("atr:relevance=clrp", "CLRP"),
        ("atr:relevance=clrp,rectify=frame", "CLRP, frame sums rectified"),
        ("atr:relevance=clrp,rectify=none", "CLRP, not rectified"),
        ("atr:rectify=element", "LRP, rectified"),
        ("selective-relevance", "LRP"),
        ("selective-relevance:base=clrp", "CLRP"),
        ("selective-relevance:base=grad-cam", ""),
        ("grad-cam", ""),
    ],
)
def test_readings_say_lrp_or_clrp(engine: Engine, method: str, rule: str) -> None:
    (found,) = explained(engine, method)
    assert propagation(found) == rule
    line = read_explanation(found, answer_pb2.FrameReport(used=range(6)))
    assert line.startswith(f"{rule}: ") if rule else "LRP" not in line
