"""TorchServe's entry, called as TorchServe calls it."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from actionlens.v1 import method_pb2
from actionlens.worker.v1 import worker_pb2
from handlers import action_handler
from handlers.errors import INTERNAL, INVALID_ARGUMENT, ModelError
from tests.service.backends import requests
from tests.service.backends.requests import TINY
from tests.waiting import PATIENCE


@pytest.fixture
def handler(model_store: Path) -> action_handler.ActionHandler:
    made = action_handler.ActionHandler()
    made.initialize(SimpleNamespace(system_properties={"model_dir": str(model_store / TINY)}))
    return made


def body(seed: int, **fields: object) -> bytearray:
    return bytearray(requests.message(requests.tiny(seed, **fields)).SerializeToString())


def handle(handler: action_handler.ActionHandler, items: list[dict[str, object]]) -> list[worker_pb2.ComputeResponse]:
    replies = handler.handle(items, None)
    assert all(isinstance(reply, bytes) for reply in replies)  # TorchServe would JSON-encode anything else
    return [worker_pb2.ComputeResponse.FromString(reply) for reply in replies]


def test_the_memory_bound_and_the_precision_come_from_the_environment(model_store: Path) -> None:
    program = """
import sys
from types import SimpleNamespace
from handlers.action_handler import ActionHandler
handler = ActionHandler()
handler.initialize(SimpleNamespace(system_properties={"model_dir": sys.argv[1]}))
model = handler._engine.model
print(model.memory, model.program.precision)
"""
    variables = {"ACTIONLENS_WORKER_RELEVANCE_BYTES": "3145728", "ACTIONLENS_WORKER_PRECISION": "bfloat16"}
    command = [sys.executable, "-c", program, str(model_store / TINY)]
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE, check=True
    )
    assert done.stdout.split() == ["3145728", "bfloat16"]


def test_the_file_defines_one_class_because_torchserve_refuses_more() -> None:
    classes = [entry for _, entry in inspect.getmembers(action_handler, inspect.isclass)]
    assert [entry for entry in classes if entry.__module__ == action_handler.__name__] == [action_handler.ActionHandler]


def test_every_item_gets_its_own_reply_whatever_it_is(handler: action_handler.ActionHandler, model_store: Path) -> None:
    items: list[dict[str, object]] = [
        {"body": body(1)},
        {"body": bytearray(b"\xff\xff\xff")},
        {"data": body(2)},
        {},
        {"body": bytearray()},
        {"body": body(3)},
    ]
    replies = handle(handler, items)
    for index, seed in ((0, 1), (2, 2), (5, 3)):
        expected = requests.expected_logits(model_store, seed)
        np.testing.assert_allclose(requests.logits(replies[index]), expected, atol=1e-5)
    for index in (1, 3, 4):
        assert replies[index].failure.code == INVALID_ARGUMENT
        assert replies[index].failure.message


def test_an_answer_too_long_for_torchserve_fails_alone(
    handler: action_handler.ActionHandler, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = len(handler.handle([{"body": body(1)}], None)[0])
    monkeypatch.setattr(action_handler, "_MAX_REPLY_BYTES", plain + 50)
    method = method_pb2.Method(grad_cam=method_pb2.GradCam())
    long, short = handle(handler, [{"body": body(1, methods=[method])}, {"body": body(1)}])
    assert long.failure.reason == "ANSWER_TOO_LARGE"
    assert "fewer methods or a smaller encoding" in long.failure.message
    assert short.prediction.top


def test_a_broken_engine_fails_every_item_but_not_the_worker(handler: action_handler.ActionHandler) -> None:
    del handler._engine
    replies = handle(handler, [{"body": body(1)}, {"body": body(2)}])
    assert [reply.failure.code for reply in replies] == [INTERNAL, INTERNAL]
    assert "AttributeError" in replies[0].failure.message


def test_a_folder_that_is_no_model_ends_the_worker_with_the_reason(tmp_path: Path) -> None:
    context = SimpleNamespace(system_properties={"model_dir": str(tmp_path)})
    with pytest.raises((ModelError, ValueError), match=r"card\.yaml"):
        action_handler.ActionHandler().initialize(context)
