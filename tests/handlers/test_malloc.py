"""Keeping freed memory must be taken by the C library here and must not change results."""

from __future__ import annotations

import subprocess
import sys

from tests.waiting import PATIENCE

PROGRAM = """
import platform, resource, torch
from handlers.malloc import keep_freed_memory
kept = keep_freed_memory()
assert kept == (platform.libc_ver()[0] == "glibc"), kept
def faults(count):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x = torch.ones(count)
    assert float(x[:9].sum()) == 9
    del x
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults(16 * 2**20)
print(faults(12 * 2**20) if kept else 0)
"""


def test_freed_memory_is_used_again() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert int(done.stdout) < 1000, "48 MiB were mapped anew: 12288 page faults are expected without the settings"
