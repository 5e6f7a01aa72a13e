"""TorchServe under fire: killed and frozen processes, starts that fail, parents that vanish."""

from __future__ import annotations

import asyncio
import shutil
import signal
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio

from service.backends.protocol import Reply
from service.backends.torchserve import TorchServeBackend, config
from service.backends.torchserve.server import TorchServe
from service.errors import ActionLensError, Unavailable
from service.settings import Settings
from tests.service.backends import processes, requests
from tests.service.backends.requests import TINY
from tests.waiting import eventually, settled

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(600)]

# The promise is ten seconds on a free machine; a shared one may be slower without anything being wrong.
WHOLE_SECONDS = 200.0
STAGES = ("archives", "guard", "java", "worker")
"""Of a start: the archives are being written; a process of this role is there."""


class Load:
    """Callers that never pause, and what became of every call."""

    def __init__(self, backend: TorchServeBackend, callers: int = 4, deadline: float = 2 * WHOLE_SECONDS) -> None:
        self.replies: list[float] = []
        self.errors: list[ActionLensError] = []
        self._on = True
        self._callers = [asyncio.create_task(self._call(backend, deadline)) for _ in range(callers)]

    async def _call(self, backend: TorchServeBackend, deadline: float) -> None:
        while self._on:
            try:
                await backend.compute(TINY, requests.tiny(), deadline)
                self.replies.append(time.monotonic())
            except ActionLensError as error:
                self.errors.append(error)
                await asyncio.sleep(0.1)

    async def answered_since(self, begun: float, seconds: float = WHOLE_SECONDS) -> float:
        """Seconds from `begun` until the first answer to a call after it."""
        await eventually(lambda: self.replies[-1:] > [begun], seconds)
        return next(at for at in self.replies if at > begun) - begun

    async def end(self, seconds: float = 2 * WHOLE_SECONDS) -> None:
        self._on = False
        _, stuck = await asyncio.wait(self._callers, timeout=seconds)
        assert not stuck, "calls that never ended"


