"""Admission: places, waiting room, deadlines, fairness."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.backends.admission import Admission
from service.errors import DeadlineExceeded, ResourceExhausted, Unavailable
from tests.waiting import settled


def soon(seconds: float) -> float:
    """A time of the loop's clock."""
    return asyncio.get_running_loop().time() + seconds


async def test_places_then_room_then_refusal() -> None:
    gate = Admission("m", places=2, room=1)
    await gate.enter(soon(60))
    await gate.enter(soon(60))
    third = asyncio.create_task(gate.enter(soon(60)))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match="2 clips in work and 1 waiting"):
        await gate.enter(soon(60))
    assert (gate.busy, gate.waiting) == (2, 1)
    gate.leave(0.1)
    await third
    assert (gate.busy, gate.waiting) == (2, 0)


async def test_first_come_first_served() -> None:
    gate = Admission("m", places=1, room=5)
    await gate.enter(soon(60))
    order: list[int] = []

    async def caller(number: int) -> None:
        await gate.enter(soon(60))
        order.append(number)
        gate.leave(0.0)

    callers = [asyncio.create_task(caller(number)) for number in range(5)]
    await asyncio.sleep(0)
    gate.leave(0.0)
    await asyncio.gather(*callers)
    assert order == list(range(5))
    assert gate.busy == 0


async def test_a_deadline_ends_the_wait_and_frees_the_room() -> None:
    gate = Admission("m", places=1, room=1)
    await gate.enter(soon(60))
    with pytest.raises(DeadlineExceeded):
        await gate.enter(soon(0.02))
    assert gate.waiting == 0
    with pytest.raises(DeadlineExceeded):
        await gate.enter(soon(-1))
    gate.leave(0.0)
    assert gate.busy == 0


async def test_a_past_deadline_gets_no_place_even_when_one_is_free() -> None:
    gate = Admission("m", places=1, room=1)
    with pytest.raises(DeadlineExceeded):
        await gate.enter(soon(-0.001))
    assert gate.busy == 0


async def test_closing_refuses_those_who_wait_and_those_who_come() -> None:
    gate = Admission("m", places=1, room=3)
    await gate.enter(soon(60))
    waiting = [asyncio.create_task(gate.enter(soon(60))) for _ in range(3)]
    await asyncio.sleep(0)
    gate.close()
    assert all(isinstance(end, Unavailable) for end in await asyncio.gather(*waiting, return_exceptions=True))
    with pytest.raises(Unavailable):
        await gate.enter(soon(60))
    gate.leave(0.0)
    assert gate.busy == 0


async def test_callers_are_told_to_wait_for_as_long_as_the_line_lasts() -> None:
    gate = Admission("m", places=1, room=0)
    for _ in range(60):
        await gate.enter(soon(60))
        gate.leave(2.0)
    await gate.enter(soon(60))
    with pytest.raises(ResourceExhausted) as caught:
        await gate.enter(soon(60))
    assert caught.value.retry_after == pytest.approx(2.0, rel=0.01)


@settings(max_examples=60)
@given(
    places=st.integers(1, 3),
    room=st.integers(0, 3),
    events=st.lists(st.sampled_from(["come", "leave", "cancel", "expire", "step"]), max_size=40),
)
def test_no_order_of_events_loses_or_invents_a_place(places: int, room: int, events: list[str]) -> None:
    async def scenario() -> None:
        now = 0.0
        # Only steps take time: on a clock of its own a deadline could pass between two looks at the gate.
        asyncio.get_running_loop().time = lambda: now  # type: ignore[method-assign]
        gate = Admission("m", places, room)
        callers: list[asyncio.Task[None]] = []
        inside = 0

        async def settle() -> int:
            await settled()
            entered = sum(1 for task in callers if task.done() and not task.cancelled() and task.exception() is None)
            callers[:] = [task for task in callers if not task.done()]
            return entered

        for event in events:
            if event == "come":
                callers.append(asyncio.create_task(gate.enter(soon(1e6))))
            elif event == "expire":
                callers.append(asyncio.create_task(gate.enter(soon(0.5))))
            elif event == "leave" and inside:
                gate.leave(0.0)
                inside -= 1
            elif event == "cancel" and callers:
                callers[0].cancel()  # without a pause, so that it may cross with a place handed over
            elif event == "step":
                inside += await settle()
                now += 1.0
                inside += await settle()
                assert gate.busy == inside <= places
                assert gate.waiting == len(callers) <= room
        inside += await settle()
        for _ in range(inside):
            gate.leave(0.0)
        while callers:
            entered = await settle()
            for _ in range(entered):
                gate.leave(0.0)
        assert (gate.busy, gate.waiting) == (0, 0)

    asyncio.run(scenario())
