"""Admission: slots, waiting room, deadlines, fairness."""

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


async def test_slots_then_room_then_refusal() -> None:
    admission = Admission("m", slots=2, room=1)
    await admission.enter(soon(60))
    await admission.enter(soon(60))
    third = asyncio.create_task(admission.enter(soon(60)))
    await asyncio.sleep(0)
    with pytest.raises(ResourceExhausted, match="2 clips in work and 1 waiting"):
        await admission.enter(soon(60))
    assert (admission.busy, admission.waiting) == (2, 1)
    admission.leave(0.1)
    await third
    assert (admission.busy, admission.waiting) == (2, 0)


async def test_first_come_first_served() -> None:
    admission = Admission("m", slots=1, room=5)
    await admission.enter(soon(60))
    order: list[int] = []

    async def caller(number: int) -> None:
        await admission.enter(soon(60))
        order.append(number)
        admission.leave(0.0)

    callers = [asyncio.create_task(caller(number)) for number in range(5)]
    await asyncio.sleep(0)
    admission.leave(0.0)
    await asyncio.gather(*callers)
    assert order == list(range(5))
    assert admission.busy == 0


async def test_a_deadline_ends_the_wait_and_frees_the_room() -> None:
    admission = Admission("m", slots=1, room=1)
    await admission.enter(soon(60))
    with pytest.raises(DeadlineExceeded):
        await admission.enter(soon(0.02))
    assert admission.waiting == 0
    with pytest.raises(DeadlineExceeded):
        await admission.enter(soon(-1))
    admission.leave(0.0)
    assert admission.busy == 0


async def test_a_past_deadline_gets_no_slot_even_when_one_is_free() -> None:
    admission = Admission("m", slots=1, room=1)
    with pytest.raises(DeadlineExceeded):
        await admission.enter(soon(-0.001))
    assert admission.busy == 0


async def test_closing_refuses_those_who_wait_and_those_who_come() -> None:
    admission = Admission("m", slots=1, room=3)
    await admission.enter(soon(60))
    waiting = [asyncio.create_task(admission.enter(soon(60))) for _ in range(3)]
    await asyncio.sleep(0)
    admission.close()
    assert all(isinstance(end, Unavailable) for end in await asyncio.gather(*waiting, return_exceptions=True))
    with pytest.raises(Unavailable):
        await admission.enter(soon(60))
    admission.leave(0.0)
    assert admission.busy == 0


async def test_refused_callers_are_to_wait_for_as_long_as_the_line_lasts() -> None:
    admission = Admission("m", slots=1, room=0)
    for _ in range(60):
        await admission.enter(soon(60))
        admission.leave(2.0)
    await admission.enter(soon(60))
    with pytest.raises(ResourceExhausted) as caught:
        await admission.enter(soon(60))
    assert caught.value.retry_after == pytest.approx(2.0, rel=0.01)


@settings(max_examples=60)
@given(
    slots=st.integers(1, 3),
    room=st.integers(0, 3),
    events=st.lists(st.sampled_from(["come", "leave", "cancel", "expire", "step"]), max_size=40),
)
def test_no_order_of_events_loses_or_invents_a_slot(slots: int, room: int, events: list[str]) -> None:
    async def scenario() -> None:
        now = 0.0
        # Only steps take time: on a clock of its own a deadline could pass between two looks at the admission.
        asyncio.get_running_loop().time = lambda: now  # type: ignore[method-assign]
        admission = Admission("m", slots, room)
        callers: list[asyncio.Task[None]] = []
        inside = 0

        async def settle() -> int:
            await settled()
            entered = sum(1 for task in callers if task.done() and not task.cancelled() and task.exception() is None)
            callers[:] = [task for task in callers if not task.done()]
            return entered

        for event in events:
            if event == "come":
                callers.append(asyncio.create_task(admission.enter(soon(1e6))))
            elif event == "expire":
                callers.append(asyncio.create_task(admission.enter(soon(0.5))))
            elif event == "leave" and inside:
                admission.leave(0.0)
                inside -= 1
            elif event == "cancel" and callers:
                callers[0].cancel()  # without a pause, so that it may cross with a slot handed over
            elif event == "step":
                inside += await settle()
                now += 1.0
                inside += await settle()
                assert admission.busy == inside <= slots
                assert admission.waiting == len(callers) <= room
        inside += await settle()
        for _ in range(inside):
            admission.leave(0.0)
        while callers:
            entered = await settle()
            for _ in range(entered):
                admission.leave(0.0)
        assert (admission.busy, admission.waiting) == (0, 0)

    asyncio.run(scenario())
