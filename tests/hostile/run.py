"""Tries cases in a child process, which it watches: hangs and crashes are failures like others, and the run goes on."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.hostile.child import LOADING
from tests.hostile.mutation import case
from tests.hostile.targets import FAULTS, TARGETS

CASE_SECONDS = 10.0
"""Seconds of computing that one case may take."""
_STILL_SECONDS = 900.0
"""Longest time without any computing, which a machine may take from a process for other reasons too."""
_POLL_SECONDS = 0.1
_LOADING_SECONDS = 120.0
_MOST_ENDS = 10
FAILURES = Path("out/hostile")


@dataclass
class Outcome:
    """What came of a target's cases. failures: number of the case, and what happened. seconds: of computing."""

    target: str
    values: int = 0
    refusals: int = 0
    seconds: float = 0.0
    peak_mib: int = 0
    failures: list[tuple[int, str]] | None = None

    def __str__(self) -> str:
        """One line."""
        cases = self.values + self.refusals + len(self.failures or ())
        rate = cases / self.seconds if self.seconds else 0.0
        return (
            f"{self.target}: {cases} cases, {self.values} read, {self.refusals} refused, "
            f"{len(self.failures or ())} failed, {self.seconds:.1f} s, {rate:.0f} a second, at most {self.peak_mib} MiB"
        )


def run(seed: int, cases: dict[str, int]) -> list[Outcome]:
    """Try so many cases of each target. Raises RuntimeError where not even its seeds are read."""
    outcomes = {name: Outcome(name, failures=[]) for name in cases}
    left = [(name, 0, count) for name, count in cases.items()]
    ends = 0
    while left:
        stopped = _child(seed, left, outcomes)
        if stopped is None:
            break
        place, number, why = stopped
        name, first, count = left[place]
        failures = outcomes[name].failures
        assert failures is not None
        failures.append((number, why))
        ends += 1
        rest = (name, number + 1, first + count - number - 1)
        left = [each for each in (rest, *left[place + 1 :]) if each[2] > 0] if ends < _MOST_ENDS else []
    return list(outcomes.values())


def _child(
    seed: int, asked: Sequence[tuple[str, int, int]], outcomes: dict[str, Outcome]
) -> tuple[int, int, str] | None:
    """Run one process. Returns where and why it ended early."""
    with (
        tempfile.NamedTemporaryFile() as counter,
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
    ):
        counter.write(struct.pack("<qq", 0, LOADING))
        counter.flush()
        arguments = [f"{name}:{first}:{count}" for name, first, count in asked]
        environment = {**os.environ, "PYTHONFAULTHANDLER": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        command = [sys.executable, "-m", "tests.hostile.child", counter.name, str(seed), *arguments]
        child = subprocess.Popen(command, stdout=out, stderr=err, env=environment)
        try:
            hung = _watch(child, Path(counter.name))
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
        place, number = struct.unpack("<qq", Path(counter.name).read_bytes())
        out.seek(0)
        err.seek(0)
        for line in out:
            told = json.loads(line)
            outcome = outcomes[told["target"]]
            assert outcome.failures is not None
            if "failure" in told:
                outcome.failures.append((told["failure"], told["why"]))
            else:
                outcome.values += told["values"]
                outcome.refusals += told["refusals"]
                outcome.seconds += told["seconds"]
                outcome.peak_mib = max(outcome.peak_mib, told["peak_mib"])
        said = err.read()[-4000:]
        if number == LOADING and child.returncode:
            raise RuntimeError(f"{asked[place][0]} was not loaded: {said}")
        if hung:
            return place, number, f"takes more than {CASE_SECONDS:g} s of computing\n{said}"
        return (place, number, f"ended the process ({child.returncode})\n{said}") if child.returncode else None


def _watch(child: subprocess.Popen[bytes], counter: Path) -> bool:
    """Wait for the child's end; whether it was ended for a case that takes too long."""
    last, since_computing, since = b"", 0.0, time.monotonic()
    bound = _LOADING_SECONDS
    while True:
        try:
            child.wait(_POLL_SECONDS)
            return False
        except subprocess.TimeoutExpired:
            pass
        now, computed = counter.read_bytes(), _computed(child.pid)
        if now != last:
            bound = _LOADING_SECONDS if struct.unpack("<qq", now)[1] == LOADING else CASE_SECONDS
            last, since_computing, since = now, computed, time.monotonic()
        elif computed - since_computing > bound or time.monotonic() - since > _STILL_SECONDS:
            child.kill()
            return True


def _computed(pid: int) -> float:
    """Seconds that a process has computed."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def keep(outcome: Outcome, seed: int) -> list[str]:
    """Write the inputs of an outcome's failures and say how to see each again."""
    said = []
    target = (TARGETS | FAULTS)[outcome.target]
    for number, why in outcome.failures or ():
        FAILURES.mkdir(parents=True, exist_ok=True)
        path = FAILURES / f"{outcome.target}-{seed}-{number}"
        path.write_bytes(case(outcome.target, seed, number, target.seeds, target.words, target.repair))
        again = f"python -m tests.hostile {outcome.target} --seed {seed} --case {number}"
        said.append(f"{outcome.target}, seed {seed}, case {number} ({path}; {again}):\n{why}")
    return said
