"""Cases guided by coverage, by atheris (libFuzzer): python -m tests.hostile TARGET --guided SECONDS

Branches of our own readers, and of those in Python that they stand on, are counted; what libraries in C do is not seen.
New inputs that reach further are kept in out/hostile/corpus, for the next time.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from tests.hostile.run import CASE_SECONDS, FAILURES
from tests.hostile.targets import TARGETS, workplace

_COUNTED = [
    "actionlens",
    "handlers",
    "service",
    "yaml",
    "json",
    "zipfile",
    "csv",
    "pickle",
    "torch._weights_only_unpickler",
]
_MEMORY = 2048
"""MiB that the whole process may have, the torch side's libraries among them."""


def guide(name: str, seed: int, seconds: int) -> int:
    """Try a target for so long. Returns the exit status; what failed lies in out/hostile."""
    corpus = FAILURES / "corpus" / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(TARGETS[name].seeds):
        (corpus / f"seed-{number}").write_bytes(data)
    options = {
        "max_total_time": seconds,
        "seed": seed + 1,  # 0 means any
        "timeout": int(CASE_SECONDS),
        "rss_limit_mb": _MEMORY,
        "malloc_limit_mb": 512,
        "max_len": 1 << 16,
        "print_final_stats": 1,
        "verbosity": 0,
        "artifact_prefix": f"{FAILURES}/{name}-",
    }
    arguments = [f"-{option}={value}" for option, value in options.items()]
    with workplace() as folder:
        command = [sys.executable, "-m", "tests.hostile.guided", name, folder, str(corpus), *arguments]
        return subprocess.run(command, check=False).returncode


def main() -> None:
    """Hand the target over to libFuzzer, which ends the process."""
    import atheris

    target, folder = TARGETS[sys.argv.pop(1)], Path(sys.argv.pop(1))
    with atheris.instrument_imports(include=_COUNTED):
        read, allowed = target.load(folder)

    def one(data: bytes) -> None:
        with contextlib.suppress(*allowed):
            read(data)

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
