"""What a worker is asked at its start."""

from __future__ import annotations

from actionlens.v1 import model_pb2
from handlers.engine.engine import Engine
from handlers.wire.requests import answer
from service.backends.canary import description, explanation_canaries
from tests.handlers import networks


def _described() -> tuple[Engine, model_pb2.Model]:
    engine = Engine(networks.model())
    (response,) = answer(engine, [description().request], [None], [None])
    return engine, response.model


def test_every_live_method_that_can_explain_the_model_is_asked_for_once() -> None:
    engine, model = _described()
    works = explanation_canaries(model)
    replies = [answer(engine, [work.request], [work.pixels], [work.wanted])[0] for work in works]
    assert all(len(reply.explanations) == 1 for reply in replies)
    assert not [reply for reply in replies if reply.explanations[0].HasField("failure")]
    given = [reply.explanations[0].method for reply in replies]
    assert sorted(given) == sorted(entry.method for entry in model.methods if entry.supported and not entry.job)
    assert "dtd" in given


def test_a_model_without_live_methods_is_asked_for_none() -> None:
    _, model = _described()
    for entry in model.methods:
        entry.supported = entry.supported and entry.job
    assert explanation_canaries(model) == []
