"""`actionlens jobs ...` in a process of its own: SQLite's locks are of processes."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

from tests.service.jobs.workers import ROOT
from tests.waiting import PATIENCE

_RUN = "import sys; from service.cli.main import main; sys.argv = ['actionlens', 'jobs', *sys.argv[1:]]; main()"


async def jobs_command(data: Path, *arguments: str, db: str = "") -> tuple[int, str]:
    """Its exit code, and what it said. data: the data folder; db: of jobs."""
    environment = os.environ | {"ACTIONLENS_DATA": str(data), "ACTIONLENS_JOBS_DB": db, "NO_COLOR": "1"}
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", _RUN, *arguments],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr
