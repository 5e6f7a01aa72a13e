"""Real job workers in processes of their own, and jobs for them: a tiny network, many short blocks."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import sqlalchemy as sa

from actionlens.v1 import clip_pb2, job_pb2, method_pb2
from service.jobs.store.database import Database
from service.jobs.store.job_engine import DatabaseJobEngine
from service.jobs.store.tables import BLOCKS, CLIPS
from service.settings import BackendName, JobSettings, Settings
from tests.handlers import networks
from tests.service.backends.requests import TINY
from tests.waiting import PATIENCE, wait_until

ROOT = Path(__file__).resolve().parents[3]
_RUN = (
    "import sys; from service.settings import Settings; from service.jobs.worker.process import run_worker; "
    "run_worker(Settings.model_validate_json(sys.argv[1]), '', sys.argv[2])"
)


def job_settings(folder: Path, store: Path, db: str = "", **fields: object) -> Settings:
    """Settings of a service and its impatient workers. A block is a single iteration, however fast the machine."""
    jobs: dict[str, object] = {
        "db": db,
        "workers": 0,
        "threads": 1,
        "nice": 0,
        "block_seconds": 0.001,
        "poll_seconds": 0.1,
        "lease_seconds": 5.0,
        **fields,
    }
    return Settings(
        data=folder,
        model_store=store,
        models=(TINY,),
        backend=BackendName.IN_PROCESS,
        log_level="info",
        jobs=JobSettings.model_validate(jobs),
    )


def request(count: int = 1, *, steps: int = 8, first: int = 0, **fields: object) -> job_pb2.CreateJobRequest:
    """A job of `count` different clips; `steps` iterations each."""
    return job_pb2.CreateJobRequest(
        **{
            "tenant": "default",
            "priority": job_pb2.JOB_PRIORITY_NORMAL,
            "model": TINY,
            "method": method_pb2.Method(integrated_gradients=method_pb2.IntegratedGradients(steps=steps)),
            "seed": 1,
            "clips": [job_pb2.JobClip(name=f"clip-{n}", clip=clip(first + n)) for n in range(count)],
            **fields,
        }  # type: ignore[arg-type]
    )


def clip(seed: int) -> clip_pb2.Clip:
    pixels = networks.clip(seed)
    count, height, width, _ = pixels.shape
    return clip_pb2.Clip(raw=clip_pb2.RawFrames(data=pixels.tobytes(), count=count, height=height, width=width))


class Worker:
    """One job worker, as `actionlens jobs worker` runs it. version: of its workflow."""

    def __init__(self, settings: Settings, log: Path, version: str = "1") -> None:
        self._log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, settings.model_dump_json(), version],
                cwd=ROOT,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
                stdout=output,
                stderr=output,
            )
        self.process = psutil.Process(self._process.pid)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def freeze(self) -> None:
        """SIGSTOP; returns when every thread has stopped, which is later than when the signal has been sent."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()
        self._process.wait(PATIENCE)

    def stop(self) -> int:
        """Ask it to stop. Returns its exit status."""
        self._process.send_signal(signal.SIGCONT)
        self._process.terminate()
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()

    def wait(self) -> int:
        """Its exit status, once it has ended by itself."""
        return self._process.wait(PATIENCE)

    def wait_for(self, text: str) -> None:
        """Wait until the log has a text."""
        wait_until(lambda: text in self.logged, 2 * PATIENCE, lambda: self.logged)

    @property
    def logged(self) -> str:
        return self._log.read_text()


async def ended(engine: DatabaseJobEngine, job: str, seconds: float = 180.0) -> job_pb2.Job:
    """The job once it has ended."""
    async with asyncio.timeout(seconds):
        while True:
            found = await engine.get(job)
            if found.HasField("ended"):
                return found
            await asyncio.sleep(0.1)


async def begun(engine: DatabaseJobEngine, job: str, blocks: int = 1, seconds: float = 120.0) -> None:
    """Wait until a clip of the job is in the middle of its iterations, some blocks on."""
    end = time.monotonic() + seconds
    before = computed(engine.database)
    while time.monotonic() < end:
        clips = (await engine.clips(job_pb2.ListJobClipsRequest(id=job))).clips
        middle = any(0 < entry.progress.iteration < entry.progress.iterations for entry in clips)
        if middle and computed(engine.database) >= before + blocks:
            return
        await asyncio.sleep(0.005)
    raise AssertionError(f"job {job} does not get on")


def computed(database: Database) -> int:
    """Blocks that were computed, repeated ones as often as they were."""
    with database.reading() as connection:
        return int(connection.scalar(sa.select(sa.func.sum(BLOCKS.c.count))) or 0)


def recorded(database: Database) -> int:
    """Blocks on DBOS's record that were computed, each once."""
    table = "operation_outputs" if database.sqlite else "dbos.operation_outputs"
    with database.reading() as connection:
        query = f"SELECT count(*) FROM {table} WHERE function_name = 'block' AND output LIKE '%\"state\"%'"
        return int(connection.scalar(sa.text(query)) or 0)


def completions(database: Database) -> dict[str, int]:
    """How often DBOS says that each clip's workflow ended, by its output."""
    table = "workflow_output" if database.sqlite else "dbos.workflow_output"
    with database.reading() as connection:
        rows = connection.execute(sa.text(f"SELECT output, count(*) FROM {table} GROUP BY output")).all()
    return {str(output).strip('"'): count for output, count in rows}


def results(database: Database) -> list[str]:
    """Names of all results."""
    with database.reading() as connection:
        return [name for name in connection.scalars(sa.select(CLIPS.c.result)) if name]
