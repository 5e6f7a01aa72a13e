"""Memory and processor time of child processes, by role."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from service.telemetry.process_metrics import ProcessMetrics

# A parent that starts one child with the same words, says its pid, computes for a while, and ends with its input.
_PARENT = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()", *sys.argv[2:]], stdin=subprocess.PIPE)
sum(range(3_000_000))
print(child.pid, flush=True)
input()
child.communicate()
"""


@contextmanager
def parent(*words: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", _PARENT, *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.communicate("\n")


def numbers(metrics: ProcessMetrics) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels["role"]): sample.value for family in metrics.collect() for sample in family.samples
    }


def test_processes_are_told_by_their_command_and_a_job_workers_children_are_its_own() -> None:
    with parent("service.jobs.worker", "decoder_child") as process:
        below = numbers(ProcessMetrics(process.pid))
        assert below["actionlens_child_processes", "decoder"] == 1
        assert below["actionlens_child_memory_bytes", "decoder"] > 2**20
        assert sum(value for (name, _), value in below.items() if name == "actionlens_child_processes") == 1
        with_parent = numbers(ProcessMetrics(process.pid, lambda: 0.0))
        assert with_parent == below | {
            key: with_parent[key] for key in with_parent if key[0] == "actionlens_child_cpu_seconds_total"
        }


def test_processor_time_is_kept_when_a_process_ends() -> None:
    now = 0.0
    middle = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", sys.argv[1], "-", "decoder_child"], stdin=subprocess.PIPE, text=True)
input()
child.communicate("\\n")
print(flush=True)
input()
"""
    worker = "sum(range(3_000_000)); input()"
    command = [sys.executable, "-c", middle, worker]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        metrics = ProcessMetrics(process.pid, lambda: now)
        key = ("actionlens_child_cpu_seconds_total", "decoder")
        while numbers(metrics)[key] < 0.02:
            now += 2.0
        before = numbers(metrics)[key]
        process.stdin.write("\n")
        process.stdin.flush()
        process.stdout.readline()
        now += 1.0
        assert numbers(metrics)["actionlens_child_processes", "decoder"] == 1, "a look a moment ago is good enough"
        now += 1.0
        after = numbers(metrics)
        assert after["actionlens_child_processes", "decoder"] == 0
        assert after[key] >= before
        process.communicate("\n")
