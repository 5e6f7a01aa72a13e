"""How soon good answers come again: promises in seconds, on a machine that has two cores for it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from benchmarks.recovery import BOUNDS, Running, measure

pytestmark = [pytest.mark.alone, pytest.mark.timeout(900)]

# Of importing torch in a new process, where the promises hold.
IMPORT_SECONDS = 2.0


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    made = Running(tmp_path_factory.mktemp("recovery"))
    yield made
    made.stop()


@pytest.mark.parametrize("what", ["worker", "java", "service"])
def test_a_killed_process_costs_no_more_than_its_seconds(running: Running, what: str) -> None:
    found = asyncio.run(measure(running, what))
    begun = time.monotonic()
    subprocess.run([sys.executable, "-c", "import torch"], check=True)
    slowness = max(1.0, (time.monotonic() - begun) / IMPORT_SECONDS)
    print(f"\n{what} killed: {found.answer:.1f} s, stream gap {found.stream_gap:.1f} s, {slowness:.1f} times as slow")
    assert found.answer < BOUNDS[what] * slowness
    assert found.stream_gap < BOUNDS[what] * slowness