class HeldStart:
    """Lets a start reach a stage and go no further, however fast the machine is."""

    def __init__(self, stage: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self._reached = asyncio.Event()
        self._going_on = threading.Event()
        loop, known, prepare = asyncio.get_running_loop(), processes.having(stage), config.prepare

        def hold_archives(*given: Any) -> config.Sockets:
            loop.call_soon_threadsafe(self._reached.set)
            self._going_on.wait(WHOLE_SECONDS)
            return prepare(*given)

        async def hold_processes(*_: Any) -> None:
            await eventually(lambda: processes.having(stage) != known)
            self._reached.set()
            await asyncio.Event().wait()

        if stage == "archives":
            monkeypatch.setattr(config, "prepare", hold_archives)
        else:
            monkeypatch.setattr(TorchServe, "wait_workers", hold_processes)

    async def reached(self) -> None:
        async with asyncio.timeout(WHOLE_SECONDS):
            await self._reached.wait()

    def let_go(self) -> None:
        """End the writing of archives: a thread cannot be cancelled."""
        self._going_on.set()


@pytest_asyncio.fixture(loop_scope="session")
async def load(torchserve: TorchServeBackend) -> AsyncIterator[Load]:
    made = Load(torchserve)
    await made.answered_since(0.0)
    yield made
    await made.end()


@pytest.mark.alone
async def test_a_killed_worker_costs_no_caller_an_answer(torchserve: TorchServeBackend, load: Load) -> None:
    before = torchserve.restarts()
    killed = processes.having("worker")
    assert len(killed) == 2
    begun = time.monotonic()
    for worker in killed:
        worker.kill()
    took = await load.answered_since(begun + 0.2)
    print(f"\nworker killed: next answer after {took:.1f} s")
    await load.end()
    assert not load.errors
    await eventually(lambda: torchserve.restarts() == before + len(killed), WHOLE_SECONDS)
    assert torchserve.healthy()


@pytest.mark.alone
@pytest.mark.parametrize("role", ["java", "guard"])
async def test_a_killed_server_is_replaced(
    torchserve: TorchServeBackend, load: Load, role: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = torchserve.restarts()
    old, folders = processes.family(), processes.folders()
    (victim,) = processes.having(role)
    launch, launching, going_on = TorchServe.launch, asyncio.Event(), asyncio.Event()

    async def launch_later(*given: Any) -> TorchServe:
        launching.set()
        await going_on.wait()
        return await launch(*given)

    monkeypatch.setattr(TorchServe, "launch", launch_later)
    begun = time.monotonic()
    victim.kill()
    async with asyncio.timeout(WHOLE_SECONDS):
        await launching.wait()
    assert not torchserve.healthy()
    with pytest.raises(Unavailable) as caught:  # who comes while nothing runs hears when to come back
        await torchserve.compute(TINY, requests.tiny(), 30.0)
    assert caught.value.retry_after
    going_on.set()
    took = await load.answered_since(begun + 0.2)
    print(f"\n{role} killed: next answer after {took:.1f} s")
    await load.end()
    assert not load.errors  # every call in flight was sent again
    assert torchserve.healthy()
    assert torchserve.restarts() == before + 1
    await processes.all_gone(old)
    assert len(processes.folders() - folders) == 1
    assert len(folders - processes.folders()) == 1


async def test_frozen_processes_are_replaced_and_stop_leaves_nothing(settings: Settings) -> None:
    """Not because they are late: a worker may take an hour for one batch here."""
    known, folders = processes.family(), processes.folders()
    two = {"models": (TINY,), "workers": 2, "response_seconds": 3600.0}
    backend = TorchServeBackend(settings.model_copy(update=two))
    await backend.start()
    try:
        new = [process for process in processes.family() if process not in known]
        assert len(new) == 4
        assert len(processes.folders() - folders) == 1

        worker, _ = [process for process in processes.having("worker") if process in new]
        worker.send_signal(signal.SIGSTOP)
        # The other worker answers what comes, and once the frozen one is killed, what that had in work.
        calls = (backend.compute(TINY, requests.tiny(), WHOLE_SECONDS) for _ in range(8))
        assert all(isinstance(reply, Reply) for reply in await asyncio.gather(*calls))
        await eventually(lambda: backend.restarts() == 1, WHOLE_SECONDS)
        assert backend.healthy()

        # Not of `new`: where workers load slower than the watchdog waits, all of TorchServe was started again.
        (java,) = [process for process in processes.having("java") if process not in known]
        java.send_signal(signal.SIGSTOP)
        assert isinstance(await backend.compute(TINY, requests.tiny(), WHOLE_SECONDS), Reply)
        assert backend.restarts() == 2
        assert not java.is_running()

        # A guard that somebody stopped must be able to end java when this process ends.
        (guard,) = [process for process in processes.having("guard") if process not in known]
        guard.send_signal(signal.SIGSTOP)
        await eventually(lambda: guard.status() != psutil.STATUS_STOPPED, WHOLE_SECONDS)
        assert backend.restarts() == 2
    finally:
        await backend.stop()
    assert processes.family() == known
    assert processes.folders() == folders


@pytest.mark.parametrize("stage", STAGES)
async def test_nothing_is_left_after_a_start_that_was_cancelled(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    known, folders = processes.family(), processes.folders()
    held = HeldStart(stage, monkeypatch)
    backend = TorchServeBackend(settings.model_copy(update={"models": (TINY,)}))
    start = asyncio.create_task(backend.start())
    await held.reached()
    assert len(processes.folders() - folders) == 1
    start.cancel()
    held.let_go()
    with pytest.raises(asyncio.CancelledError):
        await start
    await backend.stop()
    assert processes.family() == known
    assert processes.folders() == folders


@pytest.mark.parametrize("stage", STAGES)
async def test_stop_ends_a_start_on_its_way(settings: Settings, monkeypatch: pytest.MonkeyPatch, stage: str) -> None:
    known, folders = processes.family(), processes.folders()
    held = HeldStart(stage, monkeypatch)
    backend = TorchServeBackend(settings.model_copy(update={"models": (TINY,)}))
    start = asyncio.create_task(backend.start())
    await held.reached()
    stop = asyncio.create_task(backend.stop())
    await settled()
    held.let_go()
    await stop
    with pytest.raises(Unavailable):
        await start
    assert processes.family() == known
    assert processes.folders() == folders


async def test_a_model_that_does_not_load_is_named_as_soon_as_it_fails(settings: Settings, tmp_path: Path) -> None:
    known, folders = processes.family(), processes.folders()
    store = tmp_path / "store"
    shutil.copytree(settings.model_store / TINY, store / TINY)
    weights = store / TINY / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"oops")
    # Who only waited for the end of the time to start would wait forever.
    backend = TorchServeBackend(settings.model_copy(update={"model_store": store, "start_seconds": 3600}))
    with pytest.raises(Unavailable, match=r"model 'tiny' died while starting: .*ModelError.*sha256") as caught:
        await backend.start()
    assert "End of its log" in caught.value.detail
    assert "sha256" not in caught.value.message  # what a client of a job sees
    assert processes.family() == known
    assert processes.folders() == folders
    await backend.stop()


async def test_ports_taken_meanwhile_cost_another_launch_each(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = processes.folders()
    choose, steal, chosen = config._free_ports, [0, 1], []
    with socket.socket() as thief:
        thief.bind(("127.0.0.1", 0))
        thief.listen()

        def choose_badly(count: int) -> list[int]:
            ports = choose(count)
            if steal:
                ports[steal.pop()] = thief.getsockname()[1]
            chosen.append(ports)
            return ports

        monkeypatch.setattr(config, "_free_ports", choose_badly)
        backend = TorchServeBackend(settings.model_copy(update={"models": (TINY,)}))
        await backend.start()
        try:
            assert len(chosen) == 3
            assert len(processes.folders() - folders) == 1
            assert (await backend.compute(TINY, requests.tiny(), 30.0)).response.prediction.top
        finally:
            await backend.stop()


async def test_nothing_survives_a_killed_service(settings: Settings) -> None:
    program = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from service.backends.torchserve import TorchServeBackend\n"
        "from service.settings import Settings\n"
        "async def main():\n"
        "    await TorchServeBackend(Settings(model_store=Path(sys.argv[1]), models=('tiny',))).start()\n"
        "    print('ready', flush=True)\n"
        "    await asyncio.sleep(600)\n"
        "asyncio.run(main())\n"
    )
    service = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, str(settings.model_store), stdout=asyncio.subprocess.PIPE
    )
    try:
        assert service.stdout is not None
        async with asyncio.timeout(WHOLE_SECONDS):
            assert await service.stdout.readline() == b"ready\n"
        left = processes.family(service.pid)
        assert len(left) == 3
        assert len(processes.folders(service.pid)) == 1
    finally:
        service.kill()
        await service.wait()
    await processes.all_gone(left)
    await eventually(lambda: not processes.folders(service.pid))
