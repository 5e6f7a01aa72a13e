"""The metrics of an answer, the bound on their series, and the page that lists them."""

from __future__ import annotations

import contextlib
from typing import Any

import grpc
import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from actionlens.v1 import answer_pb2, explanation_pb2, service_pb2
from deploy import metrics_table
from service.server import Server
from service.telemetry.explanation_metrics import CLASSES
from service.telemetry.metrics import Metrics
from service.telemetry.records import record_answer
from tests.service.backend import PixelBackend
from tests.service.requests import GRAD_CAM, SELECTIVE, clip_request

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"


def answer(label: str = "wave", *explanations: explanation_pb2.Explanation) -> answer_pb2.Answer:
    top = [explanation_pb2.ClassScore(label=label, probability=0.75)]
    return answer_pb2.Answer(
        model="m",
        prediction=explanation_pb2.Prediction(top=top),
        explanations=explanations,
        timings=answer_pb2.Timings(forward=0.04, batch_size=2, explain=[0.01] * len(explanations)),
        level=answer_pb2.EXPLANATION_LEVEL_TEMPORAL_RELEVANCE,
    )


def explanation(method: str, **fields: Any) -> explanation_pb2.Explanation:
    return explanation_pb2.Explanation(method=method, **fields)


def test_the_numbers_of_explanations_are_counted_by_method() -> None:
    metrics = Metrics(PixelBackend())
    value = metrics.registry.get_sample_value
    matrix = explanation_pb2.RelevanceMatrix(average_length=7.5, maximum_length=12.0)
    quality = explanation_pb2.Quality(conservation_defect=-0.04, insertion_deletion_gap=0.15, agreement=-0.3)
    failure = explanation_pb2.Failure(message="no", reason="NO")
    given = answer(
        "wave",
        explanation("atr", relevance_matrix=matrix, quality=quality),
        explanation("atr", relevance_matrix=explanation_pb2.RelevanceMatrix(undefined="no row")),
        explanation("dtd", failure=failure),
    )
    given.timings.measure.extend([0.25, 0.0, 0.0])
    metrics.window_answered(record_answer(given), lag=0.1, budget=None)
    atr, dtd = {"model": "m", "method": "atr"}, {"model": "m", "method": "dtd"}
    for statistic, length in (("average", 7.5), ("maximum", 12.0)):
        labels = {"model": "m", "statistic": statistic}
        assert value("actionlens_atr_frames_sum", labels) == length
        assert value("actionlens_atr_frames_count", labels) == 1
    assert value("actionlens_conservation_defect_bucket", {**atr, "le": "-0.05"}) == 0
    assert value("actionlens_conservation_defect_bucket", {**atr, "le": "-0.01"}) == 1
    for name, low, high in (("insertion_deletion_gap", "0.1", "0.2"), ("method_agreement", "-0.5", "-0.25")):
        assert value(f"actionlens_{name}_bucket", {**atr, "le": low}) == 0
        assert value(f"actionlens_{name}_bucket", {**atr, "le": high}) == 1
        assert value(f"actionlens_{name}_count", atr) == 1
    assert value("actionlens_stage_seconds_sum", {**atr, "stage": "measure"}) == 0.25
    assert value("actionlens_stage_seconds_count", {**atr, "stage": "measure"}) == 1
    assert value("actionlens_explanations_failed_total", dtd) == 1
    assert value("actionlens_explanations_failed_total", atr) == 0
    assert value("actionlens_overhead_ratio_sum", atr) == pytest.approx(2 * 0.5)
    assert value("actionlens_overhead_ratio_count", dtd) is None
    assert value("actionlens_predict_seconds_total", {"model": "m"}) == pytest.approx(0.02)
    assert value("actionlens_class_confidence_sum", {"model": "m", "class": "wave"}) == 0.75
    assert value("actionlens_windows_total", {"model": "m", "level": "temporal_relevance"}) == 1


def test_times_that_cannot_be_separated_are_one() -> None:
    metrics = Metrics(PixelBackend())
    failure = explanation_pb2.Failure(message="no", reason="NO")
    given = answer("wave", explanation("atr"), explanation("dtd"), explanation("clrp", failure=failure))
    given.timings.explain_together = True
    metrics.clip_answered(record_answer(given))
    del given.explanations[1:], given.timings.explain[1:]
    metrics.clip_answered(record_answer(given))

    def ratios(method: str) -> float | None:
        return metrics.registry.get_sample_value("actionlens_overhead_ratio_sum", {"model": "m", "method": method})

    assert ratios("several") == pytest.approx(2 * 0.5)
    assert ratios("atr") == pytest.approx(0.5)
    assert ratios("dtd") is None


