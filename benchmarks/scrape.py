"""Measures what one scrape costs the service's event loop: python -m benchmarks.scrape [--models 1] [--methods 5]

Processor time of the text of a service that has answered with so many methods, eleven classes per model and every gRPC
call, in both formats; OpenMetrics with a trace's exemplar in every bucket that has been filled.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time

from actionlens.v1 import method_pb2, service_pb2
from deploy.metrics_table import NoJobs
from service.backends.in_process import InProcessBackend
from service.jobs.metrics import JobMetrics
from service.settings import Settings
from service.telemetry.explanation_metrics import CLASSES
from service.telemetry.metrics import Metrics
from service.telemetry.records import AnswerRecord, MethodRecord


def main() -> None:
    """Parse the command line, fill the metrics, measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=int, default=1)
    parser.add_argument("--methods", type=int, default=5, help="of those in the contract")
    parser.add_argument("--rounds", type=int, default=200)
    options = parser.parse_args()
    metrics = filled(options.models, options.methods)
    for name, exemplars in (("0.0.4", False), ("OpenMetrics", True)):
        seconds = []
        for _ in range(options.rounds):
            begun = time.thread_time()
            text = metrics.text(exemplars)
            seconds.append(time.thread_time() - begun)
        lines = text.count(b"\n")
        low, middle, high = (f"{1000 * quantile:.2f}" for quantile in statistics.quantiles(seconds, n=20)[::9])
        print(
            f"{name:<12}{lines} lines, {len(text) / 1024:.0f} KiB: median {middle} ms, best {1000 * min(seconds):.2f}, "
            f"5 % {low}, 95 % {high}"
        )


def filled(models: int, most: int) -> Metrics:
    """Fill the metrics of a service with so many models and methods that has answered a few thousand times."""
    chance = random.Random(0)
    metrics = Metrics(InProcessBackend(Settings()))
    metrics.register(JobMetrics(NoJobs()))
    methods = [field.name.replace("_", "-") for field in method_pb2.Method.DESCRIPTOR.fields][:most]
    for service in service_pb2.DESCRIPTOR.services_by_name.values():
        for method in service.methods:
            call = ("unary", service.full_name, method.name)
            for code in ("OK", "CANCELLED", "INVALID_ARGUMENT"):
                metrics.rpcs.started(call)
                metrics.rpcs.ended(call, code, chance.random(), 1, 1)
    for number in range(1000 * models):
        entries = tuple(_entry(method, chance) for method in chance.sample(methods, min(3, most)))
        record = AnswerRecord(
            model=f"model {number % models}",
            level="grad_cam",
            label=f"class {chance.randrange(2 * CLASSES)}",
            confidence=chance.random(),
            decode=chance.random() / 100,
            queue=chance.random() / 10,
            transport=chance.random() / 100,
            forward=chance.random() / 10,
            predict=chance.random() / 10,
            encode=chance.random() / 100,
            total=chance.random(),
            methods=entries,
            together=False,
            trace=f"{chance.getrandbits(128):032x}",
        )
        metrics.clip_answered(record)
        metrics.window_answered(record, chance.random(), service_pb2.Budget(overhead_share=0.3, latency_seconds=0.5))
    return metrics


def _entry(method: str, chance: random.Random) -> MethodRecord:
    return MethodRecord(
        method=method,
        seconds=chance.expovariate(20),
        failed=False,
        motion_share=chance.random(),
        conservation_defect=chance.uniform(-1, 1),
        average_length=chance.uniform(1, 16),
        maximum_length=16.0,
    )


if __name__ == "__main__":
    main()
