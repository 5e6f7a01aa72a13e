"""Prometheus metrics of the processes that the service has started: workers, java, decoders, job workers."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress

import psutil
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

_EVERY_SECONDS = 2.0
"""Looking at all processes of a machine takes some milliseconds; scrapes that come faster share a look."""

ROLES = ("worker", "java", "decoder", "jobs", "other")
_SIGNS = {
    "model_service_worker": "worker",
    "handlers.worker_forkserver": "worker",
    "torchserve/worker_launcher": "java",
    "torchserve/child_guard": "java",
    "decoder_child": "decoder",
    "service.jobs.worker": "jobs",
}
"""What of a command line tells the role."""


class ProcessMetrics(Collector):
    """Collects memory and processor time of all processes below one, by role.

    The children of a job worker count as "jobs", whatever they are. A process that ends between two looks takes with it
    what it has computed since the first.
    """

    def __init__(self, pid: int, clock: Callable[[], float] = time.monotonic) -> None:
        """pid: of the parent, which is not counted."""
        self._pid = pid
        self._clock = clock
        self._looked = -_EVERY_SECONDS
        self._known: dict[tuple[int, float], float] = {}
        self._count = Counter[str]()
        self._bytes = Counter[str]()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def collect(self) -> Iterable[Metric]:
        """See Collector."""
        if self._clock() - self._looked >= _EVERY_SECONDS:
            self._look()
            self._looked = self._clock()
        count = GaugeMetricFamily(
            "actionlens_child_processes", "Processes that the service has started and that run now", labels=("role",)
        )
        memory = GaugeMetricFamily(
            "actionlens_child_memory_bytes",
            "Resident memory of these processes; what several share counts for each",
            labels=("role",),
        )
        processor = CounterMetricFamily(
            "actionlens_child_cpu_seconds", "Processor time that these processes have used", labels=("role",)
        )
        for role in ROLES:
            count.add_metric((role,), self._count[role])
            memory.add_metric((role,), self._bytes[role])
            processor.add_metric((role,), self._seconds[role])
        return count, memory, processor

    def _look(self) -> None:
        self._count.clear()
        self._bytes.clear()
        before, self._known = self._known, {}
        for role, process in _children(self._pid):
            with suppress(psutil.Error), process.oneshot():
                key = (process.pid, process.create_time())
                times = process.cpu_times()
                self._bytes[role] += process.memory_info().rss
                self._known[key] = times.user + times.system
                self._count[role] += 1
                self._seconds[role] += max(0.0, self._known[key] - before.get(key, 0.0))


def _children(pid: int) -> Iterator[tuple[str, psutil.Process]]:
    """All processes below one, each with its role. One that ends meanwhile may be missing."""
    with suppress(psutil.Error):
        below = psutil.Process(pid).children(recursive=True)
        children: defaultdict[int, list[psutil.Process]] = defaultdict(list)
        for process in below:
            with suppress(psutil.Error):
                children[process.ppid()].append(process)
        waiting = [(process, "") for process in children[pid]]
        while waiting:
            process, above = waiting.pop()
            role = above if above == "jobs" else _role(process)
            yield role, process
            waiting += [(child, role) for child in children[process.pid]]


def _role(process: psutil.Process) -> str:
    with suppress(psutil.Error):
        if process.name() == "java":
            return "java"
        command = " ".join(process.cmdline()[:8])
        return next((role for sign, role in _SIGNS.items() if sign in command), "other")
    return "other"