def test_budgets_are_held_against_what_was_measured() -> None:
    metrics = Metrics(PixelBackend())
    given = record_answer(answer("wave", explanation("atr"), explanation("dtd")))
    measured = answer("wave", explanation("atr"))
    measured.timings.measure.append(0.06)
    overhead = service_pb2.Budget(overhead_share=0.5)
    for lag, budget in ((0.1, None), (0.1, overhead), (0.1, service_pb2.Budget(latency_seconds=0.2))):
        metrics.window_answered(given, lag, budget)
    metrics.window_answered(given, 0.3, service_pb2.Budget(latency_seconds=0.2, overhead_share=0.0))

    metrics.window_answered(record_answer(measured), 0.1, service_pb2.Budget(overhead_share=0.0))

    def value(name: str) -> float | None:
        return metrics.registry.get_sample_value(f"actionlens_budget_{name}_total", {"model": "m"})

    assert value("explain_seconds") == pytest.approx(2 * 0.02 + 0.01 + 0.06)
    assert value("allowed_seconds") == pytest.approx(0.5 * 0.02)
    assert (value("windows"), value("late")) == (2, 1)


def test_a_model_of_many_classes_gets_few_series() -> None:
    metrics = Metrics(PixelBackend())
    for number in range(3 * CLASSES):
        metrics.clip_answered(record_answer(answer(f"class {number}")))
    metrics.clip_answered(record_answer(answer("class 0")))
    value = metrics.registry.get_sample_value
    assert value("actionlens_class_confidence_count", {"model": "m", "class": "class 0"}) == 2
    assert value("actionlens_class_confidence_count", {"model": "m", "class": f"class {CLASSES}"}) is None
    assert value("actionlens_class_confidence_count", {"model": "m", "class": "other"}) == 2 * CLASSES


async def test_clients_cannot_make_up_series(server: Server, stub: Any) -> None:
    """Strange models, classes, methods and RPCs, many of each; the second time nothing may be new."""

    async def trouble(some: int) -> set[str]:
        for number in range(some, some + 5):
            for request in (
                clip_request(GRAD_CAM, SELECTIVE),
                clip_request(model=f"model {number}"),
                clip_request(version=f"{number}"),
                clip_request(clip={"video": number.to_bytes(2)}),
            ):
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.ExplainClip(request, metadata=(("x-request-id", str(number)),))
            for path in (f"/actionlens.v1.ExplanationService/Call{number}", f"/made.up{number}/Call"):
                async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
                    with pytest.raises(grpc.aio.AioRpcError):
                        await channel.unary_unary(path)(service_pb2.GetModelRequest().SerializeToString())
        lines = server.metrics.text().decode().splitlines()
        return {line.rpartition(" ")[0] for line in lines if not line.startswith("#")}

    first = await trouble(0)
    assert await trouble(1000) == first
    assert any('grpc_code="NOT_FOUND"' in line for line in first)


async def test_readers_of_openmetrics_get_it(server: Server) -> None:
    server.metrics.window_answered(record_answer(answer(), TRACE), lag=0.1, budget=None)
    accepts = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    async with httpx.AsyncClient() as client:
        address = f"http://127.0.0.1:{server.metrics_port}/metrics"
        opened = await client.get(address, headers={"Accept": accepts})
        plain = await client.get(address)
    assert opened.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    traced = {
        sample.name
        for family in text_string_to_metric_families(opened.text)
        for sample in family.samples
        if sample.exemplar is not None and sample.exemplar.labels == {"trace_id": TRACE}
    }
    assert {"actionlens_stream_lag_seconds_bucket", "actionlens_stage_seconds_bucket"} <= traced
    assert TRACE not in plain.text


def test_the_table_of_metrics_is_fresh() -> None:
    page = metrics_table.page()
    assert metrics_table.PAGE.read_text() == page, "run python -m deploy.metrics_table"
    labels = {label for metric in metrics_table.families() for sample in metric.samples for label in sample.labels}
    assert {label for label in labels - {"le"} if f"`{label}`" not in page.partition("## Labels")[2]} == set()
