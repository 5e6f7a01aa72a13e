"""Recovery: python -m benchmarks.recovery [--rounds 3] [--what worker java ...] [--out FILE]

A service is started with the bundled model on TorchServe, one client explains clips one after the other and another
keeps a stream of 25 frames per second open. Then a process is killed (SIGKILL) or frozen (SIGSTOP), and the time is
taken until the next good answer to a clip that was called for after it, with the longest time between two answers of
the stream. `service` is started again at once, as a supervisor of services would. Two cores should be free: beside the
times stand the load average, and the processor time that the new processes had used by the first answer, which other
work changes less. The phases are those of TorchServe's own log.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import re
import signal
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import numpy as np
import psutil

from service.client import AsyncClient, Frame
from service.errors import ActionLensError

_MODEL = "motion-primitives"
_FPS = 25.0
_CALM_SECONDS = 3.0
_LONGEST_SECONDS = 600.0
_CALL_SECONDS = 60.0
# What was called so soon after the fault may have been answered before it took effect.
_TAKES_EFFECT_SECONDS = 0.2
_PHASES = re.compile(
    r"^(?P<at>\S+) .*(?P<what>Retry worker: \d+ in \d+ seconds|Starting worker|Torch worker started|"
    r"loaded model|WORKER_MODEL_LOADED|Torch Serve version|READY)"
)
BOUNDS = {"worker": 3.0, "java": 8.0, "service": 10.0, "frozen-worker": 5.0 + 3.0, "frozen-java": 5.0 + 8.0}
"""Seconds until the next good answer on two quiet cores."""


@dataclass
class Round:
    """One process that was killed or frozen. Times in seconds."""

    answer: float
    stream_gap: float
    processor: float
    phases: list[str] = field(default_factory=list)


class Running:
    """A service of its own in a folder, and its processes."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as held:
            held.bind(("127.0.0.1", 0))
            self._port = int(held.getsockname()[1])
        self._folder = folder
        self.start()

    @property
    def address(self) -> str:
        """For clients."""
        return f"127.0.0.1:{self._port}"

    def start(self) -> None:
        """Start it, the first time or again."""
        command = ("-m", "service.cli", "serve", "--port", str(self._port), "--metrics-port", "0", "--page-port", "0")
        own = {
            "ACTIONLENS_DATA": str(self._folder),
            "ACTIONLENS_MODELS": f'["{_MODEL}"]',
            "ACTIONLENS_JOBS__WORKERS": "0",
        }
        with (self._folder / "serve.log").open("ab") as log:
            self.process = psutil.Popen([sys.executable, *command], env=os.environ | own, stdout=log, stderr=log)

    def stop(self) -> None:
        """End it in order."""
        self.process.terminate()
        self.process.wait(_LONGEST_SECONDS)

    def family(self) -> list[psutil.Process]:
        """The service and everything below it."""
        with suppress(psutil.NoSuchProcess):
            return [self.process, *self.process.children(recursive=True)]
        return []

    def victim(self, what: str) -> psutil.Process:
        """The process to kill or to freeze."""
        if what == "service":
            return self.process
        sign = "model_service_worker" if what.endswith("worker") else "org.pytorch.serve.ModelServer"
        commands = ((member, " ".join(member.cmdline())) for member in self.family())
        # The guard names java's command, and a launcher its worker's.
        others = ("child_guard", "worker_launcher")
        return next(member for member, line in commands if sign in line and not any(name in line for name in others))

    def work_folder(self) -> Path:
        """Of the newest TorchServe."""
        folders = Path("/tmp").glob(f"actionlens-{self.process.pid}-*")
        return max(folders, key=lambda folder: folder.stat().st_mtime)


