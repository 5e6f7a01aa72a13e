"""The relevance methods through the engine: same forward, batches as singles, sums that theory fixes."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actionlens.card import ModelCard
from handlers.engine.engine import ClipAnswer, ClipRequest, Engine, MethodCall
from handlers.errors import RESOURCE_EXHAUSTED, RequestError
from handlers.explainers.attribution import RelevanceMatrix, SaliencyVolume
from handlers.models.action_model import ActionModel
from handlers.relevance import AlphaBeta, Gamma, Rules, relevance, trace
from handlers.relevance.temporal import temporal_relevance as temporal
from handlers.relevance.temporal.cost_model import CostModel
from tests.handlers import networks

METHODS = [
    MethodCall("dtd"),
    MethodCall("clrp"),
    MethodCall("guided-backprop"),
    MethodCall("guided-grad-cam"),
    MethodCall("atr"),
    MethodCall("atr", {"relevance": "clrp", "rectify": "element"}),
    MethodCall("selective-relevance", {"base": "dtd", "threshold": 1.0}),
]


@pytest.fixture(scope="module")
def engine() -> Engine:
    """A head that is linear on an average, without biases, so that relevance is conserved."""
    card = networks.card(arguments={"channels": [4, 6], "hidden": []})
    return Engine(ActionModel(card, without_biases(card)))


def without_biases(card: ModelCard) -> nn.Module:
    network = networks.module(card).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("bias"):
                parameter.zero_()
    return network


def answers(engine: Engine, *requests: ClipRequest) -> list[ClipAnswer]:
    found = engine.explain(requests)
    assert all(isinstance(answer, ClipAnswer) for answer in found), found
    return [answer for answer in found if isinstance(answer, ClipAnswer)]


def test_a_mixed_batch_is_its_singles(engine: Engine) -> None:
    requests = [
        ClipRequest(networks.clip(1), METHODS, target="right"),
        ClipRequest(networks.clip(2), [MethodCall("grad-cam")]),
        ClipRequest(networks.clip(3), [METHODS[0], METHODS[4], METHODS[0]], target=2, contrast=0),
        ClipRequest(networks.clip(4), METHODS[::-1]),
    ]
    for request, together in zip(requests, answers(engine, *requests), strict=True):
        (alone,) = answers(engine, request)
        for one, other in zip(together.explained, alone.explained, strict=True):
            assert isinstance(one.result, SaliencyVolume | RelevanceMatrix), one
            assert type(one.result) is type(other.result)
            torch.testing.assert_close(one.result.values, other.result.values, rtol=1e-4, atol=1e-6)


def test_relevance_sums_to_the_logit(engine: Engine) -> None:
    (answer,) = answers(engine, ClipRequest(networks.clip(1), [METHODS[0], METHODS[4], METHODS[1]], target=1))
    dtd, atr, clrp = (entry.result for entry in answer.explained)
    assert isinstance(dtd, SaliencyVolume)
    assert isinstance(atr, RelevanceMatrix)
    assert isinstance(clrp, SaliencyVolume)
    assert float(dtd.values.sum()) == pytest.approx(float(answer.logits[1]), rel=1e-3)
    assert dtd.quality.conservation_defect == pytest.approx(0, abs=1e-3)
    assert answer.frame_logits is not None
    torch.testing.assert_close(atr.values.sum(1), answer.frame_logits[:, 1], rtol=1e-3, atol=1e-5)
    assert float(clrp.values.min()) >= 0


def test_a_contrast_is_the_difference_of_two_maps(engine: Engine) -> None:
    both, one, other = (
        answers(engine, ClipRequest(networks.clip(1), [METHODS[0]], target=target, contrast=contrast))[0]
        for target, contrast in ((0, 2), (0, None), (2, None))
    )
    expected = one.explained[0].result.values - other.explained[0].result.values  # type: ignore[union-attr]
    torch.testing.assert_close(both.explained[0].result.values, expected, rtol=1e-3, atol=1e-6)  # type: ignore[union-attr]


def test_guided_gradients_equal_autograd_with_clamped_gradients(engine: Engine) -> None:
    (answer,) = answers(engine, ClipRequest(networks.clip(1), [METHODS[2]], target=1))
    card = networks.card(arguments={"channels": [4, 6], "hidden": []})
    network = networks.module(card).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.ReLU):
            module.register_full_backward_hook(lambda _m, incoming, _o: (incoming[0].clamp(min=0),))
        if getattr(module, "bias", None) is not None:
            module.bias.data.zero_()
    clip = engine.model.prepare([networks.clip(1)]).contiguous().requires_grad_()
    (gradient,) = torch.autograd.grad(network(clip)[0, 1], clip)
    result = answer.explained[0].result
    assert isinstance(result, SaliencyVolume)
    torch.testing.assert_close(result.values, gradient[0].sum(0), rtol=1e-3, atol=1e-7)


def test_atr_refuses_a_head_that_is_not_linear() -> None:
    engine = Engine(networks.model(arguments={"channels": [4, 6], "hidden": [5]}))
    (answer,) = answers(engine, ClipRequest(networks.clip(1), [METHODS[4], METHODS[0]]))
    refused, fine = (entry.result for entry in answer.explained)
    assert isinstance(refused, RequestError)
    assert refused.reason == "METHOD_UNSUPPORTED"
    assert "head is not linear" in refused.message
    assert isinstance(fine, SaliencyVolume)


def test_all_rows_negative_gives_no_length_but_the_reason() -> None:
    model = networks.model(arguments={"channels": [4, 6], "hidden": []})
    network = networks.module(model.card).eval()
    with torch.no_grad():
        network.get_submodule("fc1").weight[0] = -network.get_submodule("fc1").weight[0].abs()
        network.get_submodule("fc1").bias[0] = -1.0
    (answer,) = answers(Engine(type(model)(model.card, network)), ClipRequest(networks.clip(), [METHODS[4]], target=0))
    result = answer.explained[0].result
    assert isinstance(result, RelevanceMatrix)
    assert (result.average_length, result.maximum_length) == (None, None)
    assert "no time step has a positive logit" in result.undefined


def test_clrp_takes_no_second_class(engine: Engine) -> None:
    (answer,) = answers(engine, ClipRequest(networks.clip(), [METHODS[1], METHODS[5]], target=0, contrast=1))
    for entry in answer.explained:
        assert isinstance(entry.result, RequestError)
        assert entry.result.reason == "CONTRAST_UNSUPPORTED"


def bounded(engine: Engine, memory: int) -> Engine:
    """The same model under another memory bound."""
    card = engine.model.card
    return Engine(ActionModel(card, without_biases(card), memory))


def test_little_memory_means_rows_in_turns_and_less_means_refusal_of_this_method_alone(engine: Engine) -> None:
    element = METHODS[5]
    request = ClipRequest(networks.clip(1), [element, METHODS[0]], target=1)
    plenty = answers(engine, request)[0].explained[0].result
    assert isinstance(plenty, RelevanceMatrix)
    chunked, refused = 0, 0
    forward = engine.model.program.forward(engine.model.prepare([networks.clip(1)]))
    for memory in (2**power for power in range(12, 24)):
        (answer,) = answers(bounded(engine, memory), request)
        matrix, heat = (entry.result for entry in answer.explained)
        assert isinstance(heat, SaliencyVolume)
        if isinstance(matrix, RequestError):
            assert (matrix.reason, matrix.code) == ("MEMORY_LIMIT", RESOURCE_EXHAUSTED)
            assert "one row needs" in matrix.message
            refused += 1
        else:
            assert isinstance(matrix, RelevanceMatrix)
            torch.testing.assert_close(matrix.values, plenty.values, rtol=1e-4, atol=1e-6)
            chunked += CostModel(forward).rows_at_once(0, memory) < len(matrix.values)
    assert refused >= 1
    assert chunked >= 1


def test_a_refusal_for_memory_comes_before_anything_is_carried(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    carried: list[object] = []
    monkeypatch.setattr(temporal, "descend", lambda *given, **named: carried.append(given))
    (answer,) = answers(bounded(engine, 2**12), ClipRequest(networks.clip(1), [METHODS[5]]))
    assert isinstance(answer.explained[0].result, RequestError)
    assert carried == []


def test_dtd_takes_other_rules_on_the_same_forward(engine: Engine) -> None:
    calls = [
        MethodCall("dtd"),
        MethodCall("dtd", {"rule": "alpha-beta", "alpha": 1.0, "beta": 0.0}),
        MethodCall("dtd", {"rule": "alpha-beta"}),
        MethodCall("dtd", {"rule": "gamma", "gamma": 0.5}),
        MethodCall("dtd"),
    ]
    (answer,) = answers(engine, ClipRequest(networks.clip(1), calls, target=1))
    maps = [entry.result.values for entry in answer.explained]  # type: ignore[union-attr]
    torch.testing.assert_close(maps[1], maps[0], rtol=1e-4, atol=1e-6)  # alpha 1, beta 0 is z+
    assert torch.equal(maps[4], maps[0])
    for result, rule in ((maps[2], AlphaBeta(2, 1)), (maps[3], Gamma(0.5))):
        bounds = engine.model.program.rules
        program = trace(without_biases(engine.model.card), Rules(convolution=rule, low=bounds.low, high=bounds.high))
        forward = program.forward(engine.model.prepare([networks.clip(1)]))
        torch.testing.assert_close(result, relevance(forward, 1).values[0].sum(0), rtol=1e-3, atol=1e-6)
        assert float((result - maps[0]).abs().max()) > 1e-3 * float(maps[0].abs().max())
    assert answer.explained[3].parameters["gamma"] == 0.5


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"rule": "z"}, "rule"),
        ({"rule": "alpha-beta", "alpha": 0.0}, "alpha"),
        ({"rule": "alpha-beta", "beta": -0.5}, "beta"),
        ({"rule": "gamma", "gamma": float("inf")}, "gamma"),
        ({"rule": "gamma", "alpha": 2.0}, "alpha"),
        ({"gamma": 0.25}, "gamma"),
    ],
)
def test_a_wrong_parameter_of_a_rule_is_named(engine: Engine, given: dict[str, object], field: str) -> None:
    (answer,) = answers(engine, ClipRequest(networks.clip(1), [MethodCall("dtd", given)]))
    result = answer.explained[0].result
    assert isinstance(result, RequestError)
    assert (result.field, result.reason) == (field, "BAD_PARAMETER")
    assert result.message.startswith(f"{field}: ")
