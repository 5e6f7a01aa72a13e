"""All jobs in numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from actionlens.v1 import job_pb2

BANDS: dict[int, str] = {
    job_pb2.JOB_PRIORITY_LOW: "low",
    job_pb2.JOB_PRIORITY_NORMAL: "normal",
    job_pb2.JOB_PRIORITY_HIGH: "high",
}
"""Names by priority, as in settings and metrics."""


@dataclass(frozen=True, slots=True)
class Counts:
    """jobs: by state and priority, as in actionlens.v1. oldest: when the job that has waited longest was made, in
    seconds since 1970, by priority. blocks: (upper bound in seconds, blocks, their seconds)."""

    jobs: Mapping[tuple[int, int], int]
    oldest: Mapping[int, float]
    blocks: tuple[tuple[float, int, float], ...]
