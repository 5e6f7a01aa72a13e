"""The process in which cases are tried: bounded in memory, and watched by the one that started it.

    python -m tests.hostile.child COUNTER SEED TARGET:FIRST:COUNT ...

COUNTER is a file of 16 bytes, shared: the target's place and the number of the case in work. Lines of JSON on standard
output: failures, and at the end of a target what came of its cases.
"""

from __future__ import annotations

import contextlib
import json
import mmap
import resource
import struct
import sys
import time
import traceback
import warnings
from pathlib import Path

from tests.hostile.mutation import case
from tests.hostile.targets import FAULTS, TARGETS, workplace

MEMORY = 512 * 2**20
"""Bytes of address space that cases may take beyond what the process has when the first is tried."""
LOADING = -1
"""Stands for the number of a case while a target is loaded and its seeds are read as they are."""
_MOST_FAILURES = 20
_OF_MEMORY = ("bad_alloc", "out of memory", "cannot allocate", "can't allocate", "unable to allocate")


def main() -> None:
    """Try the cases."""
    warnings.simplefilter("ignore")
    with Path(sys.argv[1]).open("r+b") as file:
        counter = mmap.mmap(file.fileno(), 16)
    seed = int(sys.argv[2])
    for place, asked in enumerate(sys.argv[3:]):
        name, first, count = asked.rsplit(":", 2)
        with workplace() as folder:
            _try(name, seed, int(first), int(count), counter, place, Path(folder))


def _try(name: str, seed: int, first: int, count: int, counter: mmap.mmap, place: int, folder: Path) -> None:
    counter[:] = struct.pack("<qq", place, LOADING)
    target = (TARGETS | FAULTS)[name]
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    read, allowed = target.load(folder)
    for data in target.seeds:  # loads what loads late
        with contextlib.suppress(*allowed):
            read(data)
    resource.setrlimit(resource.RLIMIT_AS, (_size() + MEMORY, resource.RLIM_INFINITY))
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins anew
    begun = time.process_time()
    values = refusals = failures = 0
    for number in range(first, first + count):
        data = case(name, seed, number, target.seeds, target.words, target.repair)
        counter[:] = struct.pack("<qq", place, number)
        try:
            read(data)
            values += 1
        except allowed as error:
            refusals += 1
            if said := _of_memory(error):
                failures += 1
                _tell(failure=number, target=name, why=f"wants more memory than {MEMORY >> 20} MiB: {said}")
        except BaseException:
            failures += 1
            _tell(failure=number, target=name, why=traceback.format_exc(limit=-6))
        if failures >= _MOST_FAILURES:
            break
    seconds = time.process_time() - begun
    _tell(
        target=name,
        values=values,
        refusals=refusals,
        failures=failures,
        seconds=round(seconds, 2),
        peak_mib=_peak() >> 10,
    )


def _of_memory(error: BaseException | None) -> str:
    """What an error, or what it comes from, says of memory; "" where it is of something else."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, MemoryError) or any(word in said for word in _OF_MEMORY):
            return str(error) or "MemoryError"
        error = error.__cause__ or error.__context__
    return ""


def _size() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def _peak() -> int:
    """KiB of memory that the process had at most since the target's seeds were read."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1])


def _tell(**line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
