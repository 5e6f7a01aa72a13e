"""Budgets of streams over a real channel, and their parts."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from typing import Any

import grpc
import pytest

from actionlens.v1 import answer_pb2, explanation_pb2, method_pb2, service_pb2
from actionlens.worker.v1 import worker_pb2
from service.dataplane.cost_estimates import CostEstimates
from service.dataplane.levels import Level, gained, levels, method_levels
from service.dataplane.resolved_request import ResolvedRequest
from service.errors import ResourceExhausted
from service.settings import Settings, StreamSettings
from service.streaming.scheduler import Slot, WindowScheduler
from service.streaming.stream_admission import check_room
from tests.service.backend import PixelBackend, describe
from tests.service.conftest import Serve, connect
from tests.service.requests import DTD, GRAD_CAM, SELECTIVE, refusal
from tests.service.stream_client import DROP, NEWEST, StreamClient, refused
from tests.waiting import eventually, settled

ATR = method_pb2.Method(atr=method_pb2.Atr())

GRAD_CAM_LEVEL = answer_pb2.EXPLANATION_LEVEL_GRAD_CAM
SELECTIVE_LEVEL = answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE


def overhead(windows: list[service_pb2.WindowAnswer]) -> float:
    times = [window.answer.timings for window in windows]
    return sum(sum(entry.explain) for entry in times) / sum(entry.forward / entry.batch_size for entry in times)


async def test_an_overhead_budget_is_kept_by_explaining_some_windows_more_than_others(stub: Any) -> None:
    # The backend reports 8 ms for predicting, 0.4 ms for the first method and 0.8 ms for the second.
    client = await StreamClient.open(stub, GRAD_CAM, SELECTIVE, budget=service_pb2.Budget(overhead_share=0.1))
    await client.feed(range(203))
    await client.end()
    assert overhead(client.windows) == pytest.approx(0.1, abs=0.005)
    levels = Counter(window.answer.level for window in client.windows)
    assert levels[GRAD_CAM_LEVEL] == pytest.approx(100, abs=5)
    assert levels[SELECTIVE_LEVEL] == pytest.approx(100, abs=5)
    expensive = "selective-relevance"
    rarely = f"{expensive} left out: explaining may take 10 % of predicting; one window in 2 has {expensive}"
    for window in client.windows[20:]:
        answer = window.answer
        assert answer.level_reason == ("" if answer.level == SELECTIVE_LEVEL else rarely)
        assert [entry.method for entry in answer.explanations][:1] == ["grad-cam"]


async def test_a_budget_counts_measuring_and_leaves_it_out_first(stub: Any) -> None:
    # 8 ms for predicting, 0.4 ms for the method, 4 ms for measuring it: 1.6 ms per window pay for it every third time.
    client = await StreamClient.open(
        stub,
        GRAD_CAM,
        budget=service_pb2.Budget(overhead_share=0.2),
        output=answer_pb2.OutputOptions(insertion_deletion_gap=True),
    )
    await client.feed(range(103))
    await client.end()
    answers = [window.answer for window in client.windows]
    explaining = sum(sum(answer.timings.explain) + sum(answer.timings.measure) for answer in answers)
    assert explaining == pytest.approx(0.2 * sum(answer.timings.forward for answer in answers), rel=0.1)
    gaps = [answer.explanations[0].quality.HasField("insertion_deletion_gap") for answer in answers[1:]]
    assert sum(gaps) == pytest.approx(30, abs=4)  # (1.6 - 0.4) / 4 of 100
    reasons = {answer.level_reason for answer, gap in zip(answers[1:], gaps, strict=True) if not gap}
    rarely = "the insertion-deletion gap left out: explaining may take 20 % of predicting; one window in 3 has "
    assert f"{rarely}the insertion-deletion gap" in reasons


async def test_measuring_is_switched_while_the_stream_runs(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM)
    await client.feed(range(10))
    await client.update(insertion_deletion_gap=True)
    await client.feed(range(10, 20))
    await client.update(insertion_deletion_gap=False)
    await client.feed(range(20, 30))
    await client.end()
    measured = {
        window.answer.frames.used[-1]
        for window in client.windows
        if window.answer.explanations[0].quality.HasField("insertion_deletion_gap")
    }
    assert measured == set(range(10, 20))


async def test_without_a_budget_every_window_has_everything(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM, SELECTIVE, budget=service_pb2.Budget())
    await client.feed(range(20))
    await client.end()
    assert {(window.answer.level, window.answer.level_reason) for window in client.windows} == {(SELECTIVE_LEVEL, "")}


async def test_the_budget_changes_while_the_stream_runs(stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM, SELECTIVE)
    await client.feed(range(10))
    await client.update(budget=service_pb2.Budget(overhead_share=0.0))
    await client.feed(range(10, 20))
    await client.update(budget=service_pb2.Budget(latency_seconds=1e-6))
    await client.feed(range(20, 30))
    await client.update(budget=service_pb2.Budget())
    await client.feed(range(30, 40))
    await client.end()
    answers = {window.answer.frames.used[-1]: window.answer for window in client.windows}
    everything = answer_pb2.EXPLANATION_LEVEL_SELECTIVE_RELEVANCE
    assert {answers[frame].level for frame in (*range(3, 10), *range(30, 40))} == {everything}
    assert {answers[frame].level_reason for frame in (*range(3, 10), *range(30, 40))} == {""}
    for frame in range(10, 30):
        assert not answers[frame].explanations
        assert answers[frame].level == answer_pb2.EXPLANATION_LEVEL_PREDICTION
        assert answers[frame].level_reason.startswith("grad-cam and selective-relevance left out")
    assert answers[29].level_reason.endswith("even with predictions only answers take longer than 0.001 ms now")


async def test_late_answers_lose_the_expensive_method_and_say_so(backend: PixelBackend, stub: Any) -> None:
    client = await StreamClient.open(stub, GRAD_CAM, SELECTIVE, budget=service_pb2.Budget(latency_seconds=30))
    number = 0
    while not client.windows or client.windows[-1].answer.level != SELECTIVE_LEVEL:
        await client.send(number)
        await asyncio.sleep(0.01)
        number += 1
        assert number < 1000, "never climbed"
    climbed = client.windows[-1].window
    # A worker that takes longer than the budget has it step down to what takes no time.
    backend.delays["selective_relevance"] = 0.12
    await client.update(budget=service_pb2.Budget(latency_seconds=0.1))
    await client.feed(range(number, number + 30))
    await client.end()
    reasons = {window.answer.level_reason for window in client.windows if window.window > climbed}
    assert any("selective-relevance left out to answer within 100 ms" in reason for reason in reasons)


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        (service_pb2.Budget(latency_seconds=0), "latency_seconds"),
        (service_pb2.Budget(latency_seconds=1e300), "latency_seconds"),
        (service_pb2.Budget(overhead_share=-0.1), "overhead_share"),
        (service_pb2.Budget(overhead_share=1e300), "overhead_share"),
        (service_pb2.Budget(latency_seconds=float("nan")), "latency_seconds"),
    ],
)
async def test_a_budget_that_means_nothing_is_refused(stub: Any, budget: service_pb2.Budget, field: str) -> None:
    call = stub.ExplainStream()
    await call.write(service_pb2.ExplainStreamRequest(open=service_pb2.StreamOpen(budget=budget)))
    found = await refused(call)
    assert (found.code, found.field) == (grpc.StatusCode.INVALID_ARGUMENT, f"open.budget.{field}")


async def test_a_stream_that_cannot_be_answered_in_time_is_refused_with_a_time_to_retry(stub: Any) -> None:
    # Two predictions of 8 ms fit into 17 ms, three do not.
    budget = service_pb2.Budget(latency_seconds=0.017)
    first, _ = [await StreamClient.open(stub, budget=budget) for _ in range(2)]
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await StreamClient.open(stub, budget=budget)
    found = refusal(caught.value)
    assert (found.code, found.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "BUDGET_TOO_SMALL")
    assert found.retry == 5
    assert "24 ms, longer than 17 ms" in found.message
    await first.end()
    await StreamClient.open(stub, budget=budget)


async def test_a_stream_that_waits_for_its_slot_gets_the_newest_window_then(
    serve: Serve, backend: PixelBackend
) -> None:
    backend.places = 1
    async with serve() as server, connect(server) as stub:
        backend.open.clear()
        greedy = await StreamClient.open(stub)
        await greedy.feed(range(4))
        await eventually(lambda: backend.busy == 1)
        camera = await StreamClient.open(stub, fill=DROP, consume=NEWEST)
        await camera.feed(range(100, 121))
        # Credit comes back in portions of eight for what has been decoded.
        await eventually(lambda: camera.credit == camera.opened.credit - 21 + 16)
        backend.open.set()
        await asyncio.gather(greedy.end(), camera.end())
    assert camera.windows[0].answer.frames.used[-1] >= 115
    assert backend.most_busy == 1


async def test_nobody_waits_for_more_than_one_window_of_each_stream() -> None:
    backend = PixelBackend()
    await backend.start()
    backend.places = 2
    scheduler = WindowScheduler(backend, Settings(batch_size=1))
    order: list[str] = []

    async def stream(name: str, windows: int, at_once: int) -> None:
        """Like a stream's dispatcher: one window waits at a time, some are in work."""
        working = asyncio.Semaphore(at_once)
        tasks = []

        async def work(slot: Slot) -> None:
            await settled()
            slot.end()
            working.release()

        for _ in range(windows):
            await working.acquire()
            slot = await scheduler.take("colours")
            slot.expect(0.02)
            order.append(name)
            tasks.append(asyncio.create_task(work(slot)))
        await asyncio.gather(*tasks)

    await asyncio.gather(stream("greedy", 60, 4), stream("greedier", 60, 8), stream("slow", 15, 1))
    indices = [index for index, name in enumerate(order) if name == "slow"]
    gaps = [after - before for before, after in pairwise(indices)]
    # One window of each other stream, and those that were in work when it came again.
    assert max(gaps) <= 2 + 1 + 2
    assert Counter(order) == {"greedy": 60, "greedier": 60, "slow": 15}


