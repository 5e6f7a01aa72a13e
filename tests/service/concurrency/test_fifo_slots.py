"""The line for slots, event by event: every test fixes what happens between two runs of the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from service.concurrency.fifo_slots import FifoSlots


class Line:
    """A FifoSlots whose owner notes the slots that come back."""

    def __init__(self) -> None:
        self.returned = 0
        self.slots = FifoSlots(self._take_back)
        self.granted: list[str] = []

    def _take_back(self) -> None:
        self.returned += 1

    async def join(self, name: str) -> asyncio.Task[None]:
        """A task that waits in line when this returns."""

        async def wait() -> None:
            await self.slots.wait()
            self.granted.append(name)

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        return task


@pytest.fixture
def line() -> Line:
    return Line()


async def ended(*tasks: asyncio.Task[None]) -> list[BaseException | None]:
    """The exception that each task ended with; None for a slot."""
    return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 5)


async def test_slots_go_to_those_who_came_first(line: Line) -> None:
    tasks = [await line.join(name) for name in "abc"]
    assert len(line.slots) == 3
    assert [line.slots.grant() for _ in range(4)] == [True, True, True, False]
    assert len(line.slots) == 0
    assert await ended(*tasks) == [None] * 3
    assert line.granted == ["a", "b", "c"]
    assert line.returned == 0


async def test_a_grant_without_a_waiter_is_not_kept_for_the_next(line: Line) -> None:
    assert not line.slots.grant()
    task = await line.join("a")
    assert not task.done()
    assert line.slots.grant()
    assert await ended(task) == [None]


async def test_who_is_cancelled_before_the_grant_is_passed_over(line: Line) -> None:
    first, second = await line.join("a"), await line.join("b")
    first.cancel()
    # Its task has not run since, so that it still stands in line.
    assert len(line.slots) == 1
    assert line.slots.grant()
    assert not line.slots.grant()
    ends = await ended(first, second)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] is None
    assert line.returned == 0


async def test_who_was_cancelled_and_has_run_is_no_longer_in_line(line: Line) -> None:
    task = await line.join("a")
    task.cancel()
    await asyncio.sleep(0)
    assert task.cancelled()
    assert len(line.slots) == 0
    assert not line.slots.grant()
    assert line.returned == 0


async def test_who_is_cancelled_after_the_grant_gives_the_slot_back(line: Line) -> None:
    task = await line.join("a")
    assert line.slots.grant()
    task.cancel()  # before it runs: the slot is its own, and it will not come for it
    assert line.returned == 0
    assert isinstance((await ended(task))[0], asyncio.CancelledError)
    assert line.returned == 1
    assert line.granted == []


async def test_an_owner_that_grants_again_serves_the_next_in_line() -> None:
    granted: list[str] = []
    slots = FifoSlots(lambda: granted.append("next" if slots.grant() else "nobody"))
    waiting = [asyncio.create_task(slots.wait()) for _ in range(2)]
    await asyncio.sleep(0)
    assert slots.grant()
    waiting[0].cancel()
    ends = await ended(*waiting)
    assert isinstance(ends[0], asyncio.CancelledError)
    assert ends[1] is None
    assert granted == ["next"]


def _grant(line: Line, _: asyncio.Timeout) -> None:
    assert line.slots.grant()


def _expire(_: Line, deadline: asyncio.Timeout) -> None:
    deadline.reschedule(asyncio.get_running_loop().time())  # at the next run of the loop


@pytest.mark.parametrize(
    ("events", "has_slot"),
    [((_grant, _expire), True), ((_expire, _grant), False)],
    ids=["grant first", "deadline first"],
)
async def test_a_deadline_at_the_moment_of_the_grant(
    line: Line, events: tuple[Callable[[Line, asyncio.Timeout], None], ...], has_slot: bool
) -> None:
    deadline = asyncio.timeout(None)

    async def wait() -> None:
        async with deadline:
            await line.slots.wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    for event in events:
        event(line, deadline)
    (end,) = await ended(task)
    assert end is None if has_slot else isinstance(end, TimeoutError)
    assert line.returned == (0 if has_slot else 1)
    assert len(line.slots) == 0


async def test_refused_waiters_have_an_error_each_and_no_slot(line: Line) -> None:
    tasks = [await line.join(name) for name in "abc"]
    tasks[1].cancel()
    line.slots.refuse(lambda: ValueError("closed"))
    tasks[2].cancel()  # refused already: no slot of it can come back
    first, second, third = await ended(*tasks)
    assert str(first) == "closed"
    assert isinstance(second, asyncio.CancelledError)
    assert isinstance(third, asyncio.CancelledError)
    assert line.returned == 0
    assert not line.slots.grant()
