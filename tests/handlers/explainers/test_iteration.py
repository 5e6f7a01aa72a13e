"""The state of an iteration survives its way through bytes, and bytes that are none are refused."""

from __future__ import annotations

import pytest
import torch

from handlers.errors import RequestError
from handlers.explainers import State


def test_a_state_comes_back_as_it_went():
    state = State(
        iteration=3,
        iterations=10,
        objective=0.25,
        arrays={"mask": torch.arange(6.0).reshape(2, 3).T, "seen": torch.tensor([1, 2])},
        numbers={"best": [1, None], "name": "ä"},
    )
    back = State.from_bytes(state.to_bytes())
    assert (back.iteration, back.iterations, back.done, back.objective) == (3, 10, False, 0.25)
    assert back.numbers == {"best": [1, None], "name": "ä"}
    assert torch.equal(back.arrays["mask"], state.arrays["mask"])
    assert torch.equal(back.arrays["seen"], state.arrays["seen"])


@pytest.mark.parametrize("data", [b"x", b"\0" * 64, State(0, 1).to_bytes()[:-3] + b"}}}", State(0, 1).to_bytes()[:20]])
def test_bytes_that_are_no_state_are_refused(data: bytes):
    with pytest.raises(RequestError) as caught:
        State.from_bytes(data)
    assert caught.value.field == "state"