async def test_windows_that_take_long_are_not_batched() -> None:
    backend = PixelBackend()
    await backend.start()
    scheduler = WindowScheduler(backend, Settings(batch_size=4, stream=StreamSettings(ahead_seconds=0.1)))
    for seconds, inside in ((0.02, 5), (0.5, 2), (0.001, 8)):
        taken: list[Slot] = []

        async def stream(seconds: float = seconds, taken: list[Slot] = taken) -> None:
            slot = await scheduler.take("colours")
            slot.expect(seconds)
            taken.append(slot)

        streams = [asyncio.create_task(stream()) for _ in range(16)]
        await settled()
        assert len(taken) == inside  # two keep the worker busy, eight are the backend's slots
        streams[12].cancel()
        for index in range(15):
            taken[index].end()
            await asyncio.sleep(0)
        await asyncio.gather(*streams, return_exceptions=True)
        assert len(taken) == 15


def test_levels_leave_out_the_most_expensive_first_and_add_nothing() -> None:
    assert method_levels((ATR, GRAD_CAM, SELECTIVE)) == (
        (),
        (GRAD_CAM,),
        (GRAD_CAM, SELECTIVE),
        (ATR, GRAD_CAM, SELECTIVE),
    )
    assert method_levels((DTD, ATR)) == ((), (DTD, ATR))
    assert method_levels((SELECTIVE,)) == ((), (SELECTIVE,))
    assert method_levels(()) == ((),)
    assert gained(Level((DTD, ATR, GRAD_CAM)), Level(())) == "dtd, atr and grad-cam"