def main() -> None:
    """Parse the command line, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--what", nargs="+", default=list(BOUNDS), choices=list(BOUNDS))
    parser.add_argument("--out", type=Path, help="file for the table, in Markdown; none: only printed")
    options = parser.parse_args()
    load = psutil.getloadavg()[0]
    lines = [
        f"`python -m benchmarks.recovery --rounds {options.rounds}`: {psutil.cpu_count()} cores, load average before "
        f"it {load:.1f}.",
        "",
        "| what | next good answer, median | worst | promised | stream gap, worst | processor seconds, median |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    phases = []
    with tempfile.TemporaryDirectory() as folder:
        running = Running(Path(folder))
        try:
            for what in options.what:
                rounds = [asyncio.run(measure(running, what)) for _ in range(options.rounds)]
                answers = [entry.answer for entry in rounds]
                lines.append(
                    f"| {what} | {statistics.median(answers):.1f} s | {max(answers):.1f} s | {BOUNDS[what]:g} s | "
                    f"{max(entry.stream_gap for entry in rounds):.1f} s | "
                    f"{statistics.median(entry.processor for entry in rounds):.1f} |"
                )
                print(lines[-1], flush=True)
                phases += [f"{what}: {phase}" for phase in rounds[-1].phases]
        finally:
            running.stop()
    text = "\n".join(
        (*lines, "", "Phases of the last round, seconds after the fault:", "", *(f"* {p}" for p in phases))
    )
    print(text)
    if options.out is not None:
        options.out.write_text(f"{text}\n", encoding="utf-8")


async def measure(running: Running, what: str) -> Round:
    """Kill or freeze a process under load, and wait for the next good answer."""
    answers: list[tuple[float, float]] = []
    windows: list[float] = []
    callers = [
        asyncio.create_task(explain(running.address, answers)),
        asyncio.create_task(stream(running.address, windows)),
    ]
    try:
        await more(answers, 3)
        await more(windows, 3)
        await asyncio.sleep(_CALM_SECONDS)
        known = {member.pid for member in running.family()}
        victim = running.victim(what)
        begun, clock = time.monotonic(), time.time()
        victim.send_signal(signal.SIGSTOP if what.startswith("frozen") else signal.SIGKILL)
        if what == "service":
            running.process.wait()
            running.start()
        while answers[-1][0] < begun + _TAKES_EFFECT_SECONDS:
            await asyncio.sleep(0.01)
            check_time(begun)
        first = next(came for called, came in answers if called >= begun + _TAKES_EFFECT_SECONDS)
        processor = sum(used(member) for member in running.family() if member.pid not in known)
        phases = read_phases(running.work_folder() / "torchserve.log", clock)
        await more(windows, 3)
        await asyncio.sleep(_CALM_SECONDS)
    finally:
        for caller in callers:
            caller.cancel()
        await asyncio.gather(*callers, return_exceptions=True)
    gaps = [after - before for before, after in itertools.pairwise(windows) if after > begun]
    return Round(first - begun, max(gaps), processor, phases)


async def explain(address: str, answers: list[tuple[float, float]]) -> None:
    """Explain clips one after the other, and note when each call began and its good answer came. A call that fails is
    made again at once and not noted."""
    clip = np.random.default_rng(0).integers(0, 256, (16, 112, 112, 3), dtype=np.uint8)
    async with AsyncClient(address, timeout=_CALL_SECONDS) as client:
        while True:
            called = time.monotonic()
            try:
                await client.explain_clip(clip, model=_MODEL, methods=["grad-cam"])
                answers.append((called, time.monotonic()))
            except ActionLensError:
                await asyncio.sleep(0.05)


async def stream(address: str, windows: list[float]) -> None:
    """Keep a stream open, a new one when it breaks, and note when its answers come."""
    picture = np.random.default_rng(1).integers(0, 256, (112, 112, 3), dtype=np.uint8)

    async def frames() -> AsyncIterator[Frame]:
        for sequence in range(10**9):
            yield Frame(picture, sequence, sequence / _FPS)
            await asyncio.sleep(1 / _FPS)

    async with AsyncClient(address, timeout=_CALL_SECONDS) as client:
        while True:
            try:
                async with client.explain_stream(
                    frames(), model=_MODEL, methods=["grad-cam"], fill="drop-oldest", consume="newest"
                ) as answered:
                    async for _ in answered:
                        windows.append(time.monotonic())  # noqa: PERF401 - one by one, as they come
            except ActionLensError:
                await asyncio.sleep(0.05)


async def more(entries: Sequence[object], count: int) -> None:
    """Wait for so many more entries."""
    begun, before = time.monotonic(), len(entries)
    while len(entries) < before + count:
        await asyncio.sleep(0.01)
        check_time(begun)


def check_time(begun: float) -> None:
    """Raise TimeoutError when it is too late for anything to come."""
    if time.monotonic() - begun > _LONGEST_SECONDS:
        raise TimeoutError(f"no good answer within {_LONGEST_SECONDS:g} s")


def used(member: psutil.Process) -> float:
    """Processor seconds of a process so far."""
    with suppress(psutil.NoSuchProcess):
        times = member.cpu_times()
        return float(times.user + times.system)
    return 0.0


def read_phases(log: Path, since: float) -> list[str]:
    """What TorchServe's log says has happened since then."""
    found = []
    with suppress(OSError):
        for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
            if match := _PHASES.search(line):
                with suppress(ValueError):
                    at = datetime.strptime(match["at"], "%Y-%m-%dT%H:%M:%S,%f").timestamp() - since
                    if at > 0:
                        found.append(f"{at:.2f} {match['what']}")
    return found


if __name__ == "__main__":
    main()