def test_measures_are_left_out_before_any_method() -> None:
    full = Level((GRAD_CAM, DTD), gap=True)
    assert levels(full) == (Level(()), Level((GRAD_CAM,)), Level((GRAD_CAM, DTD)), full)
    assert levels(Level((GRAD_CAM,))) == (Level(()), Level((GRAD_CAM,)))
    assert gained(full, Level((GRAD_CAM, DTD))) == "the insertion-deletion gap"
    assert gained(full, Level((GRAD_CAM,))) == "dtd and the insertion-deletion gap"


def measured(explain: float, batch: int = 1, forward: float = 0.02) -> worker_pb2.ComputeResponse:
    return worker_pb2.ComputeResponse(
        explanations=[explanation_pb2.Explanation(method="atr")],
        timings=worker_pb2.ComputeTimings(forward=forward * batch, explain=[explain], batch_size=batch),
    )


def test_costs_are_medians_and_fade_when_nothing_is_measured() -> None:
    now = 0.0
    costs = CostEstimates(lambda: now)
    assert costs.predict("net") is None
    assert costs.explain("net", [ATR]) is None
    for seconds in (5.0, 0.1, 0.1):
        costs.add("net", [ATR], measured(seconds, batch=4))
    assert costs.predict("net") == pytest.approx(0.02)
    assert costs.explain("net", [ATR]) == pytest.approx(0.1)
    assert costs.explain("net", [ATR, GRAD_CAM]) is None
    other = method_pb2.Method(atr=method_pb2.Atr(relevance="clrp"))
    assert costs.explain("net", [other]) is None
    assert costs.explain("net", []) == 0
    now = 600.0
    assert costs.explain("net", [ATR]) == pytest.approx(0.05)
    # A busier machine takes longer for what has not been measured since, too.
    costs = CostEstimates(lambda: now)
    costs.add("net", [ATR], measured(0.1))
    for _ in range(99):
        costs.add("net", [], measured(0.0, forward=0.06))
    assert costs.explain("net", [ATR]) == pytest.approx(0.3)


def test_the_least_that_methods_take_is_never_too_high_and_soon_forgotten() -> None:
    now = 0.0
    costs = CostEstimates(lambda: now)
    atrs = [method_pb2.Method(atr=method_pb2.Atr(share=0.5 + 0.01 * step)) for step in range(16)]
    assert costs.least("net", atrs) == 0
    for seconds in (9.0, 2.0, 3.0):
        costs.add("net", [ATR], measured(seconds))
    assert costs.least("net", [ATR]) == pytest.approx(2.0)
    assert costs.least("other", [ATR]) == 0
    # Never computed together, nor with these parameters; of the method that was never computed nothing is known.
    assert costs.least("net", [*atrs, DTD]) == pytest.approx(32.0)
    # Together they share what one leaves for the next, as it turns out.
    together = measured(0.0)
    del together.timings.explain[:]
    together.timings.explain.extend([2.0] + 15 * [0.2])
    costs.add("net", atrs, together)
    assert costs.least("net", atrs) == pytest.approx(5.0)
    assert costs.least("net", atrs[:4]) == pytest.approx(0.8)
    now = 60.0
    assert costs.least("net", atrs) == pytest.approx(2.5)


def test_what_is_measured_often_is_remembered_longest() -> None:
    costs = CostEstimates()
    for frames in range(1, 2000):
        costs.add("net", [GRAD_CAM], measured(0.01))
        method = method_pb2.Method(st_perturbation=method_pb2.StPerturbation(iterations=frames))
        costs.add("other", [method], measured(0.01))
        assert costs.explain("net", [GRAD_CAM]) == pytest.approx(0.01, rel=0.01)


def test_measuring_is_part_of_the_cost_of_those_who_ask_for_it() -> None:
    costs, response = CostEstimates(), measured(0.1)
    costs.add("net", [ATR], response)
    response.timings.measure.append(0.3)
    costs.add("net", [ATR], response, gap=True)
    assert costs.explain("net", [ATR]) == pytest.approx(0.1)
    assert costs.explain("net", [ATR], gap=True) == pytest.approx(0.4)


def test_a_failed_method_says_nothing_about_its_cost() -> None:
    costs = CostEstimates()
    response = measured(0.0)
    response.explanations[0].failure.message = "no relevance here"
    costs.add("net", [ATR], response)
    assert costs.explain("net", [ATR]) is None


def test_admission_counts_what_open_streams_take_at_the_least() -> None:
    model = describe("net")
    costs = CostEstimates()
    costs.add("net", [ATR], measured(0.18))  # predicting takes 20 ms

    def request(budget: service_pb2.Budget | None) -> ResolvedRequest:
        return ResolvedRequest(model, method_pb2.Target(), (ATR,), answer_pb2.OutputOptions(), budget=budget)

    within = request(service_pb2.Budget(latency_seconds=0.1))
    modest, greedy = request(service_pb2.Budget(overhead_share=0.5)), request(None)
    bounds = StreamSettings(ahead_seconds=1.0)
    check_room(within, [within] * 4, costs, 8, bounds)
    check_room(request(service_pb2.Budget(latency_seconds=0.001)), [], costs, 8, bounds)  # nothing fresh is known
    with pytest.raises(ResourceExhausted, match="beside 5 open streams a prediction of net takes 120 ms"):
        check_room(within, [within] * 5, costs, 8, bounds)
    check_room(within, [within] * 99, costs, 5, bounds)  # only so many are ahead of it
    check_room(within, [modest] * 2, costs, 8, bounds)
    with pytest.raises(ResourceExhausted):
        check_room(within, [modest] * 3, costs, 8, bounds)
    with pytest.raises(ResourceExhausted):
        check_room(within, [greedy], costs, 8, bounds)
    # No more than 30 ms and one window are ahead of it.
    check_room(within, [within] * 99, costs, 8, StreamSettings(ahead_seconds=0.03))
    bounds = StreamSettings(turn_seconds=1.0)
    check_room(greedy, [greedy] * 4, costs, 8, bounds)
    with pytest.raises(ResourceExhausted, match=r"answered every 1\.2 s only"):
        check_room(greedy, [greedy] * 5, costs, 8, bounds)
    check_room(greedy, [greedy] * 99, CostEstimates(), 8, bounds)  # nothing is known yet
    # Who may explain a hundred times as long as predicting, and asks for less, takes no more than that.
    rich = request(service_pb2.Budget(overhead_share=100.0))
    check_room(rich, [rich] * 4, costs, 8, bounds)
    with pytest.raises(ResourceExhausted, match=r"answered every 1\.2 s only"):
        check_room(rich, [rich] * 5, costs, 8, bounds)
    plain = replace(rich, methods=())
    check_room(plain, [plain] * 40, costs, 8, bounds)
